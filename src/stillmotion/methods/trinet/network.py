"""The three networks: identity, generator, and a discriminator that is two learned distances.

Source: source text 002 of this project's requirements for the roles; the blocks are those of Zakharov et al.,
ICCV 2019, the narrow driving vector that of X2Face. All sizes are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.nn.residual import StyledDecoder, Trunk, limited, start_style


class Identity(nn.Module):
    """A face to a vector of what does not change with its position."""

    def __init__(self, *, widths: Sequence[int], identity: int) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.linear = limited(nn.Linear(widths[-1], identity))

    def forward(self, source: Tensor) -> Tensor:
        """`(n, 3, h, w)` in [0, 1] to `(n, c)`."""
        vector, _ = self.trunk(source * 2 - 1)
        made: Tensor = self.linear(vector)
        return made


class Generator(nn.Module):
    """An identity vector and a driving face to a generated face.

    Both meet in a common space, where the most suitable of some learned vectors are picked softly; the
    result paints from a learned constant, as the style of every block.

    Args:
        widths: Planes after each halving; the decoder doubles as often, from 4×4 pixels.
        identity, driving, common: Lengths of the vectors.
        prototypes: Learned vectors of the common space; 0 picks none.
    """

    def __init__(self, *, widths: Sequence[int], identity: int, driving: int, common: int, prototypes: int) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.squeeze = limited(nn.Linear(widths[-1], driving))
        self.meet = nn.Sequential(
            nn.Linear(identity + driving, common), nn.LayerNorm(common), nn.SiLU(), nn.Linear(common, common)
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, common)) if prototypes else None
        self.constant = nn.Parameter(torch.randn(1, widths[-1], 4, 4))
        self.decoder = StyledDecoder(widths[-1], plain=2, widths=list(reversed(widths)))
        self.style = limited(nn.Linear(common, self.decoder.styled))
        start_style(self.style, self.decoder)

    def read(self, driving: Tensor) -> Tensor:
        """Driving faces `(n, 3, h, w)` in [0, 1] to driving vectors `(n, c)`."""
        vector, _ = self.trunk(driving * 2 - 1)
        made: Tensor = self.squeeze(vector)
        return made

    def choose(self, identity: Tensor, code: Tensor) -> Tensor:
        """The vector of the common space: where the two meet, drawn to the prototypes near it."""
        hidden: Tensor = self.meet(torch.cat([identity, code], dim=1))
        if self.prototypes is None:
            return hidden
        nearness = torch.softmax(hidden @ self.prototypes.T / math.sqrt(hidden.shape[1]), dim=1)
        return nearness @ self.prototypes + hidden

    def paint(self, identity: Tensor, code: Tensor) -> Tensor:
        """Vectors `(n, …)` to generated faces `(n, 3, h, w)` in [0, 1]."""
        style = self.style(self.choose(identity, code))
        frame: Tensor = self.decoder(self.constant.expand(len(code), -1, -1, -1), style)
        return frame

    def forward(self, identity: Tensor, driving: Tensor) -> Tensor:
        """As `paint`, from a driving face."""
        return self.paint(identity, self.read(driving))


class Discriminator(nn.Module):
    """Two learned distances and a score of realism, on one trunk."""

    def __init__(self, *, widths: Sequence[int], distance: int) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.identity = limited(nn.Linear(widths[-1], distance))
        self.driving = limited(nn.Linear(widths[-1], distance))
        self.realism = limited(nn.Linear(widths[-1], 1))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(n, 3, h, w)` in [0, 1] to unit vectors of identity and driving `(n, c)`, and scores `(n,)`."""
        vector, _ = self.trunk(picture * 2 - 1)
        identity, driving = F.normalize(self.identity(vector), dim=1), F.normalize(self.driving(vector), dim=1)
        return identity, driving, self.realism(vector)[:, 0]


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of unit vectors `(n, c)`, `(n,)` in 0 to 4: zero for the same, and symmetric."""
    return ((a - b) ** 2).sum(dim=1)
