"""A browser without a window: aiortc offers a camera, and takes what comes back."""

from __future__ import annotations

import asyncio
import json
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack

from stillmotion.live.app import mount
from stillmotion.live.stage import Stage
from stillmotion.server.start import new_app
from tests.scene import make_frame


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
                for visitor in list(stage.seated):
                    await stage.leave(visitor)

    return asyncio.run(asyncio.wait_for(run(), 120))


class Disc(VideoStreamTrack):
    """A camera that sees a wandering disc; after `most` frames it gives no more, and stays open."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.count, self.most = 0, most

    async def recv(self) -> av.VideoFrame:
        if self.count == self.most:
            await asyncio.sleep(3600)
        pts, base = await self.next_timestamp()
        frame = av.VideoFrame.from_ndarray(make_frame(self.count % 20), format="rgb24")
        self.count += 1
        frame.pts, frame.time_base = pts, base
        return frame


class Garbage(VideoStreamTrack):
    """What calls itself a camera, and sends packets of noise."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(0)

    async def recv(self) -> Any:
        pts, base = await self.next_timestamp()
        packet = av.Packet(self._rng.bytes(700))
        packet.pts, packet.time_base = pts, Fraction(base)
        return packet


class Browser:
    """One visitor.

    Args:
        client: To the server.
        visitor: Name.
        camera: What it sends.
    """

    def __init__(self, client: httpx.AsyncClient, visitor: str, camera: VideoStreamTrack | None = None) -> None:
        self.client, self.visitor = client, visitor
        self.connection = RTCPeerConnection()
        self.facts: list[dict[str, Any]] = []
        self.shown: list[np.ndarray] = []
        self.times: list[float] = []
        self._tracks: list[Any] = []
        self._looks: asyncio.Task[None] | None = None
        self.connection.add_listener("track", self._tracks.append)
        self.connection.addTrack(camera or Disc())
        self.channel = self.connection.createDataChannel("live")
        self.channel.add_listener("message", lambda text: self.facts.append(json.loads(text)))

    async def offer(self) -> httpx.Response:
        """Ask for a seat."""
        if self.connection.localDescription is None:
            await self.connection.setLocalDescription(await self.connection.createOffer())
        body = {"sdp": self.connection.localDescription.sdp, "settings": {"mirror": False}}
        return await self.client.post("/live/offer", json=body, headers={"x-visitor": self.visitor})

    async def begin(self) -> None:
        """Take a seat and look at what comes."""
        answer = await self.offer()
        assert answer.status_code == 200, answer.text
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.json()["sdp"], "answer"))
        self._looks = asyncio.ensure_future(self._look())

    async def frames(self, count: int) -> list[np.ndarray]:
        """Wait for so many pictures more, and return them."""
        had = len(self.shown)
        await until(lambda: len(self.shown) >= had + count)
        return self.shown[had:]

    async def status(self, wanted: str) -> dict[str, Any]:
        """Wait for a status from now on, and return the numbers that came with it."""
        had = len(self.facts)
        await until(lambda: any(facts["status"] == wanted for facts in self.facts[had:]))
        return next(facts for facts in self.facts[had:] if facts["status"] == wanted)

    async def close(self) -> None:
        """Be gone, without a word."""
        if self._looks is not None:
            self._looks.cancel()
        await self.connection.close()

    async def _look(self) -> None:
        await until(lambda: bool(self._tracks))
        try:
            while True:
                frame = await self._tracks[0].recv()
                self.shown.append(frame.to_ndarray(format="rgb24"))
                self.times.append(asyncio.get_running_loop().time())
        except MediaStreamError:
            return


async def until(is_so: Any, *, seconds: float = 60.0) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: It never was.
    """
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.02)
