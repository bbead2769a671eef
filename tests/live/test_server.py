"""The live page as a program sees it: garbage, too many visitors, photos that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the pages need the extra studio")
pytest.importorskip("aiortc", reason="the live page needs the extra studio")

import av
import httpx
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack

from stillmotion.live.app import Stage, mount
from stillmotion.server.limits import Limits
from stillmotion.server.start import new_app
from stillmotion.session.stamp import read_stamp
from tests.scene import Scene, make_frame

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def stage(tmp_path: Path, tiny_bundle: Path, scene: Scene) -> Iterator[Stage]:
    made = Stage(tmp_path, Limits(), weights=str(tiny_bundle), source=scene.picture, crop="none")
    yield made
    made.close()


def talk(stage: Stage, work: Any) -> Any:
    """Run `work(client)` against the server, in one event loop."""

    async def run() -> Any:
        app = new_app()
        mount(app, stage)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            try:
                return await work(client)
            finally:
                for visitor in list(stage.peers):
                    await stage.leave(visitor)

    return asyncio.run(asyncio.wait_for(run(), 60))


class Disc(VideoStreamTrack):
    """A camera that sees a wandering disc."""

    count = 0

    async def recv(self) -> av.VideoFrame:
        pts, base = await self.next_timestamp()
        frame = av.VideoFrame.from_ndarray(make_frame(self.count % 20), format="rgb24")
        self.count += 1
        frame.pts, frame.time_base = pts, base
        return frame


async def offer(client: httpx.AsyncClient, browser: RTCPeerConnection, visitor: str) -> httpx.Response:
    browser.addTrack(Disc())
    browser.createDataChannel("live")
    await browser.setLocalDescription(await browser.createOffer())
    body = {"sdp": browser.localDescription.sdp, "settings": {"mirror": False}}
    return await client.post("/live/offer", json=body, headers={"x-visitor": visitor})


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
    assert not stage.peers


def test_a_browser_gets_pictures_that_change_and_the_seat_is_free_afterwards(stage: Stage, scene: Scene) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[list[Any], int, httpx.Response, httpx.Response]:
        browser, late = RTCPeerConnection(), RTCPeerConnection()
        tracks: list[Any] = []
        browser.add_listener("track", tracks.append)
        answer = await offer(client, browser, "visitor-1")
        await browser.setRemoteDescription(RTCSessionDescription(answer.json()["sdp"], "answer"))
        frames = [await asyncio.wait_for(tracks[0].recv(), 20) for _ in range(12)]
        full = await offer(client, late, "visitor-2")
        swapped = await client.post(
            "/live/photo", content=scene.picture.read_bytes(), headers={"x-visitor": "visitor-1"}
        )
        await client.post("/live/leave", headers={"x-visitor": "visitor-1"})
        await browser.close()
        await late.close()
        return frames, len(stage.peers), full, swapped

    frames, seated, full, swapped = talk(stage, work)
    shown = [frame.to_ndarray(format="rgb24") for frame in frames]
    assert shown[0].shape == (40, 32, 3)
    numbers = [number for number in map(read_stamp, shown) if number is not None]
    assert numbers == sorted(set(numbers)), "each result is sent once, in order"
    assert full.status_code == 400
    assert "all seats are taken" in full.json()["error"]
    assert swapped.status_code in (200, 400), "a picture without a face is said, not crashed on"
    assert seated == 0


def test_twenty_at_once_find_one_seat(stage: Stage) -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        browsers = [RTCPeerConnection() for _ in range(20)]
        answers = await asyncio.gather(
            *(offer(client, browser, f"visitor-{index:02d}") for index, browser in enumerate(browsers))
        )
        await asyncio.gather(*(browser.close() for browser in browsers))
        return list(answers)

    answers = talk(stage, work)
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    waiting = [answer.json()["error"] for answer in answers if answer.status_code == 400]
    assert "all seats are taken: 0 waiting before you" in waiting
    assert "all seats are taken: 7 waiting before you" in waiting
