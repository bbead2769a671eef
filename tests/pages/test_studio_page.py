"""The studio in a real browser: a newcomer's way, by mouse, by keyboard, on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import stillmotion
from stillmotion.studio.desk import examples
from tests.scene import Scene, write_clip

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
Open = Callable[..., Any]
Take = Callable[[Any, str], None]
PLAYS = "() => [...document.querySelectorAll('video')].some(v => v.readyState >= 3 && v.videoWidth > 0 && !v.error)"
NO_FOLDER = ".cm-content { visibility: hidden; }"
"""The command line names a folder of this machine, which has no place in a picture that is published."""


def test_a_newcomer_animates_the_example(open_page: Open, picture: Take) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the example").click()
    page.wait_for_selector("text=512 × 512 pixels")
    assert "stillmotion animate" in page.inner_text(".cm-content >> nth=0")
    page.get_by_role("button", name="3 · Animate").click()
    page.wait_for_selector("text=/\\d+ frames in/")
    page.wait_for_function(PLAYS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the video").click()
    assert Path(download.value.path()).stat().st_size > 10_000
    page.add_style_tag(content=NO_FOLDER)
    picture(page, "studio")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out on a telephone"
    picture(page, "studio-phone")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example portrait for a minute and a half: animating it takes long enough to be cancelled."""
    portrait = stillmotion.read_image(examples()[0])[:400, 56:456]
    small = np.ascontiguousarray(cv2.resize(portrait, (160, 160), interpolation=cv2.INTER_AREA))
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", [small] * 2600, fps=Fraction(30))


def test_cancel_cancels(open_page: Open, long_clip: Path) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the example").click()
    page.wait_for_selector("text=512 × 512 pixels")
    page.get_by_text("A clip of mine").first.click()
    page.set_input_files("input[type=file][accept*=video] >> nth=0", str(long_clip))
    page.wait_for_selector("text=160 × 160 pixels")
    for _ in range(2):  # a second time: after a cancel the studio works as before
        page.get_by_role("button", name="3 · Animate").click()
        page.wait_for_selector("text=Working. Cancel ends it at once")
        page.wait_for_selector("text=/frame \\d+, \\d+ a second/")
        page.get_by_role("button", name="Cancel").first.click()
        page.wait_for_selector("text=Cancelled. Nothing was kept.")
        assert not page.get_by_role("button", name="Download the video").is_visible()


def test_several_photos_with_one_clip(open_page: Open, scene: Scene) -> None:
    page = open_page()
    page.get_by_role("tab", name="Several photos, one clip").click()
    tab = page.locator("[role=tabpanel]:visible")
    tab.get_by_role("button", name="Animate all").click()
    tab.get_by_text("there is no photo yet").wait_for()
    tab.locator("input[type=file]").first.set_input_files([examples()[0], str(scene.picture)])
    tab.locator("a[download='picture.png']").wait_for()
    tab.get_by_text("The example that ships").click()
    tab.get_by_role("button", name="Animate all").click()
    tab.get_by_text("1 of 2 done.").wait_for()
    alert = tab.get_by_role("alert").first.inner_text()
    assert alert.startswith("picture.png: no face found in the source"), "what went wrong is said of the photo it was"
    assert "set its crop to none" in alert
    page.wait_for_function(PLAYS)
    with page.expect_download() as download:
        tab.locator("a[download$='.mp4']").click()
    assert download.value.suggested_filename.startswith("astronaut-")
    assert Path(download.value.path()).stat().st_size > 10_000
    tab.get_by_text("none", exact=True).first.click()
    tab.get_by_role("button", name="Animate all").click()
    tab.get_by_text("2 of 2 done.").wait_for()
    assert tab.get_by_role("alert").count() == 0


def test_errors_stand_where_they_happened(open_page: Open, scene: Scene, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("button", name="3 · Animate").click()
    page.wait_for_selector("[role=alert] >> text=there is no photo yet")
    page.set_input_files("input[type=file][accept*=image] >> nth=0", str(scene.picture))
    page.wait_for_selector("[role=alert] >> text=no face found in the source")
    assert "set its crop to none" in page.get_by_role("alert").filter(has_text="no face").inner_text()


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
