"""Doubling and shrinking without the wasted products.

Nearest doubling before a 3×3 convolution repeats samples. Along one axis with taps a, b, c the two
outputs of sample i are `a·x[i−1] + (b + c)·x[i]` and `(a + b)·x[i] + c·x[i+1]`: two-tap filters on the
small picture, zeros beyond its border included.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.nn.blocks import AntiAliasDown, UpBlock
from stillmotion.nn.rewrite.tiles import both_axes, padded_to, tile_product, to_tiles
from stillmotion.nn.rewrite.tree import replace_modules

Upsampling: TypeAlias = Literal["auto", "transposed", "nine", "tiles"]
TILE = 4
_FILTER = ((1 / 2, 0), (-1 / 2, -1 / 2), (-1 / 6, 1 / 6), (1 / 6, 1 / 3), (0, 1))


_PHASES = (((1.0, 0, 0), (0, 1, 1)), ((1, 1, 0), (0, 0, 1)))
"""Two-tap filters of the even and the odd output, as combinations of the three taps."""


class TransposedUp(nn.Module):
    """The four phases as one transposed 4×4 convolution of stride 2: 16 products for 4 outputs instead of 36."""

    places: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        self.kernel = nn.Parameter(convolution.weight.clone())
        self.bias = nn.Parameter(convolution.bias.clone())
        # Output 2i + p reads sample i + p + q - 1 with tap q, which is place 3 - p - 2q.
        (even_back, even), (odd, odd_ahead) = _PHASES
        self.register_buffer("places", torch.tensor([odd_ahead, even, odd, even_back], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        weight = both_axes(self.kernel, self.places).transpose(0, 1)
        return F.relu(F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1))


class NineUp(nn.Module):
    """Nine products for four outputs.

    Along one axis, with `d` the difference of neighbours and `S = (a + b + c)·x`, the outputs are
    `S − a·d[i−1]` and `S + c·d[i]`: three products for two outputs, and only additions beside them.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        both: list[list[Tensor]] = []
        for line in _sum_and_ends(convolution.weight.double(), axis=2):
            both.append(_sum_and_ends(line, axis=2))
        (ss, sa, sc), (as_, aa, ac), (cs, ca, cc) = both
        self.plain = _pointwise(ss)
        self.across = _pointwise(sa, sc)
        self.down = _pointwise(as_, cs)
        self.diagonal = _pointwise(aa, ac, ca, cc)
        self.bias = nn.Parameter(convolution.bias.view(-1, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        across = F.pad(x, (0, 1)) - F.pad(x, (1, 0))
        down = F.pad(x, (0, 0, 0, 1)) - F.pad(x, (0, 0, 1, 0))
        diagonal = F.pad(across, (0, 0, 0, 1)) - F.pad(across, (0, 0, 1, 0))
        middle = F.conv2d(x, self.plain) + self.bias
        left, right = F.conv2d(across, self.across).chunk(2, dim=1)
        above, below = F.conv2d(down, self.down).chunk(2, dim=1)
        aa, ac, ca, cc = F.conv2d(diagonal, self.diagonal).chunk(4, dim=1)
        west, east = middle - left[..., :-1], middle + right[..., 1:]
        above, below = above[:, :, :-1], below[:, :, 1:]
        quarters = [
            west - above + aa[:, :, :-1, :-1],
            east - above - ac[:, :, :-1, 1:],
            west + below - ca[:, :, 1:, :-1],
            east + below + cc[:, :, 1:, 1:],
        ]
        joined = torch.stack(quarters, dim=2).reshape(n, -1, height, width)
        return F.relu(F.pixel_shuffle(joined, 2))


def _sum_and_ends(weight: Tensor, *, axis: int) -> list[Tensor]:
    a, _, c = weight.unbind(axis)
    return [weight.sum(axis), a, c]


def _pointwise(*parts: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat(parts)[:, :, None, None].float().contiguous())


def spread_42(d: list[Tensor]) -> list[Tensor]:
    """Five inputs to five factors of F(4, 2); interpolation points 0, 1, -1, 2 and infinity."""
    base = d[3] - d[1]
    return [
        base + 2 * (d[0] - d[2]),
        base - (d[2] + d[1]),
        base - 3 * (d[2] - d[1]),
        base,
        (d[4] - d[2]) - 2 * base,
    ]


def gather_42(m: list[Tensor]) -> list[Tensor]:
    """Five products to four outputs."""
    even, odd = m[1] + m[2], m[1] - m[2]
    return [m[0] + even + m[3], odd + 2 * m[3], even + 4 * m[3], odd + 8 * m[3] + m[4]]


def _spread_windows(d: list[Tensor]) -> list[Tensor]:
    return spread_42(d[:-1])  # a window reaches one sample back and none ahead


class TiledUp(nn.Module):
    """All four phases as one two-tap filter in Winograd F(4, 2) on tiles: 6.25 products for 4 outputs instead of 36.

    Window i holds samples i − 1 and i, which give the odd output of sample i − 1 and the even one of
    sample i; so the four phases share their factors, and there is one window more than samples. The
    weights grow to 100/9 of the convolution's: it suits few planes on a large picture.
    """

    lines: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        self.kernel = nn.Parameter(convolution.weight.clone())
        self.bias = nn.Parameter(convolution.bias.repeat(4))
        odd_first = torch.tensor(_PHASES, dtype=torch.float64).flip(0)
        lines = torch.tensor(_FILTER, dtype=torch.float64) @ odd_first
        self.register_buffer("lines", lines.flatten(0, 1).float())

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        tiles = to_tiles(padded_to(F.pad(x, (0, 1, 0, 1)), TILE), TILE)
        spread = both_axes(self.kernel, self.lines).unflatten(3, (2, 5)).unflatten(2, (2, 5))  # (c', c, p, a, q, b)
        weight = spread.permute(5, 3, 1, 2, 4, 0).flatten(3).flatten(0, 1)
        out = tile_product(tiles, weight, spread=_spread_windows, gather=gather_42, finish=self.finish)
        n, rows, columns = out.shape[2:5]
        pixels = out.reshape(TILE, TILE, n, rows, columns, 2, 2, -1).permute(2, 3, 1, 5, 4, 0, 6, 7)
        plain = pixels.reshape(n, 2 * TILE * rows, 2 * TILE * columns, -1)
        return plain[:, 1 : 2 * height + 1, 1 : 2 * width + 1].permute(0, 3, 1, 2)

    def finish(self, plane: Tensor) -> Tensor:
        """Bias and ReLU."""
        return F.relu(plane + self.bias)


class SeparableDown(nn.Module):
    """Anti-aliasing by two one-dimensional filters, each strided along its own axis."""

    rows: Tensor
    columns: Tensor

    def __init__(self, down: AntiAliasDown) -> None:
        super().__init__()
        kernel = down.weight[:1].double()
        line = kernel.sum(dim=3, keepdim=True)
        self.register_buffer("rows", line.float().expand(down.weight.shape[0], -1, -1, -1).clone())
        self.register_buffer("columns", self.rows.transpose(2, 3).contiguous())
        self.stride, self.padding = down.stride, down.padding

    def forward(self, image: Tensor) -> Tensor:
        planes = image.shape[1]
        out = F.conv2d(image, self.rows, stride=(self.stride, 1), padding=(self.padding, 0), groups=planes)
        return F.conv2d(out, self.columns, stride=(1, self.stride), padding=(0, self.padding), groups=planes)


def _variant(convolution: nn.Conv2d, wanted: Upsampling) -> type[nn.Module]:
    if wanted != "auto":
        return {"transposed": TransposedUp, "nine": NineUp, "tiles": TiledUp}[wanted]
    # Measured in OpenVINO: tiles win where planes are many and the picture large, nine products
    # where the weights are so many that reading them counts, a transposed convolution elsewhere.
    size = convolution.in_channels * convolution.out_channels
    if size > 2**16:
        return NineUp
    return TiledUp if size >= 2**15 else TransposedUp


@torch.no_grad()
def subpixel_upsampling(module: nn.Module, *, variant: Upsampling = "auto") -> nn.Module:
    """Compute every `UpBlock` on the small picture, in place.

    Args:
        module: Tree whose batch norms are folded.
        variant: `transposed` (16 products for 4 outputs), `nine`, `tiles` (6.25), or `auto`, which
            picks by the number of planes.

    Raises:
        ValueError: A batch norm is not folded.
    """

    def change(part: nn.Module) -> nn.Module | None:
        if not isinstance(part, UpBlock):
            return None
        if "norm.weight" in part.state_dict():
            raise ValueError("fold the batch norms first")
        return _variant(part.conv, variant)(part.conv)

    return replace_modules(module, change)


@torch.no_grad()
def separable_down(module: nn.Module) -> nn.Module:
    """Split every anti-aliasing filter into its two axes, in place."""

    def change(part: nn.Module) -> nn.Module | None:
        return SeparableDown(part) if isinstance(part, AntiAliasDown) and part.stride > 1 else None

    return replace_modules(module, change)
