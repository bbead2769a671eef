"""The near end of the wire: a performance that happens on a worker, and goes on after the wire broke.

Everything that a worker must know is kept here: the source, the settings, the calibration as the worker
last told it. So it does not matter whether the same worker comes back or a fresh one.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from stillmotion.core.errors import EngineError, StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.live import wire
from stillmotion.session.latest import Latest, Rhythm
from stillmotion.session.live import Calibration, Settings
from stillmotion.session.pump import QUIET, Seen, Sink

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

WINDOW = 3
"""Camera frames on their way at once. More would wait in the wire; fewer would leave the worker waiting."""
SILENCE = 4.0
"""Seconds without a word from the worker, who speaks twice a second, after which the wire counts as broken."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 5.0
"""Seconds until the wire is tried again: at first, and at most; each try waits 1.6 times as long."""
PATIENCE = 20.0
"""Seconds that a worker has to begin: it may be encoding the source for the first time."""
LONGEST_SIDE = 640
"""Camera frames are scaled down to this longer side, in pixels."""
LOST = "the connection to the worker was lost; trying again"


class Link:
    """A performance, and the performer in it; see `backstage` for both.

    Args:
        address: Of the worker, `ws://…` or `wss://…`, with its path.
        headers: Sent when connecting: the token, and who asks.
        source: Performs; `uint8` of the worker's size.
        settings: To begin with.
        calibration: To go on from.
        sink: Takes results; called by a thread of the link.

    Attributes:
        error: What the sink raised, which ends the link; whatever else happens, it tries again.
        losses: How often the wire broke.
    """

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        source: Frame,
        *,
        settings: Settings,
        calibration: Calibration | None,
        sink: Sink,
    ) -> None:
        self.camera: Latest[Seen] = Latest()
        self.rhythm = Rhythm()
        self.settings, self.calibration = settings, calibration or Calibration()
        self.error: StillmotionError | None = None
        self.losses = 0
        self._address, self._headers, self._source, self._sink = address, dict(headers), source, sink
        self._status, self._dropped = "connecting to the worker", 0
        self._under_way: dict[int, Seen] = {}
        self._room = threading.Condition()
        self._number, self._pause = 0, FIRST_WAIT
        self._wire: ClientConnection | None = None
        self._is_ready, self._is_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def session(self) -> Link:
        """Itself: the session is at the other end."""
        return self

    def calibrate(self) -> None:
        """Take the pose of the next frame as the rest pose."""
        self._say({"do": "calibrate"})

    def change(self, **changes: Any) -> Settings:
        """Change settings; see `Settings.changed`."""
        self.settings = self.settings.changed(**changes)
        self._say({"set": vars(self.settings)})
        return self.settings

    def swap(self, source: Frame) -> None:
        """Perform with another source."""
        self._source = source
        self._send(wire.pack_source(source))

    def wait(self) -> None:
        """Return once the worker has begun, or does not within `PATIENCE`."""
        self._is_ready.wait(PATIENCE)

    def facts(self) -> dict[str, Any]:
        """The numbers, as `Pump` has them; delays include the way to the worker and back."""
        delays = {name: self.rhythm.delay(share) for name, share in (("p50", 0.5), ("p95", 0.95))}
        return {
            "fps": round(self.rhythm.rate, 1),
            "seen": self.camera.put_count,
            "dropped": self.camera.dropped + self._dropped,
            **{name: None if delay is None else round(delay * 1000, 1) for name, delay in delays.items()},
            "status": self._status,
            "mismatch": self.calibration.mismatch,
            "failed": self._wire is None,
        }

    def close(self) -> None:
        """Hang up and wait for the threads."""
        self._is_closed.set()
        self.camera.close()
        found = self._wire
        if found is not None:
            found.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(10.0)

    def _run(self) -> None:
        """Connect, and again whenever it breaks."""
        while not self._is_closed.is_set():
            try:
                with self._connect() as found:
                    self._talk(found)
            except StillmotionError as error:
                self._status = error.message
            except InvalidStatus as error:
                refused = "refuses the token" if error.response.status_code in (401, 403) else "gives no connection"
                self._status = f"the worker {refused}; trying again"
            except (OSError, WebSocketException):
                self._status = LOST if self.losses or self._number else "the worker does not answer; trying again"
            except (ValueError, TypeError):
                self._status = "the worker speaks another language: install the same stillmotion at both ends"
            self._is_closed.wait(self._pause)
            self._pause = min(self._pause * 1.6, LONGEST_WAIT)

    def _connect(self) -> ClientConnection:
        return connect(
            self._address,
            additional_headers=self._headers,
            open_timeout=SILENCE,
            close_timeout=1.0,
            ping_interval=None,  # the worker speaks twice a second: `SILENCE` sees more than a ping would
            compression=None,
            max_size=wire.MOST_BYTES,
            proxy=None,  # nothing goes anywhere but to the worker
        )

    def _talk(self, found: ClientConnection) -> None:
        """From the hello until the wire breaks."""
        self._hello(found)
        self._wire, self._pause = found, FIRST_WAIT
        self._is_ready.set()
        self._under_way.clear()
        sender = threading.Thread(target=self._send_frames, args=(found,), daemon=True)
        sender.start()
        try:
            while True:
                self._hear(found.recv(timeout=SILENCE))
        finally:
            self._wire = None
            self.losses += not self._is_closed.is_set()
            with contextlib.suppress(OSError, WebSocketException):
                found.close()
            sender.join(5.0)

    def _hello(self, found: ClientConnection) -> None:
        """Say who performs and how; the worker's first words are facts, or why it cannot."""
        calibration = wire.calibration_to_json(self.calibration)
        found.send(json.dumps({"hello": {"settings": vars(self.settings), "calibration": calibration}}))
        found.send(wire.pack_source(self._source))
        self._hear(found.recv(timeout=PATIENCE))

    def _send_frames(self, found: ClientConnection) -> None:
        """The newest camera frame, whenever there is room for one more on the way."""
        with contextlib.suppress(ConnectionClosed, OSError):
            while self._wire is found and not self.camera.is_closed:
                with self._room:
                    if not self._room.wait_for(lambda: len(self._under_way) < WINDOW, timeout=QUIET):
                        continue
                seen = self.camera.take(QUIET)
                if seen is not None:
                    self._number += 1
                    message = wire.pack(self._number, seen.frame(), longest=LONGEST_SIDE)
                    with self._room:
                        self._under_way[self._number] = seen
                    found.send(message)

    def _hear(self, message: str | bytes) -> None:
        """One message of the worker's.

        Raises:
            EngineError: It says that it will not, and why.
        """
        if isinstance(message, bytes):
            self._show(message)
            return
        said = json.loads(message)
        if "error" in said:
            raise EngineError(str(said["error"]), hint=str(said.get("hint", "")))
        facts = said.get("facts", {})
        self._status, self._dropped = str(facts.get("status", "")), int(facts.get("dropped", 0))
        self.calibration = wire.calibration_from_json(said.get("calibration")) or self.calibration

    def _show(self, message: bytes) -> None:
        """A result. Frames sent before it were dropped at the other end, or their results are."""
        number = wire.number(message)
        with self._room:
            seen = self._under_way.get(number)
            for old in [other for other in self._under_way if other <= number]:
                del self._under_way[old]
            self._room.notify_all()
        if seen is not None:
            self.rhythm.beat(perf_counter() - (seen.arrived if seen.captured is None else seen.captured))
        frame = wire.unpack(message)
        try:
            self._sink(frame, seen)
        except StillmotionError as error:
            self.error = error
            self._is_closed.set()
            raise

    def _say(self, order: dict[str, Any]) -> None:
        self._send(json.dumps(order))

    def _send(self, message: str | bytes) -> None:
        """Send where there is a wire; where there is none, the next hello says it."""
        found = self._wire
        if found is not None:
            with contextlib.suppress(ConnectionClosed, OSError):
                found.send(message)
