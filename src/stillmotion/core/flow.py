"""Flow: for each output pixel, where to read in the source.

All coordinates are normalised, `(x, y)`, [-1, 1] over the picture, whatever its size. What -1
and 1 mean is the grid convention, a required field everywhere, never a library's default:

- `centers`: -1 and 1 are the *centres* of the first and last pixel (torch's align_corners=True);
  the published first-order and Monkey-Net weights need it.
- `edges`: -1 and 1 are the outer *edges* of the picture (align_corners=False).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from stillmotion.core.errors import MotionError

Convention: TypeAlias = Literal["centers", "edges"]


def make_grid(size: tuple[int, int], convention: Convention) -> np.ndarray:
    """Identity grid: `float32 (h, w, 2)` in `(x, y)`, each pixel's own normalised coordinates."""
    height, width = size
    axes = []
    for count in (width, height):
        index = np.arange(count, dtype=np.float64)
        if convention == "centers":
            axes.append(2.0 * index / max(count - 1, 1) - 1.0)
        else:
            axes.append((2.0 * index + 1.0) / count - 1.0)
    x, y = np.meshgrid(*axes, indexing="xy")
    return np.stack([x, y], axis=-1).astype(np.float32)


def to_pixels(points: np.ndarray, size: tuple[int, int], convention: Convention) -> np.ndarray:
    """Normalised `(..., 2)` points to pixel indices `(x, y)`: 0 is the centre of the first pixel."""
    extent = np.array([size[1], size[0]], dtype=np.float64)
    if convention == "centers":
        return (np.asarray(points) + 1.0) / 2.0 * (extent - 1.0)
    return ((np.asarray(points) + 1.0) * extent - 1.0) / 2.0


def to_normalised(pixels: np.ndarray, size: tuple[int, int], convention: Convention) -> np.ndarray:
    """Inverse of `to_pixels`."""
    extent = np.array([size[1], size[0]], dtype=np.float64)
    if convention == "centers":
        return np.asarray(pixels) * 2.0 / np.maximum(extent - 1.0, 1.0) - 1.0
    return (np.asarray(pixels) * 2.0 + 1.0) / extent - 1.0


@dataclass(frozen=True, eq=False)
class Flow:
    """Backward map with its occlusion.

    Attributes:
        grid: `float (h, w, 2)`, normalised `(x, y)`: where to read in the source.
        convention: Meaning of -1 and 1, see the module.
        occlusion: `float (h, w)` in [0, 1]; 1 keeps the warped source, 0 invents. None where the
            method has no such map.
    """

    grid: np.ndarray
    convention: Convention
    occlusion: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.grid.ndim != 3 or self.grid.shape[2] != 2:
            raise MotionError(f"a flow grid must be (h, w, 2), not {self.grid.shape}")
        if self.occlusion is not None and self.occlusion.ndim != 2:
            raise MotionError(f"an occlusion map must be (h, w), not {self.occlusion.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """`(h, w)` of the map itself, often a quarter of the frame's."""
        return self.grid.shape[0], self.grid.shape[1]


def warp(image: np.ndarray, flow: Flow) -> np.ndarray:
    """Read `image` where the flow says: bilinear, black outside.

    Args:
        image: `(h, w, c)` or `(h, w)`, any numeric dtype. Its size need not be the flow's.
        flow: Backward map.

    Returns:
        `float32`, `flow.size` plus the channels of `image`.

    Source:
        Jaderberg et al. 2015 (spatial transformers), the sampler of Siarohin et al. 2019.
    """
    source = np.asarray(image, dtype=np.float32)
    plain = source.ndim == 2
    if plain:
        source = source[..., None]
    height, width = source.shape[:2]
    points = to_pixels(flow.grid, (height, width), flow.convention)
    left, top = np.floor(points[..., 0]), np.floor(points[..., 1])
    out = np.zeros((*flow.size, source.shape[2]), dtype=np.float32)
    for down in (0, 1):
        for right in (0, 1):
            x, y = left + right, top + down
            weight = (1 - np.abs(points[..., 0] - x)) * (1 - np.abs(points[..., 1] - y))
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            xi = np.where(inside, x, 0).astype(np.intp)
            yi = np.where(inside, y, 0).astype(np.intp)
            out += (weight * inside)[..., None].astype(np.float32) * source[yi, xi]
    return out[..., 0] if plain else out
