"""Convolution blocks of the first-order family.

Module and attribute names follow the published state dicts, so that their tensors load by name.

Source: Siarohin et al. 2019 (supplementary material and published networks); Johnson et al. 2016
for the residual generator; Newell et al. 2016 for the hourglass.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AntiAliasDown(nn.Module):
    """Gaussian blur, then every n-th sample from index 0 (not pixel centred, as published).

    Args:
        channels: Planes of the input.
        scale: Size factor, the inverse of a whole number; 1 passes the input through.
        stored: Put the kernel into the state dict, as the published detector and motion network do.

    Source: the published down-sampler: sigma `(1/s - 1) / 2`, `2 · round(4 sigma) + 1` taps, zero padding.
    The strided convolution here equals blur-then-pick bit for bit.
    """

    weight: Tensor

    def __init__(self, channels: int, scale: float, *, stored: bool = True) -> None:
        super().__init__()
        stride = round(1 / scale)
        if abs(stride * scale - 1) > 1e-6:
            raise ValueError(f"scale must be the inverse of a whole number, not {scale}")
        self.stride = stride
        sigma = (stride - 1) / 2
        taps = 2 * round(sigma * 4) + 1
        self.padding = taps // 2
        position = torch.arange(taps, dtype=torch.float32) - taps // 2
        line = torch.exp(-(position**2) / (2 * max(sigma, 1e-9) ** 2))
        kernel = line[:, None] * line[None, :]
        kernel = kernel / kernel.sum()
        self.register_buffer("weight", kernel.expand(channels, 1, taps, taps).clone(), persistent=stored)

    def forward(self, image: Tensor) -> Tensor:
        if self.stride == 1:
            return image
        return F.conv2d(image, self.weight, stride=self.stride, padding=self.padding, groups=image.shape[1])


class AreaDown(nn.Module):
    """Mean over n×n blocks: pixel centred, the down-sampler of the compact networks."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.stride = round(1 / scale)

    def forward(self, image: Tensor) -> Tensor:
        return image if self.stride == 1 else F.avg_pool2d(image, self.stride)


class SameBlock(nn.Module):
    """Convolution, batch norm, ReLU at constant size."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DownBlock(nn.Module):
    """Convolution, batch norm, ReLU and a halving mean pool; `pool_first` pools before the convolution."""

    def __init__(self, inputs: int, outputs: int, *, pool_first: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.pool_first = pool_first

    def forward(self, x: Tensor) -> Tensor:
        if self.pool_first:
            return F.relu(self.norm(self.conv(F.avg_pool2d(x, 2))))
        return F.avg_pool2d(F.relu(self.norm(self.conv(x))), 2)


class UpBlock(nn.Module):
    """Nearest doubling, convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))))


class ResBlock(nn.Module):
    """Pre-activation residual block: norm, ReLU, convolution, twice, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(out)))


class Encoder(nn.Module):
    """Chain of `DownBlock`s; returns the input and every level."""

    def __init__(self, inputs: int, *, expansion: int, max_features: int, blocks: int, pool_first: bool) -> None:
        super().__init__()
        widths = [inputs] + [min(max_features, expansion * 2 ** (i + 1)) for i in range(blocks)]
        self.down_blocks = nn.ModuleList(DownBlock(a, b, pool_first=pool_first) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Chain of `UpBlock`s, each followed by the encoder's level of that size."""

    def __init__(self, inputs: int, *, expansion: int, max_features: int, blocks: int) -> None:
        super().__init__()
        ups = []
        for i in reversed(range(blocks)):
            wide = min(max_features, expansion * 2 ** (i + 1))
            ups.append(UpBlock(wide if i == blocks - 1 else 2 * wide, min(max_features, expansion * 2**i)))
        self.up_blocks = nn.ModuleList(ups)
        self.out_features = expansion + inputs

    def forward(self, levels: list[Tensor]) -> Tensor:
        levels = list(levels)
        out = levels.pop()
        for block in self.up_blocks:
            out = torch.cat([block(out), levels.pop()], dim=1)
        return out


class Hourglass(nn.Module):
    """Encoder and decoder with skips; output has `expansion + inputs` planes at the input's size."""

    def __init__(
        self, inputs: int, *, expansion: int, max_features: int, blocks: int, pool_first: bool = False
    ) -> None:
        super().__init__()
        self.encoder = Encoder(
            inputs, expansion=expansion, max_features=max_features, blocks=blocks, pool_first=pool_first
        )
        self.decoder = Decoder(inputs, expansion=expansion, max_features=max_features, blocks=blocks)
        self.out_features = self.decoder.out_features

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))
