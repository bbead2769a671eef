"""Counting frames, timing them, and telling whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeAlias

from stillmotion.core.errors import VideoError
from stillmotion.core.method import Method
from stillmotion.session.driving import Driving, Moment
from stillmotion.video.write import VideoWriter

Progress: TypeAlias = Callable[[int, int | None, float], object]
"""Called after each frame with: frames done, frames expected (None: unknown), frames per second."""


class Meter:
    """Watches one pass over a driving.

    Attributes:
        done: Frames done so far.
        seconds: Time from before the first frame to after the last one, so far.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.done = 0
        self.seconds = 0.0
        self._made = perf_counter()
        self._progress = progress

    @property
    def speed(self) -> float:
        """Frames per second so far; 0 before the first."""
        return self.done / self.seconds if self.seconds else 0.0

    def facts(self, method: Method, driving: Driving) -> dict[str, Any]:
        """What every report says: who ran, on what, how fast. Its `seconds` count from when the meter was made."""
        return {
            "fps": driving.fps,
            "crop_driving": driving.crop,
            "seconds": perf_counter() - self._made,
            "speed": self.speed,
            "method": method.spec.name,
            "weights": method.spec.weights,
            "engine": method.engine.name,
        }

    def watch(self, driving: Driving) -> Iterator[Moment]:
        """The moments of a driving; each counts when the next is asked for, its work then being done.

        Raises:
            VideoError: There was only one, or none.
        """
        started = perf_counter()
        for moment in driving:
            yield moment
            self.done += 1
            self.seconds = perf_counter() - started
            if self._progress is not None:
                self._progress(self.done, driving.length and max(driving.length, self.done), self.speed)
        if self.done < 2:
            raise VideoError(
                f"the driving clip has {'one frame' if self.done else 'no frames'}, so nothing moves",
                hint="give a clip of two frames or more",
                seen=self.done,
            )


@contextmanager
def noting_what_is_kept(writer: VideoWriter) -> Iterator[None]:
    """Add a note to a Ctrl-C that passes: where what was done can be played."""
    try:
        yield
    except KeyboardInterrupt as error:
        if writer.kept is not None:
            error.add_note(f"the {writer.frames} frames that were done can be played: {writer.kept}")
        raise
