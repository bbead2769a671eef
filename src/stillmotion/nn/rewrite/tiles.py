"""Tile layout: `(t, t, n, h/t, w/t, c)`, where fast convolutions are a few additions and one matrix product.

The first two axes are the place inside a tile, column then row, so that every plane `x[j, i]` is a
matrix with a row per tile, and the neighbours a tile needs are other planes, shifted by one tile at
its border.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Combine = Callable[[list[Tensor]], list[Tensor]]
"""A fixed linear map along one axis, written as additions: planes in, planes out."""
Finish = Callable[[Tensor], Tensor]
"""What is done to each plane of a result."""


def both_axes(kernel: Tensor, line: Tensor) -> Tensor:
    """A linear map of the taps along each axis: `kernel (c', c, 3, 3)`, `line (k, 3)` to `(c', c, k, k)`.

    Networks keep their own taps and do this when they run: a runtime computes it once, on loading, and a
    stored graph stays as small as the network.
    """
    return line @ kernel @ line.T


def to_tiles(x: Tensor, side: int) -> Tensor:
    """`(n, c, h, w)` to `(side, side, n, h/side, w/side, c)`; the sides must divide.

    Channels go last in a step of their own: a runtime turns that into nothing.
    """
    n, c, h, w = x.shape
    split = x.permute(0, 2, 3, 1).reshape(n, h // side, side, w // side, side, c)
    return split.permute(4, 2, 0, 1, 3, 5)


def from_tiles(x: Tensor) -> Tensor:
    """Inverse of `to_tiles`."""
    side, _, n, rows, columns, c = x.shape
    plain = x.permute(2, 3, 1, 4, 0, 5).reshape(n, rows * side, columns * side, c)
    return plain.permute(0, 3, 1, 2)


def padded_to(x: Tensor, side: int) -> Tensor:
    """`x (n, c, h, w)` with zeros below and to the right, so that `side` divides its size."""
    below, right = -x.shape[2] % side, -x.shape[3] % side
    return F.pad(x, (0, right, 0, below)) if below or right else x


def _with_neighbours(planes: list[Tensor], *, axis: int) -> list[Tensor]:
    """One plane before the first and one after the last, from the tiles beside; zeros beyond the border."""
    along = [0, 0] * (-axis - 1)
    first = F.pad(planes[-1], [*along, 1, -1])
    last = F.pad(planes[0], [*along, -1, 1])
    return [first, *planes, last]


def tile_product(
    x: Tensor, weight: Tensor, *, spread: Combine, gather: Combine, finish: Finish | None = None
) -> Tensor:
    """A convolution with taps at most one tile away, as products of whole planes.

    Args:
        x: `(t, t, n, rows, columns, c)`.
        weight: `(k · k, c, c')`, one matrix per product, the column factor first.
        spread: `t + 2` planes (a halo of one on each side) to the k factors along one axis.
        gather: k products to the planes of the result along one axis.
        finish: Done to every plane of the result, such as adding a bias.

    Returns:
        `(t', t', n, rows, columns, c')`.

    Source: Lavin and Gray 2016 for the scheme; the layout is ours. Planes are taken apart and put
    together along the first axis alone, which a runtime does by pointing, without a copy; so the
    rows of each tile column are a tensor of their own in between.
    """
    n, rows, columns, c = x.shape[2:]
    lines = [torch.cat(spread(_with_neighbours(list(line.split(1)), axis=-3))) for line in x.unbind(0)]
    factors = torch.stack(spread(_with_neighbours(lines, axis=-2)))
    k = math.isqrt(weight.shape[0])
    products = factors.reshape(k * k, n * rows * columns, c) @ weight
    lines = gather(list(products.reshape(k, k, n, rows, columns, weight.shape[2]).unbind(0)))
    finished = [[finish(p) if finish else p for p in gather(list(line.split(1)))] for line in lines]
    return torch.stack([torch.cat(planes) for planes in finished])
