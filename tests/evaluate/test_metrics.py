"""Metrics against torchmetrics, and their edge cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stillmotion.core.errors import WeightsError
from stillmotion.evaluate import metrics
from stillmotion.evaluate.lpips import Lpips


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures of 176 pixels with structure, and noisy versions of them."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 11, 11, generator=random)
    target = torch.nn.functional.interpolate(coarse, size=(176, 176), mode="bilinear")
    noise = torch.randn(target.shape, generator=random)
    return (target + noise * torch.tensor([0.02, 0.15]).view(2, 1, 1, 1)).clamp(0, 1), target


def test_identical_pictures(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, target = pictures
    assert metrics.l1(target, target).tolist() == [0, 0]
    assert metrics.psnr(target, target).tolist() == pytest.approx([100, 100])
    assert metrics.ssim(target, target).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert metrics.ms_ssim(target, target).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_known_values() -> None:
    black, grey = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.1)
    assert metrics.l1(black, grey).item() == pytest.approx(0.1)
    assert metrics.psnr(black, grey).item() == pytest.approx(20.0, abs=1e-4)


def test_agree_with_torchmetrics(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Window by window. Its own means differ a little: it pads by reflection, where the definition of
    Wang et al. takes whole windows only, so its maps are cut to those here."""
    functional = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    ours, target = pictures
    wanted = functional.peak_signal_noise_ratio(ours, target, data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert metrics.psnr(ours, target).tolist() == pytest.approx(wanted.tolist(), abs=1e-3)
    similarity = functional.structural_similarity_index_measure
    product = torch.ones(2)
    a, b = ours, target
    for level, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        _, windows = similarity(a, b, data_range=1.0, return_full_image=True)
        whole = windows[..., 5:-5, 5:-5].mean((1, 2, 3))
        _, structure = similarity(a, b, data_range=1.0, reduction="none", return_contrast_sensitivity=True)
        if level == 0:
            assert metrics.ssim(a, b).tolist() == pytest.approx(whole.tolist(), abs=1e-4)
        product *= (whole if level == 4 else structure) ** weight
        a, b = (torch.nn.functional.avg_pool2d(x, 2) for x in (a, b))
    assert metrics.ms_ssim(ours, target).tolist() == pytest.approx(product.tolist(), abs=1e-4)


def test_pictures_too_small_are_refused() -> None:
    small = torch.zeros(1, 3, 10, 10)
    with pytest.raises(ValueError, match="SSIM needs pictures of at least 11 pixels"):
        metrics.ssim(small, small)
    middling = torch.zeros(1, 3, 160, 160)
    with pytest.raises(ValueError, match="MS-SSIM needs at least 161 pixels"):
        metrics.ms_ssim(middling, middling)


def test_lpips_by_hand(shared: Path) -> None:
    """Against the formula written out in numpy, and its order of distances."""
    folder = shared / "assets" / "perceptual"
    lpips = Lpips(trunk=folder / "squeezenet1_1_fp16.npz", heads=folder / "lpips_squeeze_v0.1.npz")
    random = torch.Generator().manual_seed(1)
    target = torch.rand(1, 3, 64, 64, generator=random)
    near, far = (target + level * torch.randn(target.shape, generator=random) for level in (0.02, 0.3))
    assert lpips(target, target).item() == 0
    assert 0 < lpips(near, target).item() < lpips(far, target).item()
    heads = np.load(folder / "lpips_squeeze_v0.1.npz")
    total = 0.0
    for level, maps in enumerate(zip(lpips.trunk(far), lpips.trunk(target), strict=True)):
        a, b = (m[0].numpy().astype(np.float64) for m in maps)
        gap = (a / np.linalg.norm(a, axis=0) - b / np.linalg.norm(b, axis=0)) ** 2
        total += float((gap * heads[f"lin{level}.model.1.weight"].reshape(-1, 1, 1)).sum(0).mean())
    assert lpips(far, target).item() == pytest.approx(total, rel=1e-4)


def test_lpips_refuses_other_files(shared: Path) -> None:
    trunk = shared / "assets" / "perceptual" / "squeezenet1_1_fp16.npz"
    with pytest.raises(WeightsError, match="does not hold the LPIPS heads of SqueezeNet: lin0 is missing"):
        Lpips(trunk=trunk, heads=trunk)
