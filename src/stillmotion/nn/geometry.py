"""Grids, warping and 2×2 algebra in torch, with the grid convention always stated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stillmotion.core.flow import Convention


def make_grid(height: int, width: int, *, convention: Convention, like: Tensor) -> Tensor:
    """Identity grid `(h, w, 2)` in `(x, y)` on the device and dtype of `like`."""
    axes = []
    for count in (width, height):
        index = torch.arange(count, device=like.device, dtype=like.dtype)
        if convention == "centers":
            axes.append(2.0 * (index / max(count - 1, 1)) - 1.0)
        else:
            axes.append((2.0 * index + 1.0) / count - 1.0)
    x = axes[0].view(1, -1).expand(height, width)
    y = axes[1].view(-1, 1).expand(height, width)
    return torch.stack([x, y], dim=-1)


def warp(image: Tensor, grid: Tensor, *, convention: Convention, padding: str = "zeros") -> Tensor:
    """Bilinear read of `image (n, c, h, w)` at `grid (n, h', w', 2)`.

    Source: Siarohin et al. 2019, equation 7 (backward warping).
    """
    return F.grid_sample(image, grid, mode="bilinear", padding_mode=padding, align_corners=convention == "centers")


def resize_grid(grid: Tensor, height: int, width: int, *, convention: Convention) -> Tensor:
    """Resize a backward flow `(n, h, w, 2)` so that the identity stays the identity.

    The displacement is interpolated, not the coordinates: a resized coordinate grid would be
    clamped at its border.
    """
    if grid.shape[1:3] == (height, width):
        return grid
    small = make_grid(grid.shape[1], grid.shape[2], convention=convention, like=grid)
    offset = (grid - small).permute(0, 3, 1, 2)
    offset = F.interpolate(offset, size=(height, width), mode="bilinear", align_corners=convention == "centers")
    return offset.permute(0, 2, 3, 1) + make_grid(height, width, convention=convention, like=grid)


def inverse_2x2(matrix: Tensor, *, least: float = 1e-6) -> Tensor:
    """Inverse of `(..., 2, 2)` matrices in closed form, finite for singular ones.

    A determinant smaller than `least` in size is replaced by ±`least` (requirement P-08): the published
    code inverts without a guard.
    """
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    det = a * d - b * c
    floor = torch.where(det < 0, torch.full_like(det, -least), torch.full_like(det, least))
    det = torch.where(det.abs() < least, floor, det)
    rows = torch.stack([torch.stack([d, -b], dim=-1), torch.stack([-c, a], dim=-1)], dim=-2)
    return rows / det[..., None, None]


def precise(x: Tensor) -> Tensor:
    """`x` in float32 inside autocast, untouched elsewhere: what coordinates are computed from.

    The softmax of bfloat16 logits has three digits, and keypoints or flows averaged with it jump by
    up to a pixel at 256 pixels a side (measured on a CPU; CUDA's autocast keeps softmax in float32).
    """
    return x.float() if torch.is_autocast_enabled(x.device.type) else x


def times(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product `(..., i, j) x (..., j, k)` of small matrices, written out.

    Autocast rounds the operands of `@` to bfloat16, which moves coordinates by up to a pixel at
    256 pixels a side; products and sums it leaves alone.
    """
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)


def gaussian_heatmaps(value: Tensor, height: int, width: int, *, variance: float, convention: Convention) -> Tensor:
    """`(n, k, h, w)` Gaussians of peak 1 around keypoints `(n, k, 2)`.

    Source: Siarohin et al. 2019, equation 6.
    """
    grid = make_grid(height, width, convention=convention, like=value)
    squared = ((grid - value[:, :, None, None, :]) ** 2).sum(-1)
    return torch.exp(-0.5 * squared / variance)
