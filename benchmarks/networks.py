"""Random but well-conditioned first-order networks, and pictures, for measuring speed and rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from stillmotion.core.frame import to_planes
from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.methods.firstorder.weights import build, save_bundle

CONDITIONING = "seeded He-normal convolutions, batch norms calibrated on 4 smooth pictures, Jacobians near the identity"


def smooth_picture(seed: int, size: int) -> np.ndarray:
    """Coloured blobs, `uint8 (size, size, 3)`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    out = np.full((size, size, 3), 0.5)
    for _ in range(24):
        (cx, cy), radius = rng.uniform(-0.9, 0.9, 2), rng.uniform(0.05, 0.4)
        blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / radius**2)
        out += blob[..., None] * rng.uniform(-0.6, 0.6, 3)
    return (np.clip(out, 0, 1) * 255).astype(np.uint8)


@torch.no_grad()
def random_networks(config: FirstOrderConfig, *, seed: int = 0) -> dict[str, nn.Module]:
    """Networks in evaluation mode whose activations neither vanish nor explode: see `CONDITIONING`."""
    torch.manual_seed(seed)
    networks = build(config)
    for network in networks.values():
        for name, part in network.named_modules():
            if isinstance(part, nn.Conv2d):
                gain = {"jacobian": 0.1, "kp": 0.2, "final": 0.5}.get(name, 2**0.5)
                part.weight.normal_(0, gain / part.weight[0].numel() ** 0.5)
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the plain mean over what it sees
                part.reset_running_stats()
    _calibrate(networks, config)
    return {name: network.eval() for name, network in networks.items()}


def _calibrate(networks: dict[str, nn.Module], config: FirstOrderConfig) -> None:
    detector, generator = networks["kp_detector"].train(), networks["generator"].train()
    pictures = torch.from_numpy(to_planes(np.stack([smooth_picture(seed, config.size) for seed in range(4)])))
    value, jacobian = detector(pictures)
    turned = None if jacobian is None else jacobian.roll(1, 0)
    generator(pictures, value, value.roll(1, 0), jacobian, turned)


def random_bundle(config: FirstOrderConfig, folder: Path, *, optimise: bool = True) -> Path:
    """A bundle of `random_networks`, tensors and stages."""
    return save_bundle(
        random_networks(config), config, folder / f"{config.name}-{'fast' if optimise else 'plain'}", optimise=optimise
    )
