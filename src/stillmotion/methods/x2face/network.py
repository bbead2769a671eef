"""The networks of X2Face: an embedding network and a driving network, both samplers.

Source: Wiles, Koepke, Zisserman, ECCV 2018, and the released architecture. What we changed: activations are
not in place (the released ones change nothing), and the grid convention is explicit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.flow import Convention
from stillmotion.nn.geometry import make_grid, precise, warp


class Level(nn.Module):
    """A convolution without bias, and its batch norm where it has one."""

    def __init__(self, convolution: nn.Conv2d, *, norm: bool) -> None:
        super().__init__()
        self.conv = convolution
        self.norm = nn.BatchNorm2d(convolution.out_channels) if norm else None
        nn.init.xavier_normal_(convolution.weight)
        if self.norm is not None:
            nn.init.normal_(self.norm.weight, 1.0, 0.02)  # the released bounds are the wrong way round

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        return out if self.norm is None else self.norm(out)


class Translator(nn.Module):
    """Halvings down to one vector and doublings back up, with skips or without.

    Args:
        outputs: Planes of the result.
        widths: Planes after each halving, outermost first.
        skips: Show each doubling the halving of its size.
    """

    def __init__(self, *, outputs: int, widths: tuple[int, ...], skips: bool) -> None:
        super().__init__()
        last = len(widths) - 1
        inputs = (3, *widths[:-1])
        self.downs = nn.ModuleList(
            Level(nn.Conv2d(inputs[i], widths[i], 4, stride=2, padding=1, bias=False), norm=0 < i < last)
            for i in range(len(widths))
        )
        given = [width * (2 if skips and i < last else 1) for i, width in enumerate(widths)]
        wanted = (outputs, *widths[:-1])
        self.ups = nn.ModuleList(
            Level(nn.Conv2d(given[i], wanted[i], 3, padding=1, bias=False), norm=i > 0) for i in range(len(widths))
        )
        self.skips = skips

    def squeeze(self, image: Tensor) -> list[Tensor]:
        """Every halving, the innermost, a single pixel, last."""
        levels = [image]
        for i, down in enumerate(self.downs):
            levels.append(down(levels[-1] if i == 0 else F.leaky_relu(levels[-1], 0.2)))
        return levels[1:]

    def expand(self, levels: list[Tensor]) -> Tensor:
        """The innermost back to full size; without skips nothing else is looked at."""
        out = levels[-1]
        for i in reversed(range(len(self.ups))):
            if self.skips and i < len(self.ups) - 1:
                out = torch.cat([out, levels[i]], dim=1)
            out = F.interpolate(F.relu(out), scale_factor=2, mode="bilinear", align_corners=True)
            out = self.ups[i](out)
        return out


class Embedding(nn.Module):
    """Unwraps a source into the embedded face.

    Args:
        widths: Planes after each halving.
        fusion: `confidence` adds a plane that weighs the pixels of several sources.
        convention: Grid convention.
    """

    def __init__(self, *, widths: tuple[int, ...], fusion: str, convention: Convention) -> None:
        super().__init__()
        self.net = Translator(outputs=3 if fusion == "confidence" else 2, widths=widths, skips=True)
        self.has_confidence = fusion == "confidence"
        self.convention = convention

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(n, 3, h, w)` to unwrapped faces alike, their weights `(n, 1, h, w)`, and where each pixel came from.

        The last, `(n, 2, h, w)` planes of `(x, y)`, is an offset of at most 1 from the pixel's own place.
        """
        out = precise(self.net.expand(self.net.squeeze(source)))
        height, width = out.shape[2:]
        grid = make_grid(height, width, convention=self.convention, like=out)
        place = grid + torch.tanh(out[:, :2]).permute(0, 2, 3, 1)
        weight = torch.exp(out[:, 2:3]) + 0.1 if self.has_confidence else torch.ones_like(out[:, :1])
        return warp(source, place, convention=self.convention), weight, place.permute(0, 3, 1, 2)


class Driving(nn.Module):
    """Squeezes a driving frame to a vector, and expands vectors to samplers of the embedded face."""

    def __init__(self, *, widths: tuple[int, ...], convention: Convention) -> None:
        super().__init__()
        self.net = Translator(outputs=2, widths=widths, skips=False)
        self.convention = convention

    def squeeze(self, driving: Tensor) -> Tensor:
        """`(n, 3, h, w)` to driving vectors `(n, c)`."""
        return precise(self.net.squeeze(driving)[-1].flatten(1))

    def place(self, code: Tensor) -> Tensor:
        """Vectors `(n, c)` to where each pixel reads in the embedded face, `(n, h, w, 2)`.

        Twice through tanh, as released: the offset is at most tanh(1).
        """
        offset = torch.tanh(torch.tanh(precise(self.net.expand([code[:, :, None, None]]))))
        height, width = offset.shape[2:]
        grid = make_grid(height, width, convention=self.convention, like=offset)
        return grid + offset.permute(0, 2, 3, 1)

    def forward(self, face: Tensor, driving: Tensor) -> Tensor:
        """The embedded face `(n, 3, h, w)` performing the driving frames: only moved pixels."""
        return warp(face, self.place(self.squeeze(driving)), convention=self.convention)


def fuse(faces: Tensor, weights: Tensor) -> Tensor:
    """Unwrapped faces `(k, n, 3, h, w)` with weights `(k, n, 1, h, w)` to one, `(n, 3, h, w)`."""
    return (faces * weights).sum(dim=0) / weights.sum(dim=0)
