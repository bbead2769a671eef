"""The residual blocks of the bottleneck as Winograd products.

F(4, 3) needs 36 products for 4×4 outputs of a 3×3 convolution instead of 144. The picture stays in
tile layout from the first block to the last, so that only the ends pay for the layout.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.nn.blocks import ResBlock
from stillmotion.nn.rewrite.folding import ScaleShift
from stillmotion.nn.rewrite.tiles import both_axes, from_tiles, padded_to, tile_product, to_tiles
from stillmotion.nn.rewrite.tree import replace_modules

TILE = 4
_FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def spread_43(d: list[Tensor]) -> list[Tensor]:
    """Six inputs to six factors; interpolation points 0, 1, -1, 2, -2 and infinity."""
    even, odd = d[4] - 4 * d[2], d[3] - 4 * d[1]
    outer, inner = d[4] - d[2], 2 * (d[3] - d[1])
    first, last = 4 * d[0] - 5 * d[2] + d[4], 4 * d[1] - 5 * d[3] + d[5]
    return [first, even + odd, even - odd, outer + inner, outer - inner, last]


def gather_43(m: list[Tensor]) -> list[Tensor]:
    """Six products to four outputs."""
    one, one_odd = m[1] + m[2], m[1] - m[2]
    two, two_odd = m[3] + m[4], m[3] - m[4]
    return [m[0] + one + two, one_odd + 2 * two_odd, one + 4 * two, one_odd + 8 * two_odd + m[5]]


class WinogradConvolution(nn.Module):
    """A 3×3 convolution with padding 1 on tiles of side 4."""

    points: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        self.kernel = nn.Parameter(convolution.weight.clone())
        self.bias = nn.Parameter(convolution.bias.clone())
        self.register_buffer("points", torch.tensor(_FILTER))

    def forward(self, x: Tensor) -> Tensor:
        weight = both_axes(self.kernel, self.points).permute(3, 2, 1, 0).flatten(0, 1)
        return tile_product(x, weight, spread=spread_43, gather=gather_43, finish=self.finish)

    def finish(self, plane: Tensor) -> Tensor:
        """Bias."""
        return plane + self.bias


class WinogradBlock(nn.Module):
    """A folded residual block on tiles; `inside` is 1 on the picture and 0 on what pads it to whole tiles."""

    scale: Tensor
    shift: Tensor

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        if not isinstance(block.norm1, ScaleShift):
            raise ValueError("fold the batch norms first")
        self.conv1 = WinogradConvolution(block.conv1)
        self.conv2 = WinogradConvolution(block.conv2)
        self.register_buffer("scale", block.norm1.scale.flatten())
        self.register_buffer("shift", block.norm1.shift.flatten())

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:
        first = F.relu(x * self.scale + self.shift)
        second = F.relu(self.conv1(first if inside is None else first * inside))
        return x + self.conv2(second if inside is None else second * inside)


class WinogradChain(nn.Module):
    """Residual blocks one after the other, `(n, c, h, w)` in and out."""

    def __init__(self, blocks: list[ResBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(WinogradBlock(block) for block in blocks)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        inside = None
        if height % TILE or width % TILE:
            inside = to_tiles(padded_to(torch.ones_like(x[:1, :1]), TILE), TILE)
        out = to_tiles(padded_to(x, TILE), TILE)
        for block in self.blocks:
            out = block(out, inside)
        return from_tiles(out)[:, :, :height, :width]


def _chained(module: nn.Module) -> nn.Module | None:
    blocks = list(module.children())
    if not blocks or not all(isinstance(block, ResBlock) for block in blocks):
        return None
    chain = WinogradChain([block for block in blocks if isinstance(block, ResBlock)])
    if isinstance(module, nn.ModuleDict):
        return nn.ModuleDict({"chain": chain})
    return nn.ModuleList([chain]) if isinstance(module, nn.ModuleList) else nn.Sequential(chain)


@torch.no_grad()
def winograd_bottleneck(module: nn.Module) -> nn.Module:
    """Turn every container that holds only residual blocks into one `WinogradChain`, in place.

    Raises:
        ValueError: Their batch norms are not folded.
    """

    def change(part: nn.Module) -> nn.Module | None:
        return _chained(part) if isinstance(part, nn.ModuleDict | nn.ModuleList | nn.Sequential) else None

    return replace_modules(module, change)
