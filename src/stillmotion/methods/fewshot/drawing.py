"""Landmark images: points as lines and discs on black, the same pixels everywhere.

Source: the palette of the authors' group's later code (68 points in the layout of 300 Faces in-the-Wild),
with the inner lips added. Swapping the palette breaks a model, so there is only this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from stillmotion.core.flow import Convention, to_pixels
from stillmotion.core.frame import Frame, to_planes

Reader: TypeAlias = Callable[[Frame], "np.ndarray | None"]
"""From a frame to the main face's landmarks `(68, 2)` in pixels, pixel i covering [i, i + 1]; None without a face."""

LINES: tuple[tuple[tuple[int, ...], tuple[int, int, int], bool], ...] = (
    (tuple(range(17)), (255, 255, 255), False),
    (tuple(range(17, 22)), (255, 0, 0), False),
    (tuple(range(22, 27)), (0, 255, 0), False),
    (tuple(range(27, 31)), (0, 0, 255), False),
    (tuple(range(31, 36)), (0, 0, 255), False),
    (tuple(range(36, 42)), (255, 0, 255), True),
    (tuple(range(42, 48)), (0, 255, 255), True),
    (tuple(range(48, 60)), (255, 255, 0), True),
    (tuple(range(60, 68)), (255, 255, 0), True),
)
"""Points of each line, its colour, and whether it is closed: jaw, brows, nose, eyes, lips."""
_BITS = 4  # cv2 draws at sixteenths of a pixel


def draw_points(value: np.ndarray, size: int, *, convention: Convention) -> Frame:
    """The landmark image of one frame.

    Args:
        value: `(k, 2)` in [-1, 1]; 68 points are drawn as the lines of a face, others as discs, each of
            its own colour.
        size: Side of the picture, pixels.
        convention: What -1 and 1 mean.

    Returns:
        `uint8 (size, size, 3)`.
    """
    out = np.zeros((size, size, 3), np.uint8)
    places = np.rint(to_pixels(np.clip(value, -4, 4), (size, size), convention) * (1 << _BITS)).astype(np.int32)
    if len(value) == 68:
        thick = max(round(size / 128), 1)
        for points, colour, is_closed in LINES:
            line = places[list(points)].reshape(1, -1, 2)
            cv2.polylines(out, list(line), is_closed, colour, thick, cv2.LINE_8, _BITS)
        return out
    for i, (x, y) in enumerate(places.tolist()):
        hue = np.array([[[i * 180 // len(places), 255, 255]]], dtype=np.uint8)
        red, green, blue = (int(c) for c in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])
        cv2.circle(out, (x, y), round(size / 24 * (1 << _BITS)), (red, green, blue), cv2.FILLED, cv2.LINE_8, _BITS)
    return out


def draw_batch(values: np.ndarray, size: int, *, convention: Convention) -> np.ndarray:
    """Landmark images of `(n, k, 2)` as planes `float32 (n, 3, size, size)` in [0, 1]."""
    return to_planes(np.stack([draw_points(value, size, convention=convention) for value in values]))


def open_reader() -> Reader:
    """Our own landmark network, from the weights that ship.

    Raises:
        WeightsError: They are missing or damaged.
    """
    from stillmotion import weights
    from stillmotion.prepare.faces import main_face
    from stillmotion.prepare.landmarks import Landmarker
    from stillmotion.runtime import Bundle, open_engine

    landmarker = Landmarker(open_engine(Bundle.open(weights.FACE, method=weights.FACE.name)))

    def read(frame: Frame) -> np.ndarray | None:
        face = main_face(landmarker.find(frame))
        return None if face is None else face.landmarks

    return read
