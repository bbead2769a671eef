"""The worker's end of the wire: animates for a page's server on another machine, see `wire`.

Whoever gets here has shown the token to `server.guard`. A connection takes a seat, as a browser does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from time import perf_counter
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from stillmotion.core.errors import ConfigError, ImageError, StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.live import wire
from stillmotion.live.backstage import Performance
from stillmotion.live.stage import Entrance, Stage
from stillmotion.session.inputs import pixels_from_bytes
from stillmotion.session.live import Settings
from stillmotion.session.pump import Seen

TELL_EVERY = 0.5
"""Seconds between two messages with facts; the other end takes a longer silence for a lost connection."""
PATIENCE = 10.0
"""Seconds in which a new connection must say what it wants."""
SHORTEST_NAME = 8
"""Of a visitor: a name that nobody guesses, for who has it takes the seat over."""
WAITING = 4
"""Results that may wait for a slow connection; then the oldest is dropped."""


class Door:
    """A seat whose camera and screen are on another machine.

    Args:
        loop: The server's event loop.

    Attributes:
        performance: Animates for it, once it has begun.
        results: Messages to send.
        gone: Set when somebody else has ended it.
    """

    performance: Performance

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.results: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self.gone = asyncio.Event()
        self._loop = loop

    def begin(self, performance: Performance) -> None:
        """Animate with this; its results come to `show`."""
        self.performance = performance

    def show(self, frame: Frame, seen: Seen | None) -> None:
        """Called by the performance's thread: hand the result, as a message, to the event loop."""
        message = wire.pack(seen.mark if seen is not None else 0, frame)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, message)

    async def take(self, message: dict[str, Any], size: tuple[int, int]) -> None:
        """What came: a camera frame, a source, an order or a setting; anything else is left out.

        Args:
            message: As the WebSocket gave it.
            size: Of a source, `(h, w)`.

        Raises:
            ImageError: A source of another size.
        """
        data, session = message.get("bytes"), self.performance.session
        if data is not None and wire.number(data) > 0:
            read = functools.partial(wire.unpack, data)
            self.performance.camera.put(Seen(read, arrived=perf_counter(), mark=wire.number(data)))
        elif data is not None:
            await asyncio.to_thread(session.swap, pixels_from_bytes(wire.body(data), size))
        order = _parsed(message.get("text"))
        if order.get("do") == "calibrate":
            session.calibrate()
        if isinstance(order.get("set"), dict):
            known = {name: value for name, value in order["set"].items() if name in vars(session.settings)}
            await asyncio.to_thread(functools.partial(session.change, **known))

    async def close(self) -> None:
        """End the performance, and let `serve` hang up."""
        self.gone.set()
        await asyncio.to_thread(self.performance.close)

    def _put(self, message: bytes) -> None:
        if self.results.full():
            self.results.get_nowait()
        self.results.put_nowait(message)


async def serve(socket: WebSocket, stage: Stage) -> None:
    """One connection, from its hello to its end."""
    await socket.accept()
    visitor, door = socket.headers.get(wire.VISITOR, ""), Door(asyncio.get_running_loop())
    try:
        entrance = await asyncio.wait_for(_hello(socket, stage.backstage.spec.size), PATIENCE)
        await stage.sit(visitor, door, entrance)
    except StillmotionError as error:
        await _hang_up(socket, error)
        return
    except (WebSocketDisconnect, TimeoutError):
        return
    tasks = [
        asyncio.ensure_future(work)
        for work in (_listen(socket, door, stage.backstage.spec.size), _speak(socket, door), _tell(socket, door))
    ]
    ended = asyncio.ensure_future(door.gone.wait())
    try:
        await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in [*tasks, ended]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        if stage.seated.get(visitor) is door:
            await stage.leave(visitor)  # the other end remembers everything, and says it when it comes back
    reason = next((error for error in done if isinstance(error, StillmotionError)), None)
    await _hang_up(socket, reason or ConfigError("another connection has taken this seat"))


async def _hello(socket: WebSocket, size: tuple[int, int]) -> Entrance:
    """What the other end wants: settings, calibration, and the source as a second message."""
    said = _parsed(await socket.receive_text()).get("hello")
    if not isinstance(said, dict) or len(socket.headers.get(wire.VISITOR, "")) < SHORTEST_NAME:
        raise ConfigError("this is no hello", hint="install the same stillmotion at both ends")
    data = await socket.receive_bytes()
    try:
        source = pixels_from_bytes(wire.body(data), size)
    except ImageError as error:
        raise ConfigError(
            "the worker has other weights than before", hint="start again, so that the photo is cut for them"
        ) from error
    settings = Settings().changed(**(said.get("settings") or {}))
    return Entrance(settings, source=source, calibration=wire.calibration_from_json(said.get("calibration")))


async def _listen(socket: WebSocket, door: Door, size: tuple[int, int]) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        await door.take(dict(message), size)


async def _speak(socket: WebSocket, door: Door) -> None:
    while True:
        await socket.send_bytes(await door.results.get())


async def _tell(socket: WebSocket, door: Door) -> None:
    """Facts now and then; the calibration whenever it is another."""
    told: object = None
    while True:
        calibration = door.performance.session.calibration
        changed = (calibration.reference, calibration.crop) != told
        told = (calibration.reference, calibration.crop)
        extra = {"calibration": wire.calibration_to_json(calibration)} if changed else {}
        await socket.send_text(json.dumps({"facts": door.performance.facts(), **extra}))
        await asyncio.sleep(TELL_EVERY)


async def _hang_up(socket: WebSocket, error: StillmotionError) -> None:
    """Say why, where there is still somebody to hear it."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_text(json.dumps({"error": error.message, "hint": error.hint}))
        await socket.close()


def _parsed(text: object) -> dict[str, Any]:
    """A message as a dictionary; an empty one for anything else."""
    try:
        message = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
