"""A real browser with a fake camera, and both pages in a process of their own.

Playwright's plain interface keeps an event loop running in the thread that it is used in, and may be used in
that thread alone. It gets a thread of its own, and every test here runs in it: whatever happens to a test
of a page, no other test finds a loop that is not its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

import stillmotion
import stillmotion.weights
from tests.live.y4m import write_y4m

ROOT = Path(__file__).resolve().parents[2]
BROWSER = os.environ.get("STILLMOTION_BROWSER") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic --disable-dev-shm-usage "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
SLOW = 240_000
"""Milliseconds that anything on a page may take: far more than it does, for machines that do much else."""
Answer = TypeVar("Answer")


class Driver:
    """The thread that drives the browser."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="browser")

    def do(self, work: Callable[[], Answer]) -> Answer:
        """Do something there, and wait for it."""
        return self._pool.submit(work).result()

    def close(self) -> None:
        """End it; a test that hangs in it does not keep the others."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run a test of these pages in the browser's thread."""
    names = pyfuncitem._fixtureinfo.argnames
    driver: Driver = pyfuncitem.funcargs["driver"]
    driver.do(lambda: pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session", autouse=True)
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the browser's camera sees: the example portrait, swaying."""
    portrait = stillmotion.read_image(ROOT / "src" / "stillmotion" / "example" / "astronaut.jpg")

    def frames() -> Iterator[np.ndarray]:
        for turn in np.linspace(0, 2 * np.pi, 50, endpoint=False):
            left, top = round(96 + 16 * np.sin(turn)), round(12 + 6 * np.cos(turn))
            yield portrait[top : top + 240, left : left + 320]

    return write_y4m(tmp_path_factory.mktemp("camera") / "camera.y4m", frames())


@pytest.fixture(scope="session")
def browser(driver: Driver, camera_file: Path) -> Iterator[Any]:
    if not stillmotion.weights.shipped():
        pytest.skip("this checkout ships no weights")
    sync_api = pytest.importorskip("playwright.sync_api", reason="driving a browser needs playwright")
    if BROWSER is None:
        pytest.skip("no chromium here to drive; install it or name one with STILLMOTION_BROWSER")
    arguments = [*FLAGS.split(), f"--use-file-for-fake-video-capture={camera_file}"]
    stack = contextlib.ExitStack()

    def launch() -> Any:
        playwright = stack.enter_context(sync_api.sync_playwright())
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=arguments, timeout=SLOW)
        stack.callback(chromium.close)
        return chromium

    yield driver.do(launch)
    driver.do(stack.close)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the pages need the extra studio")
    command = [sys.executable, "-m", "stillmotion", "studio", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield address
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def open_page(driver: Driver, browser: Any, server: str) -> Iterator[Callable[..., Any]]:
    """`open_page(path, width=..., height=...)`: a page in a visit of its own; it must ask nobody but our server."""
    contexts, strangers = [], []

    def opened(path: str = "", *, width: int = 1280, height: int = 900, agrees: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, permissions=["camera"])
        context.set_default_timeout(SLOW)
        contexts.append(context)
        page = context.new_page()

        def watch(request: Any) -> None:
            if not request.url.startswith((server, "data:", "blob:")):
                strangers.append(request.url)

        page.on("request", watch)
        page.goto(server + path)
        if agrees:
            page.click("#consent-yes")
        return page

    yield opened
    for context in contexts:
        driver.do(context.close)
    assert not strangers, "pages load nothing from anywhere else"


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keep a screenshot in `docs/images` when STILLMOTION_SCREENSHOTS is set; always take it."""

    def take(page: Any, name: str) -> None:
        folder = ROOT / "docs" / "images" if os.environ.get("STILLMOTION_SCREENSHOTS") else None
        target = {"path": str(folder / f"{name}.jpg"), "type": "jpeg", "quality": 80} if folder else {}
        assert page.screenshot(full_page=True, **target)

    return take
