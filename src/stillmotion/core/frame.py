"""Frames: the only picture that crosses a public boundary, and the streams they come in.

A frame is `uint8 (h, w, 3)`, RGB, origin top left. Networks want float planes; the two
conversions here are the only place where the range changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self, TypeAlias, runtime_checkable

import numpy as np

from stillmotion.core.errors import ImageError

Frame: TypeAlias = np.ndarray
"""`uint8 (h, w, 3)`, RGB, origin top left."""


def check_frame(frame: np.ndarray, *, name: str = "frame") -> Frame:
    """Return `frame` unchanged if it is one.

    Args:
        frame: Anything that should be `uint8 (h, w, 3)` with at least one pixel.
        name: What to call it in the message.

    Raises:
        ImageError: The type, shape or dtype is another.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        seen = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ImageError(
            f"{name} must be uint8 (height, width, 3) RGB, not {seen}",
            hint="convert it first, for example with stillmotion.read_image(path)",
            seen=seen,
        )
    if frame.size == 0:
        raise ImageError(f"{name} is empty: {frame.shape}", seen=str(frame.shape))
    return frame


def to_planes(frames: np.ndarray) -> np.ndarray:
    """Frames `uint8 (n, h, w, 3)` to `float32 (n, 3, h, w)` in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(frames, 3, 1), dtype=np.float32) / np.float32(255.0)


def to_frames(planes: np.ndarray) -> np.ndarray:
    """`float (n, 3, h, w)` in [0, 1] to frames `uint8 (n, h, w, 3)`: clipped, times 255, rounded half up."""
    levels = np.clip(planes, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)
    return np.ascontiguousarray(np.moveaxis(levels.astype(np.uint8), 1, 3))


@runtime_checkable
class Video(Protocol):
    """A stream of frames. Always closed on leaving `with`; iterating twice reads twice.

    `size` is `(h, w)` after rotation, `fps` the exact nominal rate, `length` the number of
    frames where the container knows it (an estimate, never relied on).
    """

    size: tuple[int, int]
    fps: Fraction
    length: int | None

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        """The frames, in order."""
        ...

    def timed(self) -> Iterator[tuple[Fraction, Frame]]:
        """The frames with their presentation times in seconds, the first at 0, strictly rising."""
        ...
