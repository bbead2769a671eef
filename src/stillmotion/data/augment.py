"""What is done to a pair of frames before the networks see it.

Source: the published augmentation of Siarohin et al. 2019, in its order: flips, resize and crop,
colour jitter. Mended: a time flip no longer keeps the horizontal flip from being drawn, and the
random crop does not mix up its axes. Camera motion is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stillmotion.core.recipe import AugmentationConfig


@dataclass(frozen=True)
class Augmentation(AugmentationConfig):
    """Random changes of a sample as a method's config asks for them, and camera motion beside.

    Attributes:
        camera: Strength of a random camera move between the two frames, each frame moved on its own: at 1,
            up to ±0.1 of the side shifted, ±8° turned, ±12 % zoomed, 3 % sheared; 0 leaves it out.
    """

    camera: float = 0.0

    def __call__(self, pair: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change `uint8 (f, h, w, 3)`, all frames alike; same shape and dtype. All randomness comes from `rng`."""
        if self.time_flip and rng.random() < 0.5:
            pair = pair[::-1]
        if self.horizontal_flip and rng.random() < 0.5:
            pair = pair[:, :, ::-1]
        if self.resize is not None:
            pair = resize_and_crop(pair, float(rng.uniform(*self.resize)), rng)
        if self.camera:
            pair = np.stack([move_camera(frame, self.camera, rng) for frame in pair])
        for change in self._jitter(rng):
            pair = np.stack([change(frame) for frame in pair])
        return np.ascontiguousarray(pair)

    def _jitter(self, rng: np.random.Generator) -> list[Callable[[np.ndarray], np.ndarray]]:
        """The colour changes of one pair, with their factors drawn, in random order."""
        changes: list[Callable[[np.ndarray], np.ndarray]] = []
        for limit, apply in (
            (self.brightness, change_brightness),
            (self.contrast, change_contrast),
            (self.saturation, change_saturation),
        ):
            if limit:
                changes.append(_bound(apply, float(rng.uniform(max(0.0, 1 - limit), 1 + limit))))
        if self.hue:
            changes.append(_bound(shift_hue, float(rng.uniform(-self.hue, self.hue))))
        return [changes[i] for i in rng.permutation(len(changes))]


def _bound(apply: Callable[[np.ndarray, float], np.ndarray], amount: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frame: apply(frame, amount)


def change_brightness(frame: np.ndarray, factor: float) -> np.ndarray:
    """Multiply all levels of a `uint8` frame, clipped."""
    return cv2.convertScaleAbs(np.ascontiguousarray(frame), alpha=factor)


def change_contrast(frame: np.ndarray, factor: float) -> np.ndarray:
    """Pull all levels away from (or towards) the frame's mean luminance."""
    mean = round(float(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY).mean()))
    levels = np.clip(np.arange(256) * factor + mean * (1 - factor), 0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(frame), levels)


def change_saturation(frame: np.ndarray, factor: float) -> np.ndarray:
    """Pull every pixel away from (or towards) its own luminance."""
    frame = np.ascontiguousarray(frame)
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(frame, factor, grey, 1 - factor, 0)


def shift_hue(frame: np.ndarray, share: float) -> np.ndarray:
    """Turn the colour circle by `share` of its length; 256 steps, as in 8-bit HSV."""
    wheel = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2HSV_FULL)
    wheel[..., 0] += np.uint8(round(share * 255) % 256)
    return cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB_FULL)


def resize_and_crop(pair: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Scale both frames by `factor` (nearest pixel, as published) and cut the old size back out.

    Frames that became smaller are padded by repeating their edge; of larger ones a random part is
    taken, the same for both. `uint8 (2, h, w, 3)` in and out.
    """
    height, width = pair.shape[1:3]
    new = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = [cv2.resize(np.ascontiguousarray(f), new, interpolation=cv2.INTER_NEAREST) for f in pair]
    lack_x, lack_y = max(0, width - new[0]), max(0, height - new[1])
    if lack_x or lack_y:
        sides = (lack_y // 2, lack_y - lack_y // 2, lack_x // 2, lack_x - lack_x // 2)
        scaled = [cv2.copyMakeBorder(f, *sides, cv2.BORDER_REPLICATE) for f in scaled]
    top, left = crop_corner((scaled[0].shape[0], scaled[0].shape[1]), (height, width), rng)
    return np.stack([f[top : top + height, left : left + width] for f in scaled])


def crop_corner(have: tuple[int, int], want: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Random `(top, left)` of a `want (h, w)` window in `have (h, w)`; each axis by its own slack."""
    return int(rng.integers(0, have[0] - want[0] + 1)), int(rng.integers(0, have[1] - want[1] + 1))


def move_camera(frame: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """One random affine view of `uint8 (h, w, 3)` about its centre, the edge repeated outside.

    See `Augmentation.camera` for the ranges.
    """
    height, width = frame.shape[:2]
    turn, zoom, shift_x, shift_y, shear = strength * rng.uniform(-1, 1, size=5)
    angle, scale = np.deg2rad(8.0 * turn), np.exp(0.12 * zoom)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, 0.03 * shear], [0.0, 1.0]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - linear @ centre + 0.1 * np.array([shift_x * width, shift_y * height])
    matrix = np.concatenate([linear, offset[:, None]], axis=1)
    return cv2.warpAffine(
        np.ascontiguousarray(frame), matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
