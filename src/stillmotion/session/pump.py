"""The thread that animates live: newest camera frame in, result out, numbers kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from stillmotion.core.errors import EngineError, ImageError, StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.session.latest import Latest, Rhythm
from stillmotion.session.live import LiveSession

QUIET = 0.5
"""Seconds without a camera frame after which something is shown all the same."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A camera frame on its way.

    Attributes:
        frame: Makes `uint8 (h, w, 3)`; called only for frames that are not dropped.
        captured: When it was captured, seconds on the clock of `arrived`; None where unknown.
        arrived: When it came in, seconds of `perf_counter`.
        mark: Whatever the giver wants back with the result.
    """

    frame: Callable[[], Frame]
    arrived: float
    captured: float | None = None
    mark: Any = None


class Sink(Protocol):
    """Takes results; called by the pump's thread."""

    def __call__(self, frame: Frame, seen: Seen | None) -> object: ...


class Pump:
    """Animates the newest frame, again and again, until it is closed.

    Args:
        session: Animates.
        sink: Takes the results; `None` comes with a frame that no camera frame led to.

    Attributes:
        camera: Put `Seen` frames here.
        session: The same.
        rhythm: Of what came out; delays count from capture, or from arrival where that is all that is known.
        error: What ended it, if anything did.
    """

    def __init__(self, session: LiveSession, sink: Sink) -> None:
        self.camera: Latest[Seen] = Latest()
        self.rhythm = Rhythm()
        self.error: StillmotionError | None = None
        self.session, self._sink = session, sink
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return once it can begin: at once, for it has begun."""

    def facts(self) -> dict[str, Any]:
        """The numbers: frames per second out, frames in and dropped, delays in milliseconds, status."""

        def milliseconds(share: float) -> float | None:
            delay = self.rhythm.delay(share)
            return None if delay is None else round(delay * 1000, 1)

        return {
            "fps": round(self.rhythm.rate, 1),
            "seen": self.camera.put_count,
            "dropped": self.camera.dropped,
            "p50": milliseconds(0.5),
            "p95": milliseconds(0.95),
            "status": self.error.message if self.error else self.session.status,
            "mismatch": self.session.mismatch,
            "failed": self.error is not None,
        }

    def close(self) -> None:
        """Stop and wait for the thread."""
        self.camera.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(10.0)
        self.session.close()

    def _read(self, seen: Seen) -> Frame | None:
        """The camera frame; None where what came is none, which ends nothing."""
        try:
            return seen.frame()
        except ImageError as error:
            self.session.status = error.message
            return None

    def _run(self) -> None:
        try:
            while not self.camera.is_closed:
                seen = self.camera.take(QUIET)
                given = self._read(seen) if seen is not None else None
                if seen is not None and given is not None:
                    frame = self.session.step(given, perf_counter())
                    self.rhythm.beat(perf_counter() - (seen.arrived if seen.captured is None else seen.captured))
                    self._sink(frame, seen)
                elif seen is None and not self.camera.is_closed:
                    self._sink(self.session.idle(perf_counter()), None)
        except StillmotionError as error:
            self.error = error
        except Exception as error:  # a thread that ends without a word would leave its picture frozen for ever
            self.error = EngineError(
                f"animating has stopped: {type(error).__name__}: {error}",
                hint="start again; this is a bug in stillmotion",
            )
