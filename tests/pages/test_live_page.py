"""Live in a real browser, its camera fed from a file: pictures arrive, change, are timed, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stillmotion.session.inputs import example_photo

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
Open = Callable[..., Any]
Take = Callable[[Any, str], None]
LOOK = """() => {
  const video = document.getElementById("result"), canvas = document.createElement("canvas");
  canvas.width = canvas.height = 32;
  const ink = canvas.getContext("2d");
  ink.drawImage(video, 0, 0, 256, 256, 0, 0, 32, 32);
  return [...ink.getImageData(0, 0, 32, 32).data];
}"""


def start(page: Any) -> None:
    page.click("#start")
    page.wait_for_function("() => stillmotion.last && stillmotion.last.status === 'live'")


def change(page: Any) -> float:
    """Mean difference of two looks at the result, of 255."""
    first = page.evaluate(LOOK)
    page.wait_for_timeout(1500)
    second = page.evaluate(LOOK)
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def test_before_it_starts_the_photo_is_shown(open_page: Open) -> None:
    page = open_page("live/")
    page.wait_for_function("() => document.getElementById('still').naturalWidth > 0")
    assert page.inner_text("#said") == "Press Start and allow the camera."
    assert page.is_disabled("#calibrate")
    assert not page.is_visible("#camera")
    assert not page.is_visible("#result")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "start", "the first button that the keyboard reaches is Start"


def test_live(open_page: Open, picture: Take) -> None:
    page = open_page("live/")
    start(page)
    page.wait_for_function("() => stillmotion.numbers().shown > 20 && stillmotion.numbers().p95 !== null")
    assert max(change(page) for _ in range(3)) > 0.3, "the photo moves as the camera's picture does"
    numbers = page.evaluate("() => stillmotion.numbers()")
    assert 0 < numbers["p50"] <= numbers["p95"]
    assert numbers["fps"] > 0
    assert page.inner_text("#fps") != "–"
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_function("() => stillmotion.last.settings.overlay")
    assert page.get_attribute("[data-set=overlay]", "aria-pressed") == "true"
    page.keyboard.press("g")
    page.wait_for_function("() => !stillmotion.last.settings.overlay")
    with page.expect_response("**/live/photo") as answer:
        page.set_input_files("#photo", str(example_photo()))
    assert answer.value.status == 200
    page.wait_for_timeout(500)
    page.wait_for_function("() => document.getElementById('said').textContent === 'Live.'")
    picture(page, "live")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "live-phone")
    # A connection that is lost comes back by itself.
    page.evaluate("() => { stillmotion.last = null; stillmotion.channel.close(); }")
    page.wait_for_function("() => stillmotion.last && stillmotion.last.status === 'live'")
    # A camera that stops is said, and the page asks for it again.
    page.evaluate("() => stillmotion.camera.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    page.wait_for_selector("#said >> text=The camera has stopped")
    page.wait_for_function("() => document.getElementById('said').textContent === 'Live.'")
    page.click("#start")
    page.wait_for_selector("text=Your photo was removed")
    other = open_page("live/")
    start(other)
