"""One browser: its camera comes in, the animated picture goes out, settings and numbers beside them."""

from __future__ import annotations

import asyncio
import functools
import json
from collections import deque
from fractions import Fraction
from time import perf_counter, time
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack
from av import VideoFrame

from stillmotion.core.frame import Frame
from stillmotion.live.backstage import Performance
from stillmotion.live.clock import TICKS, CaptureClock
from stillmotion.session.pump import Seen
from stillmotion.session.stamp import NUMBERS, add_stamp

NUMBERS_EVERY = 0.5
"""Seconds between two messages with numbers."""
ORDERS = {"calibrate"}
CODECS = ("video/VP8", "video/rtx")
UNREADABLE = 1.5
"""Seconds without a picture, while something comes, after which it counts as garbage."""
GARBAGE = "what the camera sends is no video that can be read"


class ResultTrack(VideoStreamTrack):
    """The animated picture: the newest result, each sent once."""

    def __init__(self) -> None:
        super().__init__()
        self._frame: Frame | None = None
        self._came = asyncio.Event()
        self._started = perf_counter()

    def show(self, frame: Frame) -> None:
        """The next frame to send; called in the event loop."""
        self._frame = frame
        self._came.set()

    async def recv(self) -> VideoFrame:
        """Wait for a result, and give it the time it has now."""
        await self._came.wait()
        self._came.clear()
        if self.readyState != "live" or self._frame is None:
            raise MediaStreamError
        picture = VideoFrame.from_ndarray(self._frame, format="rgb24")
        picture.pts, picture.time_base = int((perf_counter() - self._started) * TICKS), Fraction(1, TICKS)
        return picture

    def stop(self) -> None:
        """End it, and let go whoever waits."""
        super().stop()
        self._came.set()


class Peer:
    """A connection to one browser.

    Args:
        loop: The server's event loop.

    Attributes:
        performance: Animates for it, once it has begun.
        connected: Set when pictures can flow.
        gone: Set when they no longer can.
    """

    performance: Performance

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connected, self.gone = asyncio.Event(), asyncio.Event()
        self._loop = loop
        self._track = ResultTrack()
        self._receiver: Any = None
        self._packets, self._pictured = 0, perf_counter()
        self._connection: Any = None
        self._channel: Any = None
        self._number = 0
        self._sent: deque[tuple[int, float]] = deque(maxlen=64)
        self._tasks: list[asyncio.Task[None]] = []
        self._clock: CaptureClock | None = None

    def begin(self, performance: Performance) -> None:
        """Animate with this; its results come to `show`."""
        self.performance = performance
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.add_listener("track", self._on_track)
        self._connection.add_listener("datachannel", self._on_channel)
        self._connection.add_listener("connectionstatechange", self._on_state)

    async def answer(self, sdp: str) -> str:
        """Take a browser's offer and answer it.

        Raises:
            ValueError: The offer makes no sense, or holds other media than one video.
        """
        if sdp.count("m=video") != 1 or "m=audio" in sdp:
            raise ValueError("the offer holds other media than one video")
        # Of all that this library could decode only VP8 is let in: one decoder less exposed to what comes from outside.
        video = self._connection.addTransceiver(self._track, direction="sendrecv")
        known = RTCRtpReceiver.getCapabilities("video")
        assert known is not None
        video.setCodecPreferences([codec for codec in known.codecs if codec.mimeType in CODECS])
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        answer = await self._connection.createAnswer()
        await self._connection.setLocalDescription(answer)
        return str(self._connection.localDescription.sdp)

    async def close(self) -> None:
        """Hang up and free the seat."""
        if self.gone.is_set():
            return
        self.gone.set()
        for task in self._tasks:
            task.cancel()
        self._track.stop()
        await self._connection.close()
        await asyncio.to_thread(self.performance.close)

    async def facts(self) -> dict[str, Any]:
        """Numbers and settings."""
        facts = {**self.performance.facts(), "settings": vars(self.performance.session.settings)}
        if await self._is_garbage():
            facts |= {"status": GARBAGE, "failed": True}
        return facts

    async def _is_garbage(self) -> bool:
        """Whether something comes from the camera, and no picture can be made of it."""
        if self._receiver is None:
            return False
        stats = (await self._receiver.getStats()).values()
        packets = sum(part.packetsReceived for part in stats if part.type == "inbound-rtp")
        came, self._packets = packets > self._packets, packets
        return came and perf_counter() - self._pictured > UNREADABLE

    def _on_track(self, track: Any) -> None:
        if track.kind == "video":
            self._receiver = next(r for r in self._connection.getReceivers() if r.track is track)
            self._clock, self._pictured = CaptureClock(self._receiver), perf_counter()
            self._tasks.append(asyncio.ensure_future(self._watch(track)))

    async def _watch(self, track: Any) -> None:
        """Put every frame that comes in into the mailbox; only those taken out are converted."""
        try:
            while True:
                picture = await track.recv()
                captured = self._clock.captured(picture.pts) if self._clock is not None else None
                now, wall = perf_counter(), time()
                self._pictured = now
                # Kept only where it can be believed; the clock of another machine may be anywhere.
                begun = now - (wall - captured) if captured is not None and 0 <= wall - captured < 5 else None
                to_frame = lambda picture=picture: picture.to_ndarray(format="rgb24")  # noqa: E731
                self.performance.camera.put(Seen(to_frame, arrived=now, captured=begun, mark=captured))
        except MediaStreamError:
            return

    def show(self, frame: Frame, seen: Seen | None) -> None:
        """Called by the performance's thread: stamp the result and hand it to the event loop."""
        self._number = (self._number + 1) % NUMBERS
        stamped = add_stamp(frame, self._number)
        if seen is not None and seen.mark is not None:
            self._sent.append((self._number, seen.mark))
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._track.show, stamped)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_listener("message", self._on_message)
        self._tasks.append(asyncio.ensure_future(self._tell()))

    def _on_message(self, text: object) -> None:
        """An order or a setting; whatever is neither is left out."""
        try:
            message = json.loads(text) if isinstance(text, str) and len(text) < 2000 else {}
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        if message.get("do") in ORDERS:
            self.performance.session.calibrate()
        if isinstance(message.get("set"), dict):
            session = self.performance.session
            known = {name: value for name, value in message["set"].items() if name in vars(session.settings)}
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks.append(asyncio.ensure_future(self._change(known)))

    async def _change(self, changes: dict[str, Any]) -> None:
        await asyncio.to_thread(functools.partial(self.performance.session.change, **changes))

    async def _tell(self) -> None:
        while self._channel.readyState == "open":
            stamps = [[number, captured] for number, captured in list(self._sent)]
            self._channel.send(json.dumps({**await self.facts(), "stamps": stamps}))
            await asyncio.sleep(NUMBERS_EVERY)

    async def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            self.connected.set()
        if self._connection.connectionState in ("failed", "closed"):
            await self.close()
