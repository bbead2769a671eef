"""Set the animated crop back into the full picture, with a soft seam."""

from __future__ import annotations

import cv2
import numpy as np

from stillmotion.core.errors import CropError, ImageError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.prepare.crop import Crop
from stillmotion.prepare.resize import resize_frame, resize_plane

FEATHER = 0.1
"""Default width of the seam: share of the crop's shorter side over which the picture fades over."""


def _ramp(length: int, width: int, *, first: bool, last: bool) -> np.ndarray:
    """Weights `float32 (length,)`: raised cosine from 0 at the named ends to 1 at `width` pixels."""
    weights = np.ones(length)
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(width) / max(width, 1))
    count = min(width, length)
    if first:
        weights[:count] *= rise[:count]
    if last:
        weights[::-1][:count] *= rise[:count]
    return weights.astype(np.float32)


class Paster:
    """Sets animated frames back into one full picture; everything that stays is computed once.

    The seam lies inside the crop: on its border the picture is the source's, to the bit, and so it
    is everywhere outside; further in than `feather` it is the animated frame's. Where the crop
    meets or leaves the picture's edge there is no seam, since there is nothing to join.

    Args:
        frame: Full picture, `uint8 (h, w, 3)`; a copy is kept.
        crop: The crop that the animated frames were made from.
        size: `(h, w)` of the animated frames.
        feather: Width of the seam as a share of the crop's shorter side, in [0, 0.5]; 0 cuts hard.
        mask: `(h, w)` of any size over the crop, bool or float in [0, 1], 1 shows the animated
            frame; multiplied with the seam. None shows all.

    Raises:
        ImageError: `frame` is no frame, or the mask is not `(h, w)` in [0, 1].
        CropError: The crop does not fit the picture, or `feather` is out of range.
    """

    def __init__(
        self,
        frame: Frame,
        crop: Crop,
        *,
        size: tuple[int, int],
        feather: float = FEATHER,
        mask: np.ndarray | None = None,
    ) -> None:
        if not 0.0 <= feather <= 0.5:
            raise CropError(f"feather must be between 0 and 0.5, not {feather:g}", hint=f"{FEATHER:g} is usual")
        crop.check(check_frame(frame).shape[:2])
        height, width = frame.shape[:2]
        left, top, w, h = crop.pixels
        rows, columns = (max(top, 0), min(top + h, height)), (max(left, 0), min(left + w, width))
        self.size = size
        self._frame = frame.copy()
        self._box = (h, w)
        self._there = (slice(*rows), slice(*columns))
        self._here = (slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left))
        band = round(feather * min(h, w))
        down = _ramp(h, band, first=top > 0, last=top + h < height)
        across = _ramp(w, band, first=left > 0, last=left + w < width)
        weights = np.outer(down, across) * (1.0 if mask is None else _checked_mask(mask, (h, w)))
        self._new = np.ascontiguousarray(weights[self._here], dtype=np.float32)
        self._old = 1.0 - self._new
        self._under = np.ascontiguousarray(self._frame[self._there])

    def paste(self, animated: Frame) -> Frame:
        """The full picture with `animated` in it.

        Args:
            animated: `uint8`, of the size given to `Paster`.

        Returns:
            `uint8`, the full picture's size; a new array each time. Only the crop is computed.

        Raises:
            ImageError: `animated` is no frame or has another size.
        """
        if check_frame(animated, name="animated frame").shape[:2] != tuple(self.size):
            raise ImageError(
                f"animated frame is {animated.shape[1]}x{animated.shape[0]}, not {self.size[1]}x{self.size[0]}",
                hint="paste what the method returned for this crop",
                seen=animated.shape,
            )
        fitted = np.ascontiguousarray(resize_frame(animated, self._box)[self._here])
        out = self._frame.copy()
        out[self._there] = cv2.blendLinear(fitted, self._under, self._new, self._old)
        return out


def _checked_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    plane = np.asarray(mask, dtype=np.float32)
    if plane.ndim != 2 or plane.size == 0 or not (plane.min() >= 0 and plane.max() <= 1):
        raise ImageError(f"a paste mask must be (height, width) in [0, 1], not {plane.shape}", seen=plane.shape)
    return np.clip(resize_plane(plane, size), 0.0, 1.0)


def paste_back(
    frame: Frame,
    animated: Frame,
    crop: Crop,
    *,
    feather: float = FEATHER,
    mask: np.ndarray | None = None,
) -> Frame:
    """Set one animated frame back into the full picture; for many, keep a `Paster`.

    Args:
        frame: Full picture, `uint8 (h, w, 3)`.
        animated: `uint8`, any size: it is stretched over the crop.
        crop: See `Paster`, and there `feather`, `mask` and `Raises`.
        feather: See `Paster`.
        mask: See `Paster`.

    Returns:
        `uint8 (h, w, 3)`.
    """
    size = check_frame(animated, name="animated frame").shape
    return Paster(frame, crop, size=(size[0], size[1]), feather=feather, mask=mask).paste(animated)
