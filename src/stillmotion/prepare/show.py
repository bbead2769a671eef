"""Pictures of what a method sees: keypoints, flow, occlusion."""

from __future__ import annotations

import cv2
import numpy as np

from stillmotion.core.errors import MotionError
from stillmotion.core.flow import Convention, Flow, make_grid, to_pixels
from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.motion import Keypoints, Landmarks
from stillmotion.prepare.resize import resize_plane

FULL_FLOW = 0.5
"""Displacement drawn in full colour, in normalised units: a quarter of the picture."""

_FRACTION_BITS = 4  # cv2 draws at sixteenths of a pixel


def _hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours `uint8 (..., 3)` RGB from hue in turns and saturation and value in [0, 1]."""
    sector = (np.asarray(hue)[..., None] * 6.0 + np.array([5.0, 3.0, 1.0])) % 6.0
    fall = np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    colours = np.asarray(value)[..., None] * (1.0 - np.asarray(saturation)[..., None] * fall)
    return np.rint(colours * 255.0).astype(np.uint8)


def keypoint_colours(count: int) -> np.ndarray:
    """`uint8 (count, 3)` RGB, bright, evenly spread hues; neighbours differ in brightness as well."""
    index = np.arange(count)
    return _hsv(index / max(count, 1), np.full(count, 0.85), np.where(index % 2, 0.8, 1.0))


def draw_keypoints(frame: Frame, keypoints: Keypoints | Landmarks, *, convention: Convention) -> Frame:
    """Mark each keypoint with a disc of its own colour, ringed in black and white.

    Args:
        frame: `uint8 (h, w, 3)`; not changed.
        keypoints: Values in [-1, 1] over the frame; those outside it are not seen.
        convention: Grid convention of the weights that read them.

    Returns:
        `uint8 (h, w, 3)`, a new array.

    Raises:
        ImageError: `frame` is no frame.
    """
    out = check_frame(frame).copy()
    height, width = out.shape[:2]
    one = 1 << _FRACTION_BITS
    radius = max(min(height, width) / 64.0, 1.5)
    places = to_pixels(np.clip(keypoints.value, -4.0, 4.0), (height, width), convention)
    for (x, y), colour in zip(np.rint(places * one).astype(int).tolist(), keypoint_colours(len(places)), strict=True):
        # Two rings, so that the disc stands out on any background.
        for grow, ink in ((2.0, (0, 0, 0)), (1.0, (255, 255, 255)), (0.0, tuple(map(int, colour)))):
            size = round((radius + grow * radius / 4.0) * one)
            cv2.circle(out, (x, y), size, ink, cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
    return out


def draw_flow(flow: Flow, size: tuple[int, int], *, full: float = FULL_FLOW) -> Frame:
    """Colour wheel of the displacement from the identity grid.

    Hue is the direction in which the flow reads (right red, down chartreuse, left cyan, up violet),
    saturation its length; white does not move. The scale is fixed, so that a video does not flicker.

    Args:
        flow: Backward map of any size.
        size: Wanted `(h, w)`.
        full: Length in normalised units drawn in full colour, above 0.

    Returns:
        `uint8`, `size`.

    Source:
        The colour code of Baker et al. 2011 (Middlebury), on the HSV wheel.
    """
    shift = np.asarray(flow.grid, dtype=np.float32) - make_grid(flow.size, flow.convention)
    shift = resize_plane(np.ascontiguousarray(shift), size)
    hue = (np.arctan2(shift[..., 1], shift[..., 0]) / (2.0 * np.pi)) % 1.0
    length = np.clip(np.linalg.norm(shift, axis=-1) / full, 0.0, 1.0)
    return _hsv(hue, length, np.ones_like(length))


def draw_occlusion(flow: Flow, size: tuple[int, int]) -> Frame:
    """Grey map of the occlusion: white keeps the warped source, black is invented.

    Args:
        flow: With an occlusion of any size.
        size: Wanted `(h, w)`.

    Returns:
        `uint8`, `size`.

    Raises:
        MotionError: The flow has no occlusion.
    """
    if flow.occlusion is None:
        raise MotionError("this method has no occlusion map to show", hint="use --show keypoints or --show flow")
    plane = resize_plane(np.ascontiguousarray(flow.occlusion, dtype=np.float32), size)
    grey = np.rint(np.clip(plane, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
