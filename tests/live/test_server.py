"""The live page as a program sees it: what is refused, what is shown, and what is remembered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the pages need the extra studio")
pytest.importorskip("aiortc", reason="the live page needs the extra studio")
pytest.importorskip("websockets", reason="the live page needs the extra studio")

import httpx

from stillmotion.live import stage as stage_module
from stillmotion.live.backstage import Here
from stillmotion.live.peer import GARBAGE
from stillmotion.live.stage import Stage
from stillmotion.server.limits import Limits
from stillmotion.session.live import Calibration
from stillmotion.session.stamp import read_stamp
from tests.live.browser import Browser, Disc, Garbage, talk, until
from tests.scene import Scene

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def stage(tmp_path: Path, tiny_bundle: Path, scene: Scene) -> Iterator[Stage]:
    here = Here(weights=str(tiny_bundle), source=scene.picture, crop="none")
    made = Stage(tmp_path, Limits(), backstage=here)
    yield made
    made.close()


def test_the_page_loads_nothing_from_elsewhere(stage: Stage) -> None:
    async def work(client: httpx.AsyncClient) -> str:
        return (await client.get("/live/")).text + (await client.get("/live/page.js")).text

    text = talk(stage, work)
    assert "I understand" in text
    assert "https://" not in text
    assert "http://" not in text


def test_garbage_is_answered_in_words(stage: Stage) -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        whose = {"x-visitor": "visitor-1"}
        return [
            await client.post("/live/offer", content=b"\xff\x00garbage", headers=whose),
            await client.post("/live/offer", json={"sdp": "v=0 garbage"}, headers=whose),
            await client.post("/live/offer", json=["nonsense"], headers=whose),
            await client.post("/live/offer", json={"sdp": ""}),
            await client.post("/live/photo", content=b"no picture", headers=whose),
            await client.get("/live/"),
        ]

    *answers, page = talk(stage, work)
    said = [(answer.status_code, answer.json()["error"]) for answer in answers]
    assert [status for status, _ in said] == [400] * 5
    assert [text for _, text in said][:4] == [
        "this is no offer",
        "this is no offer of a camera's picture",
        "this is no offer",
        "the request does not say whose it is",
    ]
    assert "is not an image that can be read" in said[4][1]
    assert page.status_code == 200
    assert not stage.seated


def test_a_browser_gets_pictures_that_change_and_the_seat_is_free_afterwards(stage: Stage, scene: Scene) -> None:
    async def work(client: httpx.AsyncClient) -> Browser:
        browser, late = Browser(client, "visitor-1"), Browser(client, "visitor-2")
        await browser.begin()
        await browser.frames(12)
        full = await late.offer()
        assert full.status_code == 400
        assert "all seats are taken" in full.json()["error"]
        whose = {"x-visitor": "visitor-1"}
        swapped = await client.post("/live/photo", content=scene.picture.read_bytes(), headers=whose)
        assert swapped.status_code == 200
        assert "visitor-1" in stage.sources
        await client.post("/live/leave", headers=whose)
        await browser.close()
        await late.close()
        return browser

    browser = talk(stage, work)
    assert browser.shown[0].shape == (40, 32, 3)
    numbers = [number for number in map(read_stamp, browser.shown) if number is not None]
    assert numbers == sorted(set(numbers)), "each result is sent once, in order"
    assert not stage.seated
    assert not stage.sources


def test_only_one_kind_of_video_and_nothing_else_is_let_in(stage: Stage) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[str, httpx.Response]:
        browser, noisy = Browser(client, "visitor-1"), Browser(client, "visitor-2")
        noisy.connection.addTransceiver("audio")
        answer = (await browser.offer()).json()["sdp"]
        await client.post("/live/leave", headers={"x-visitor": "visitor-1"})
        refused = await noisy.offer()
        await browser.close()
        await noisy.close()
        return answer, refused

    answer, refused = talk(stage, work)
    assert "VP8/90000" in answer
    assert "H264" not in answer
    assert refused.json()["error"] == "this is no offer of a camera's picture"


def test_a_camera_that_stops_is_said(stage: Stage) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        browser = Browser(client, "visitor-1", Disc(most=30))
        await browser.begin()
        await browser.status("live")
        await browser.status("the camera gives no pictures")
        assert await browser.frames(1), "the source is shown all the same"
        await browser.close()

    talk(stage, work)


def test_noise_in_place_of_video_is_said_and_harms_nobody(stage: Stage) -> None:
    stage.seats = 2

    async def work(client: httpx.AsyncClient) -> None:
        honest, other = Browser(client, "visitor-1"), Browser(client, "visitor-2", Garbage())
        await honest.begin()
        await honest.status("live")
        await other.begin()
        facts = await other.status(GARBAGE)
        assert facts["failed"]
        assert facts["seen"] == 0
        assert await honest.frames(5)
        assert (await honest.status("live"))["failed"] is False
        await other.close()
        await honest.close()

    talk(stage, work)


def test_who_comes_back_is_calibrated_as_before(stage: Stage) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[Calibration, Calibration]:
        browser = Browser(client, "visitor-1")
        await browser.begin()
        await browser.status("live")
        browser.channel.send('{"set": {"auto": false}}')
        await until(lambda: browser.facts[-1]["settings"]["auto"] is False)
        before = stage.seated["visitor-1"].performance.session.calibration
        await browser.close()
        await until(lambda: not stage.seated)
        again = Browser(client, "visitor-1", Disc(most=0))
        await again.begin()
        await again.status("the camera gives no pictures")
        after = stage.seated["visitor-1"].performance.session.calibration
        await again.close()
        return before, after

    before, after = talk(stage, work)
    assert before.reference is not None
    assert after.reference is before.reference
    assert after.crop == before.crop


def test_who_does_not_come_back_is_forgotten(stage: Stage, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "ABSENCE", 0.1)

    async def work(client: httpx.AsyncClient) -> None:
        browser = Browser(client, "visitor-1")
        photo = await client.post(
            "/live/photo", content=scene.picture.read_bytes(), headers={"x-visitor": browser.visitor}
        )
        assert photo.status_code == 200
        await browser.begin()
        await browser.frames(1)
        await browser.close()
        await until(lambda: not (stage.seated or stage.sources or stage.calibrations))

    talk(stage, work)
    assert not list(stage.visits.root.glob("visit-*"))


def test_a_killed_child_is_said_and_replaced(stage: Stage, scene: Scene) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        async def send() -> httpx.Response:
            return await client.post(
                "/live/photo", content=scene.picture.read_bytes(), headers={"x-visitor": "visitor-1"}
            )

        assert isinstance(stage.backstage, Here)
        opener, sending = stage.backstage.opener, asyncio.ensure_future(send())
        await until(lambda: opener.pid is not None)
        assert opener.pid is not None
        os.kill(opener.pid, signal.SIGKILL)
        return await sending, await send()

    killed, again = talk(stage, work)
    assert killed.status_code == 400
    assert killed.json()["error"] == "the process that does the work has stopped"
    assert "another" in killed.json()["hint"] or "new one" in killed.json()["hint"]
    assert again.status_code == 200


def test_the_time_of_capture_is_known(stage: Stage) -> None:
    """`live.clock` looks over the shoulder of two methods of aiortc's that are not public: this fails if they go."""

    async def work(client: httpx.AsyncClient) -> list[float]:
        browser = Browser(client, "visitor-1")
        await browser.begin()
        try:
            await until(lambda: bool(browser.facts and browser.facts[-1]["stamps"]), seconds=30)
        except TimeoutError:
            pytest.fail("aiortc has changed: no sender's report is seen any more, look at live/clock.py")
        now = time.time()
        ages = [now - captured for _, captured in browser.facts[-1]["stamps"]]
        await browser.close()
        return ages

    assert all(-0.5 < age < 20 for age in talk(stage, work))


def test_twenty_at_once_find_one_seat_and_its_rate_stays(stage: Stage) -> None:
    """Nineteen who ask four times a second are told their place, and cost who is live no frames."""

    async def rate(browser: Browser, seconds: float) -> float:
        had = len(browser.shown)
        await asyncio.sleep(seconds)
        return (len(browser.shown) - had) / seconds

    async def work(client: httpx.AsyncClient) -> tuple[list[httpx.Response], list[tuple[float, float]]]:
        first = Browser(client, "visitor-00")
        others = [Browser(client, f"visitor-{index:02d}") for index in range(1, 20)]
        await first.begin()
        await first.status("live")
        answers = list(await asyncio.gather(*(other.offer() for other in others)))

        async def insist(other: Browser) -> None:
            while True:
                await asyncio.sleep(0.25)
                answers.append(await other.offer())

        rates = []
        for _ in range(4):
            calm = await rate(first, 1.5)
            asking = [asyncio.ensure_future(insist(other)) for other in others]
            rates.append((calm, await rate(first, 1.5)))
            for task in asking:
                task.cancel()
            if rates[-1][1] >= 0.8 * calm:
                break
        await asyncio.gather(*(browser.close() for browser in (first, *others)))
        return answers, rates

    answers, rates = talk(stage, work)
    assert len(answers) > 19
    assert {answer.status_code for answer in answers} == {400}
    said = {answer.json()["error"] for answer in answers}
    assert said == {f"all seats are taken: {place} waiting before you" for place in range(8)}
    assert any(busy >= 0.8 * calm > 0 for calm, busy in rates), f"calm and busy rates: {rates}"
