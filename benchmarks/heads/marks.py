"""Which landmark each keypoint learns to mark, and how much every pixel weighs."""

from __future__ import annotations

import cv2
import numpy as np

ANCHORS: tuple[tuple[int, ...], ...] = (
    (37, 38),  # upper lids
    (43, 44),
    (30,),  # tip of the nose
    (48,),  # corners of the mouth
    (54,),
    (62,),  # inner edge of the lips, upper and lower
    (66,),
    (8,),  # chin
    (),  # two stay free
    (),
    (40, 41),  # lower lids
    (46, 47),
    (19,),  # brows
    (24,),
    (3,),  # jaw
    (13,),
)
"""Landmarks of the 68-point layout whose mean a keypoint learns; an empty tuple leaves it free."""

MARKS = {
    name: index
    for index, name in enumerate(
        (
            "right upper lid",
            "left upper lid",
            "tip of the nose",
            "right mouth corner",
            "left mouth corner",
            "upper lip",
            "lower lip",
            "chin",
            "",
            "",
            "right lower lid",
            "left lower lid",
            "right brow",
            "left brow",
            "right jaw",
            "left jaw",
        )
    )
    if name
}
"""What the bundle's card says of them; blinks need the lids and the corners of the mouth (`prepare.lids`)."""

STRESS = np.array([2, 2, 1, 2, 2, 2, 2, 1, 0, 0, 2, 2, 1, 1, 0.5, 0.5], np.float32)
"""How much each anchor counts: lids and lips move least and matter most."""

_LIDS = (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)
_JAW_TO_NOSE = (*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1))
_LIPS = (*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1))
MIRRORED = np.array((*_JAW_TO_NOSE, *_LIDS, *_LIPS))
"""The 68 landmarks in a mirrored picture."""


def anchored(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the keypoints should be, `(k, 2)` in [-1, 1], and how much each counts: hidden ones less."""
    where = np.stack([points[list(a)].mean(0) if a else np.zeros(2) for a in ANCHORS]).astype(np.float32)
    certain = np.array([1.0 if a and seen[list(a)].all() else 0.3 for a in ANCHORS], np.float32)
    return where, certain * STRESS * (np.abs(where) < 1).all(1)


def anchored_coarsely(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """As `anchored`, from a face detector's five points in pixels: nose and corners of the mouth, trusted less."""
    where, weight = np.zeros((len(ANCHORS), 2), np.float32), np.zeros(len(ANCHORS), np.float32)
    where[2:5] = (points[2:5] + 0.5) / size * 2 - 1
    weight[2:5] = 0.3 * STRESS[2:5]
    return where, weight


def hills(points: np.ndarray, widths: np.ndarray, size: int) -> np.ndarray:
    """Largest of several Gaussians at `points (k, 2)` in pixels, `widths (k, 2)`; `(size, size)` up to 1."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    out = np.zeros((size, size), np.float32)
    for (px, py), (wx, wy) in zip(points, widths, strict=True):
        out = np.maximum(out, np.exp(-0.5 * (((x - px) / wx) ** 2 + ((y - py) / wy) ** 2)))
    return out


def face_weights(right: np.ndarray, left: np.ndarray, mouth: np.ndarray, unit: float, size: int) -> np.ndarray:
    """Pixel weights of mean 1 with hills on both eyes and the mouth; `unit` is the distance of the eyes."""
    widths = np.array([[0.22, 0.15], [0.22, 0.15], [0.38, 0.28]]) * unit
    weight = 1 + np.float32(5) * hills(np.stack([right, left, mouth]), widths, size)
    return (weight / weight.mean()).astype(np.float32)


class Colours:
    """One random look for both frames of a pair: gamma, gain and shift per channel."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.gain = rng.uniform(0.75, 1.25, 3) * rng.uniform(0.8, 1.15)
        self.shift = rng.uniform(-20, 20, 3)
        self.table = np.clip(255 * (np.arange(256) / 255) ** rng.uniform(0.75, 1.3), 0, 255).astype(np.float32)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        return np.clip(self.table[picture] * self.gain + self.shift, 0, 255)


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random still background: blurred noise, a gradient, or both; float `(size, size, 3)` in 0..255."""
    small = int(rng.integers(2, 24))
    noise = rng.uniform(0, 255, (small, small, 3)).astype(np.float32)
    picture = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    flat = rng.uniform(0, 255, 3).astype(np.float32)
    share = rng.uniform(0, 1)
    return np.clip(share * picture + (1 - share) * flat, 0, 255)


def plane(picture: np.ndarray) -> np.ndarray:
    """`(h, w, 3)` in 0..255 to contiguous `(3, h, w)` float32 in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(picture, 2, 0), np.float32) / 255
