"""Boxes in a frame: how much they overlap, and how they grow into a crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np

from stillmotion.core.frame import Frame
from stillmotion.prepare.resize import resize_frame

Shape: TypeAlias = Literal["square", "stretched"]
"""`square` makes the crop square before it is resized: nothing is distorted. `stretched` resizes the
box as it is: so the published VoxCeleb crops were made, with a median width of 0.82 heights."""


@dataclass(frozen=True)
class Box:
    """A box in a frame.

    Attributes:
        left, top, right, bottom: Edges in pixels; right and bottom are one past the last pixel.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels, 0 or more."""
        return max(self.right - self.left, 0.0)

    @property
    def height(self) -> float:
        """Pixels, 0 or more."""
        return max(self.bottom - self.top, 0.0)

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def longer_side(self) -> float:
        """Pixels."""
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """`(x, y)` in pixels."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def overlap(self, other: Box) -> float:
        """Intersection over union with another box, 0 to 1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(width, 0.0) * max(height, 0.0)
        whole = self.area + other.area - shared
        return shared / whole if whole > 0 else 0.0

    def with_(self, other: Box) -> Box:
        """The smallest box that contains both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def scaled(self, horizontal: float, vertical: float) -> Box:
        """The same box in a picture of another size."""
        return Box(self.left * horizontal, self.top * vertical, self.right * horizontal, self.bottom * vertical)

    def moved(self, right: float, down: float) -> Box:
        """The same box elsewhere, pixels."""
        return Box(self.left + right, self.top + down, self.right + right, self.bottom + down)

    def is_within(self, size: tuple[int, int]) -> bool:
        """Whether no side leaves a frame of `size (h, w)`."""
        return self.left >= 0 and self.top >= 0 and self.right <= size[1] and self.bottom <= size[0]

    def slid_into(self, size: tuple[int, int]) -> Box:
        """Moved the shortest way that brings it inside `size (h, w)`, as far as it fits."""
        right = max(-self.left, 0.0) or min(size[1] - self.right, 0.0)
        down = max(-self.top, 0.0) or min(size[0] - self.bottom, 0.0)
        return self.moved(right, down)

    def rounded(self) -> Box:
        """Whole pixels, at least one each way; place and size are rounded apart, so that a square stays one."""
        left, top = round(self.left), round(self.top)
        return Box(left, top, left + max(round(self.width), 1), top + max(round(self.height), 1))

    def cut(self, frame: Frame, size: tuple[int, int]) -> Frame:
        """What is in the box, rounded to whole pixels and resized to `size (h, w)`.

        Args:
            frame: `uint8 (h, w, 3)`; where the box leaves it, its edge is repeated.
            size: Wanted `(h, w)`.
        """
        box = self.rounded()
        left, top, right, bottom = (int(edge) for edge in (box.left, box.top, box.right, box.bottom))
        height, width = frame.shape[:2]
        around = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        if any(around):
            frame = cv2.copyMakeBorder(frame, *around, cv2.BORDER_REPLICATE)
        left, top, right, bottom = left + around[2], top + around[0], right + around[2], bottom + around[0]
        return resize_frame(np.ascontiguousarray(frame[top:bottom, left:right]), size)


def grown(box: Box, margin: float, *, shape: Shape) -> Box:
    """A box with a margin.

    Args:
        box: What must be inside.
        margin: Added on each side, as a share of the box's side: 0.1 makes it 1.2 times as large.
        shape: `square` lets the shorter side grow until both are 1 + 2 · margin times the longer
            one; `stretched` grows each side by its own share.
    """
    width, height = box.width * (1 + 2 * margin), box.height * (1 + 2 * margin)
    if shape == "square":
        width = height = max(width, height)
    x, y = box.centre
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
