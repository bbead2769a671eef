"""A visible label: the words that say, in the picture itself, that it was generated."""

from __future__ import annotations

import cv2
import numpy as np

from stillmotion.core.errors import ImageError
from stillmotion.core.frame import Frame, check_frame

LABEL = "AI-generated"
"""What is written."""
HEIGHT = 1 / 14
"""Height of the label's box, in shorter sides of the frame."""


class Labeller:
    """Writes the label into the lower left corner of frames; its pixels are drawn once.

    Args:
        size: `(h, w)` of the frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._box = _draw(LABEL, size)

    def write(self, frame: Frame) -> Frame:
        """A copy of `frame`, `uint8 (h, w, 3)` of the declared size, with the label in it.

        Raises:
            ImageError: No frame, or another size.
        """
        if check_frame(frame).shape[:2] != tuple(self._size):
            raise ImageError(f"a label for frames of {tuple(self._size)} (h, w) does not fit {frame.shape[:2]}")
        out = frame.copy()
        height, width = self._box.shape[:2]
        out[-height:, :width] = self._box
        return out


def _draw(text: str, size: tuple[int, int]) -> np.ndarray:
    """White letters on a dark box, as large as suits the frame, never larger than it."""
    font, shorter = cv2.FONT_HERSHEY_SIMPLEX, min(size)
    wanted = max(round(shorter * HEIGHT), 10)
    scale = wanted / 34  # Hershey's letters are 22 pixels high at scale 1, and have room above and below
    (width, _), _ = cv2.getTextSize(text, font, scale, 1)
    box = np.full((wanted, width + wanted // 2, 3), 24, np.uint8)
    cv2.putText(box, text, (wanted // 4, round(wanted * 0.72)), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return box[: size[0], : size[1]]
