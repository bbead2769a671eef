"""The studio in a real browser: a newcomer's way, by mouse, by keyboard, on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
Open = Callable[..., Any]
Take = Callable[[Any, str], None]
PLAYS = "() => [...document.querySelectorAll('video')].some(v => v.readyState >= 3 && v.videoWidth > 0 && !v.error)"


def test_a_newcomer_animates_the_example(open_page: Open, picture: Take) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the example").click()
    page.wait_for_selector("text=512 × 512 pixels")
    assert "stillmotion animate" in page.inner_text(".cm-content >> nth=0")
    page.get_by_role("button", name="3 · Animate").click()
    page.wait_for_selector("text=/\\d+ frames in/", timeout=180_000)
    page.wait_for_function(PLAYS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the video").click()
    assert Path(download.value.path()).stat().st_size > 10_000
    page.add_style_tag(content=".cm-line { visibility: hidden }")  # it names a folder of this machine
    picture(page, "studio")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out on a telephone"
    picture(page, "studio-phone")


def test_cancel_cancels(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the example").click()
    page.wait_for_selector("text=512 × 512 pixels")
    page.get_by_role("button", name="3 · Animate").click()
    page.wait_for_selector("text=a second", timeout=120_000)
    page.get_by_role("button", name="Cancel").first.click()
    page.wait_for_selector("text=Cancelled. Nothing was kept.")
    page.get_by_role("button", name="3 · Animate").click()
    page.wait_for_selector("text=a second", timeout=120_000)
    page.get_by_role("button", name="Cancel").first.click()


def test_errors_stand_where_they_happened(open_page: Open, scene: Scene, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("button", name="3 · Animate").click()
    page.wait_for_selector("[role=alert] >> text=there is no photo yet")
    page.set_input_files("input[type=file][accept*=image] >> nth=0", str(scene.picture))
    alert = page.wait_for_selector("[role=alert] >> text=no face found in the source")
    assert "--crop none" in alert.evaluate("node => node.parentElement.innerText")


def test_crops_are_changed_and_the_line_follows(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the example").click()
    page.wait_for_selector("text=512 × 512 pixels")
    page.locator("#photo-larger").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.cm-content')].some(c => c.innerText.includes('--crop-source='))"
    )


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the example").wait_for()
    for _ in range(16):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Use the example":
            break
    else:
        pytest.fail("the button is not reached with Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=512 × 512 pixels")
