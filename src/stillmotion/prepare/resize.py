"""Resize frames with the right filter, and lay them side by side."""

from __future__ import annotations

import cv2
import numpy as np

from stillmotion.core.errors import ImageError
from stillmotion.core.frame import Frame, check_frame


def resize_plane(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one map or picture without aliasing.

    Shrinking averages over the area that falls on each output pixel, so that fine detail turns
    into its mean instead of moiré; enlarging is bicubic. Each axis gets the filter that it needs.

    Args:
        array: `uint8` or `float32`, `(h, w)` or `(h, w, c)`.
        size: Wanted `(h, w)`, at least 1 each.

    Returns:
        Same dtype and channels; `array` itself when it already has the size. Bicubic overshoots:
        clip float maps that must stay in a range.

    Raises:
        ImageError: `size` has no pixels.
    """
    if min(size) < 1:
        raise ImageError(f"cannot resize to {size[1]}x{size[0]} pixels", hint="ask for at least 1x1", seen=size)
    height, width = array.shape[:2]
    down = (min(height, size[0]), min(width, size[1]))
    if down != (height, width):
        array = cv2.resize(array, (down[1], down[0]), interpolation=cv2.INTER_AREA)
    if down != tuple(size):
        array = cv2.resize(array, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return array


def resize_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """Resize a frame to `size (h, w)`; see `resize_plane` for the filters.

    Args:
        frame: `uint8 (h, w, 3)`.
        size: Wanted `(h, w)`. The aspect is not kept: crop first.

    Returns:
        `uint8 (h, w, 3)`; `frame` itself when it already has the size.

    Raises:
        ImageError: `frame` is no frame, or `size` has no pixels.
    """
    return resize_plane(check_frame(frame), size)


def side_by_side(*frames: Frame) -> Frame:
    """Join frames of the same height, left to right.

    Args:
        *frames: One or more `uint8 (h, w_i, 3)`, all of height h; widths may differ.

    Returns:
        `uint8 (h, sum of w_i, 3)`.

    Raises:
        ImageError: No frames, or heights that differ.
    """
    if not frames:
        raise ImageError("no frames to lay side by side", hint="give at least one")
    heights = [check_frame(frame).shape[0] for frame in frames]
    if len(set(heights)) > 1:
        raise ImageError(
            f"frames laid side by side must have the same height, not {', '.join(map(str, heights))}",
            hint="resize them first with resize_frame",
            seen=tuple(heights),
        )
    return np.concatenate(frames, axis=1)
