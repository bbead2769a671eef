"""What every reader of frames shares: opened for each pass, closed on every way out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

from stillmotion.core.errors import VideoError
from stillmotion.core.frame import Frame

Timed = Generator[tuple[Fraction, Frame], None, None]


class FrameStream(ABC):
    """A video to read, one frame in memory at a time; it keeps the `Video` protocol.

    Each pass opens the file anew, so that iterating twice reads twice and two passes at once do not
    disturb each other. Leaving `with` closes whatever pass is still open.

    Attributes:
        path: The file or folder.
        size: `(h, w)` of every frame, upright and with square pixels.
        fps: Exact nominal frame rate.
        length: Number of frames, an estimate; None where nothing tells.
        start: Time of the first frame on the file's own clock, seconds; sound is counted from it.
        has_audio: Whether the file carries sound.
        damaged: Packets or pictures that could not be decoded in the latest pass, and were skipped
            or patched up by the decoder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: tuple[int, int] = (0, 0)
        self.fps = Fraction(25)
        self.length: int | None = None
        self.start = Fraction(0)
        self.has_audio = False
        self.damaged = 0
        self._passes: WeakSet[Timed] = WeakSet()
        self._is_closed = False

    @abstractmethod
    def _read(self) -> Timed:
        """One pass; must release what it opened when the generator is closed."""

    def timed(self) -> Iterator[tuple[Fraction, Frame]]:
        """A new pass: `(seconds since the first frame, frame)`, times strictly rising.

        Raises:
            VideoError: The video was closed, or nothing in it can be decoded.
        """
        if self._is_closed:
            raise VideoError(f"{self.path} was closed", hint="open it again, or stay inside `with open_video(...)`")
        started = self._read()
        self._passes.add(started)
        return started

    def __iter__(self) -> Iterator[Frame]:
        for _, frame in self.timed():
            yield frame

    def close(self) -> None:
        """End every pass and release its file; closing twice is fine."""
        self._is_closed = True
        for started in list(self._passes):
            started.close()
        self._passes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
