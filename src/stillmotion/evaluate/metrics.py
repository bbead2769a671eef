"""Picture metrics in torch: L1, PSNR, SSIM, MS-SSIM.

All take planes `float32 (n, 3, h, w)` in [0, 1], prediction first, and return one number per picture,
`(n,)`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
"""Side of the SSIM window, pixels."""
SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_MS_SSIM = (WINDOW - 1) * 2 ** (len(_SCALES) - 1) + 1
"""Shortest side for MS-SSIM: the window must fit the fifth halving."""


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (prediction - target).abs().mean((1, 2, 3))


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB; capped at 100 for identical pictures."""
    error = ((prediction - target) ** 2).mean((1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-10))


def _blur(image: Tensor) -> Tensor:
    position = torch.arange(WINDOW, dtype=image.dtype, device=image.device) - WINDOW // 2
    line = torch.exp(-(position**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(image.shape[1], 1, 1, WINDOW)
    across = F.conv2d(image, line, groups=image.shape[1])
    return F.conv2d(across, line.transpose(2, 3), groups=image.shape[1])


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast-structure term, `(n,)` each."""
    c1, c2 = _K1**2, _K2**2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * structure).mean((1, 2, 3)), structure.mean((1, 2, 3))


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Structural similarity, at most 1, over windows that fit the picture.

    Source: Wang, Bovik, Sheikh & Simoncelli 2004; 11×11 Gaussian window of sigma 1.5, K = 0.01, 0.03,
    mean over colour planes.

    Raises:
        ValueError: A side is below the window's 11 pixels.
    """
    if min(target.shape[2:]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW} pixels a side, not {tuple(target.shape[2:])}")
    return _similarity(prediction, target)[0]


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Multi-scale SSIM over five halvings; negative terms count as 0.

    Source: Wang, Simoncelli & Bovik 2003.

    Raises:
        ValueError: A side is below 161 pixels.
    """
    if min(target.shape[2:]) < SMALLEST_MS_SSIM:
        raise ValueError(f"MS-SSIM needs at least {SMALLEST_MS_SSIM} pixels a side, not {tuple(target.shape[2:])}")
    total = torch.ones(len(target), dtype=target.dtype, device=target.device)
    for level, weight in enumerate(_SCALES):
        whole, structure = _similarity(prediction, target)
        last = level == len(_SCALES) - 1
        total = total * (whole if last else structure).clamp_min(0) ** weight
        prediction, target = F.avg_pool2d(prediction, 2), F.avg_pool2d(target, 2)
    return total
