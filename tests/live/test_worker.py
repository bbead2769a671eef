"""The page on one machine, the network on another: two servers, and a wire that breaks."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the pages need the extra studio")
pytest.importorskip("aiortc", reason="the live page needs the extra studio")
pytest.importorskip("websockets", reason="the live page needs the extra studio")

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from stillmotion.cli import main
from stillmotion.core.errors import ConfigError, EngineError, ImageError
from stillmotion.core.motion import Keypoints
from stillmotion.live import wire
from stillmotion.live.elsewhere import Elsewhere
from stillmotion.live.link import LOST
from stillmotion.prepare.crop import Crop
from stillmotion.server.start import make_token
from stillmotion.session.live import Calibration
from tests.live.browser import Browser
from tests.scene import Scene, make_frame

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(400)]
TOKEN = "a-token-of-the-users-own-0123456789"
OUTSIDE = "127.0.0.2" if sys.platform == "linux" else "0.0.0.0"
"""An address that is not this machine's usual one, so that the token is asked for."""
Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(*words)`: a `stillmotion live` in a process of its own, and the address that it printed."""
    running: list[subprocess.Popen[str]] = []

    def started(*words: str, token: str | None = None) -> tuple[subprocess.Popen[str], str]:
        environment = {**os.environ, **({"STILLMOTION_TOKEN": token} if token else {})}
        command = [sys.executable, "-m", "stillmotion", "live", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    yield started
    for process in running:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind((OUTSIDE, 0))
        return int(found.getsockname()[1])


def test_a_wire_that_breaks_is_made_again_with_everything_as_it_was(
    start: Start, tiny_bundle: Path, scene: Scene
) -> None:
    words = ["--weights", str(tiny_bundle), "--crop", "none", "--host", OUTSIDE, "--port", str(free_port())]
    worker, printed = start(*words, token=TOKEN)
    assert printed.endswith(f"?token={TOKEN}")
    _, page = start(str(scene.picture), "--worker", printed, "--port", "0")

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        async with httpx.AsyncClient(base_url=page.removesuffix("/live/"), timeout=60) as client:
            browser = Browser(client, "visitor-1")
            await browser.begin()
            await browser.status("live")
            assert (await browser.frames(5))[-1].shape == (40, 32, 3)
            browser.channel.send(json.dumps({"set": {"auto": False}, "do": "calibrate"}))
            await asyncio.sleep(1.5)
            before = await browser.status("live")
            worker.kill()
            assert (await browser.status(LOST))["failed"]
            await asyncio.to_thread(start, *words, token=TOKEN)
            after = await browser.status("live")
            await browser.frames(5)
            await browser.close()
            return before, after

    before, after = asyncio.run(asyncio.wait_for(work(), 300))
    assert after["settings"] == before["settings"] == {**after["settings"], "auto": False, "mirror": False}
    assert after["mismatch"] == before["mismatch"] is not None, "the rest pose is the one it was"
    assert not after["failed"]


def test_a_worker_lets_in_who_has_the_token_and_says_what_it_does_not_take(
    start: Start, tiny_bundle: Path, scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, printed = start("--weights", str(tiny_bundle), "--crop", "none", "--host", OUTSIDE, "--port", "0", token=TOKEN)
    address, token = wire.worker_address(printed, None)
    assert token == TOKEN
    with pytest.raises(ConfigError, match="wants its token") as caught:
        Elsewhere(address, token="wrong")
    assert "the whole address that it printed" in caught.value.hint
    with pytest.raises(ImageError, match="is not an image that can be read"):
        Elsewhere(printed, source=scene.clip)
    socket_address = address.replace("http", "ws") + wire.PATH
    with pytest.raises(InvalidStatus), connect(socket_address, proxy=None):
        pass
    allowed = {"Authorization": f"Bearer {TOKEN}", wire.VISITOR: "somebody"}
    answers = []
    for source in (b"short", bytes(8)):
        with connect(socket_address, additional_headers=allowed, proxy=None) as found:
            found.send(json.dumps({"hello": {}} if source == b"short" else ["nonsense"]))
            found.send(source)
            answers.append(json.loads(found.recv(timeout=30))["error"])
    assert answers == ["the worker has other weights than before", "this is no hello"]
    output = tmp_path / "out.mp4"
    words = ["live", str(scene.picture), "--worker", printed, "--input", str(scene.clip), "-o", str(output)]
    assert main([*words, "--seconds", "3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["seen"] > facts["dropped"]
    assert facts["p50"] > 0
    assert facts["failed"] is False
    assert output.stat().st_size > 1000


def test_what_cannot_be_a_worker_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match=r"the worker at http://127\.0\.0\.1:9 does not answer"):
        Elsewhere("127.0.0.1:9")
    for address in ("ftp://gpu:1", "http://", "http://gpu:port"):
        with pytest.raises(ConfigError, match="is no address of a worker"):
            wire.worker_address(address, None)
    assert main(["live", "--worker", "gpu:1", "--weights", "fast"]) == 1
    assert "are of a machine that animates itself" in capsys.readouterr().err


def test_addresses_and_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wire.worker_address("gpu:7860", "T") == ("http://gpu:7860", "T")
    assert wire.worker_address("wss://gpu/a/live/?token=X", None) == ("https://gpu/a", "X")
    monkeypatch.setenv("STILLMOTION_TOKEN", TOKEN)
    assert make_token("0.0.0.0") == TOKEN
    assert make_token("localhost") is None
    monkeypatch.setenv("STILLMOTION_TOKEN", "short")
    with pytest.raises(ConfigError, match="is too weak"):
        make_token("0.0.0.0")


def test_what_goes_over_the_wire_arrives() -> None:
    smooth = np.repeat(np.repeat(make_frame(1, size=(32, 32)), 8, axis=0), 8, axis=1)
    message = wire.pack(7, smooth, longest=128)
    assert wire.number(message) == 7
    assert wire.unpack(message).shape == (128, 128, 3)
    assert np.abs(wire.unpack(wire.pack(1, smooth)).astype(int) - smooth).mean() < 4
    with pytest.raises(ImageError, match="what came is no picture"):
        wire.unpack(message[:8] + b"GIF89a garbage")
    kept = Calibration(Keypoints(np.eye(2), jacobian=np.stack([np.eye(2)] * 2)), Crop(1.5, 2, 30, 40), 0.25)
    back = wire.calibration_from_json(json.loads(json.dumps(wire.calibration_to_json(kept))))
    assert back is not None
    assert isinstance(back.reference, Keypoints)
    assert back.crop == kept.crop
    assert np.array_equal(back.reference.value, np.eye(2))
    assert wire.calibration_from_json({"reference": {"kind": "os", "value": []}}) is None
    assert wire.calibration_from_json({"crop": [1, 2, 3, 1e999]}) is None
    assert wire.calibration_from_json("nonsense") is None
