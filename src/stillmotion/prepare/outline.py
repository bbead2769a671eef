"""A picture with its crop marked, to look at before anything is animated."""

from __future__ import annotations

import cv2
import numpy as np

from stillmotion.core.frame import Frame, check_frame
from stillmotion.prepare.crop import Crop
from stillmotion.prepare.resize import resize_frame

LONGEST = 480
"""Longer side of the picture that is made, in pixels, at most."""


def draw_crop(frame: Frame, crop: Crop, *, longest: int = LONGEST) -> Frame:
    """A small copy in which what lies outside the crop is dim, and the crop is framed.

    Args:
        frame: `uint8 (h, w, 3)`.
        crop: Box in it, in pixels; may leave it.
        longest: Longer side of the copy, in pixels, at most.

    Returns:
        `uint8 (h', w', 3)`.
    """
    height, width = check_frame(frame).shape[:2]
    scale = min(1.0, longest / max(height, width))
    small = resize_frame(frame, (max(round(height * scale), 1), max(round(width * scale), 1)))
    left, top, right, bottom = (round(value * scale) for value in (crop.x, crop.y, crop.x + crop.w, crop.y + crop.h))
    out = (small * np.float32(0.4)).astype(np.uint8)
    inside = (slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0)))
    out[inside] = small[inside]
    cv2.rectangle(out, (left, top), (right - 1, bottom - 1), (255, 255, 255), 2)
    cv2.rectangle(out, (left - 2, top - 2), (right + 1, bottom + 1), (0, 0, 0), 1)
    return out
