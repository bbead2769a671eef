"""Pictures of several methods doing the same: a row per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from stillmotion.core.frame import Frame
from stillmotion.prepare.resize import resize_frame

HEAD = 22
"""Height of a line of text, pixels."""
COLUMNS = ("source", "driving", "result")
"""Of the grid video."""
LEAST_TILE = 128
"""Smaller frames are shown this large."""


def tile_side(sizes: Sequence[tuple[int, int]]) -> int:
    """Height of a tile in which frames of all these sizes `(h, w)` can be judged, even."""
    side = max(LEAST_TILE, *(height for height, _ in sizes))
    return side + side % 2


def tile(frame: Frame, side: int) -> Frame:
    """A frame `uint8 (h, w, 3)` inside a white square, aspect kept: `uint8 (side, side, 3)`."""
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    small = resize_frame(frame, (max(round(height * scale), 1), max(round(width * scale), 1)))
    out = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def line(text: str, width: int) -> Frame:
    """Black text on white, `uint8 (HEAD, width, 3)`, shortened to fit."""
    out = np.full((HEAD, width, 3), 255, np.uint8)
    fits = text
    while len(fits) > 1 and _wide(fits) > width - 8:
        fits = fits[:-1]
    said = fits if fits == text else fits[:-1] + "~"
    cv2.putText(out, _plain(said), (4, HEAD - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return out


def _wide(text: str) -> int:
    return int(cv2.getTextSize(_plain(text), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0])


def _plain(text: str) -> str:
    """OpenCV's letters are those of ASCII."""
    return text.encode("ascii", "replace").decode("ascii")


def grid_size(rows: int, side: int) -> tuple[int, int]:
    """`(h, w)` of a grid of so many rows."""
    return HEAD + rows * (side + HEAD), side * len(COLUMNS)


def draw_grid(rows: Mapping[str, Sequence[Frame]], *, side: int, titles: Sequence[str] = COLUMNS) -> Frame:
    """A line of titles, then for each row its name and its frames.

    Args:
        rows: Frames `uint8 (h, w, 3)` of any sizes by name, one for each title.
        side: Of a tile, pixels.
        titles: Of the columns.

    Returns:
        `uint8 (h, w, 3)`, see `grid_size`.
    """
    parts = [np.hstack([line(title, side) for title in titles])]
    for name, frames in rows.items():
        parts += [line(name, side * len(titles)), np.hstack([tile(frame, side) for frame in frames])]
    return np.vstack(parts)
