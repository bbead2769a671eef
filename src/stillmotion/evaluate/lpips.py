"""LPIPS with the SqueezeNet trunk, weights from files.

Source: Zhang et al. 2018, version 0.1: unit-normalised features, squared differences, a learned
non-negative weight per channel, mean over pixels, sum over seven levels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from stillmotion.core.errors import WeightsError
from stillmotion.nn.features import load_features, read_tensors

CHANNELS = (64, 128, 256, 384, 384, 512, 512)


class Lpips(nn.Module):
    """Learned perceptual distance; 0 is the same picture.

    Args:
        trunk: State dict file of SqueezeNet 1.1, torchvision's names.
        heads: File of the seven linear heads, `lin0.model.1.weight` …

    Raises:
        WeightsError: A file cannot be read, or is of another network.
    """

    def __init__(self, *, trunk: str | Path, heads: str | Path) -> None:
        super().__init__()
        self.trunk = load_features(trunk)
        if self.trunk.kind != "squeezenet1_1":
            raise WeightsError(
                f"LPIPS needs SqueezeNet 1.1 as its trunk; {trunk} holds {self.trunk.kind}",
                hint="give torchvision's squeezenet1_1 state dict",
            )
        found = read_tensors(Path(heads))
        for level, channels in enumerate(CHANNELS):
            weight = found.get(f"lin{level}.model.1.weight")
            if weight is None or weight.numel() != channels:
                raise WeightsError(
                    f"{heads} does not hold the LPIPS heads of SqueezeNet: lin{level} is missing or of another size",
                    hint="give the linear heads of LPIPS 0.1 for SqueezeNet",
                )
            self.register_buffer(f"head{level}", weight.reshape(1, channels, 1, 1))
        self.eval()

    @torch.no_grad()
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`float32 (n, 3, h, w)` in [0, 1], twice, to `(n,)`."""
        total = prediction.new_zeros(len(prediction))
        for level, (a, b) in enumerate(zip(self.trunk(prediction), self.trunk(target), strict=True)):
            gap = (_unit(a) - _unit(b)) ** 2
            total = total + (gap * self.get_buffer(f"head{level}")).sum(1).mean((1, 2))
        return total


def _unit(features: Tensor) -> Tensor:
    """Every pixel's feature vector scaled to length 1."""
    return features / (features.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
