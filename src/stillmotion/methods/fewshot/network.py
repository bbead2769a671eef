"""The networks of few-shot talking heads: embedder, generator, projection discriminator.

Source: Zakharov et al., ICCV 2019. What we changed: self-attention is an option (the group's later code has
none), and pictures are in [0, 1] at the outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stillmotion.nn.residual import ResidualBlock, SelfAttention, StyledDecoder, Trunk, limited, start_style


class Embedder(nn.Module):
    """A picture of a person with its landmark image, to what does not depend on the pose.

    Args:
        widths: Planes after each halving.
        attention: Self-attention after this many halvings; 0 for none.
    """

    def __init__(self, *, widths: Sequence[int], attention: int = 0) -> None:
        super().__init__()
        self.trunk = Trunk(6, widths, attention=attention)

    def forward(self, picture: Tensor, drawing: Tensor) -> Tensor:
        """Both `(n, 3, h, w)` in [0, 1], to embeddings `(n, c)`."""
        vector, _ = self.trunk(torch.cat([drawing, picture], dim=1) * 2 - 1)
        return vector


class Generator(nn.Module):
    """A landmark image, in the style of a person, to a frame.

    Args:
        embedding: Length of the embedding.
        widths: Planes after each halving.
        residual_blocks: Blocks at the smallest size.
        is_personal: The style is a parameter of its own.
        attention_down, attention_up: Self-attention after this many halvings and doublings; 0 for none.
    """

    def __init__(
        self,
        *,
        embedding: int,
        widths: Sequence[int],
        residual_blocks: int,
        is_personal: bool,
        attention_down: int = 0,
        attention_up: int = 0,
    ) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(
            ResidualBlock(a, b, norm="instance", size="halve", is_first=i == 0)
            for i, (a, b) in enumerate(itertools.pairwise([3, *widths]))
        )
        self.attention = SelfAttention(widths[attention_down - 1]) if attention_down else None
        self.attentive = attention_down - 1
        back = self._back(widths)
        self.decoder = StyledDecoder(widths[-1], plain=residual_blocks, widths=back, attention=attention_up)
        self.project = limited(nn.Linear(embedding, self.decoder.styled))
        start_style(self.project, self.decoder)
        self.personal = nn.Parameter(torch.zeros(self.decoder.styled)) if is_personal else None

    @staticmethod
    def _back(widths: Sequence[int]) -> list[int]:
        """Planes after each doubling: the halvings' in reverse, the largest and the smallest once more."""
        return [widths[-1], *reversed(widths[:-1])][: len(widths)]

    def style(self, embedding: Tensor) -> Tensor:
        """Gains and shifts of a person `(n, c)`, `(n, s)`."""
        made: Tensor = self.project(embedding)
        return made

    def paint(self, drawing: Tensor, style: Tensor) -> Tensor:
        """Landmark images `(n, 3, h, w)` in [0, 1] in styles `(n, s)`, to frames alike."""
        hidden = drawing * 2 - 1
        for i, block in enumerate(self.down_blocks):
            hidden = block(hidden)
            if self.attention is not None and i == self.attentive:
                hidden = self.attention(hidden)
        frame: Tensor = self.decoder(hidden, style)
        return frame

    def forward(self, drawing: Tensor, embedding: Tensor | None = None) -> Tensor:
        """As `paint`, in the style of `embedding (n, c)`, or in its own where it is one person's."""
        if self.personal is not None:
            style = self.personal.expand(len(drawing), -1)
        else:
            assert embedding is not None
            style = self.style(embedding)
        return self.paint(drawing, style)


class Discriminator(nn.Module):
    """Judges whether a picture is real, shows its landmark image, and shows the person of a row.

    The score is `v · (W_i + w₀) + b` (equation 6); `linear` holds w₀ and b.
    """

    def __init__(self, *, widths: Sequence[int], rows: int, attention: int = 0) -> None:
        super().__init__()
        self.trunk = Trunk(6, widths, plain=1, attention=attention)
        self.linear = limited(nn.Linear(widths[-1], 1))
        self.rows = nn.Parameter(torch.empty(rows, widths[-1]).uniform_(-0.1, 0.1))

    def forward(self, picture: Tensor, drawing: Tensor, clips: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pictures `(n, 3, h, w)` of `clips (n,)`, to scores `(n,)` and the maps of every block."""
        vector, maps = self.trunk(torch.cat([drawing, picture], dim=1) * 2 - 1)
        rows = self.rows[clips % len(self.rows)]  # with a single row, every clip shows that person
        return (vector * rows).sum(dim=1) + self.linear(vector)[:, 0], maps
