"""Pre-activation residual blocks with spectral norm, plain or adaptively normalised.

Source: Zakharov et al., ICCV 2019, after Brock et al. 2019 (BigGAN); sizes as in the authors' group's
later code, which leaves out the self-attention that the paper inserts (Zhang et al. 2019); here it can be had.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

EPSILON = 1e-4
"""Of spectral and instance norms."""
Norm: TypeAlias = Literal["none", "instance", "adaptive"]


def limited(layer: nn.Module) -> nn.Module:
    """The layer with its largest singular value divided out."""
    return spectral_norm(layer, eps=EPSILON)


def unlimited(network: nn.Module) -> nn.Module:
    """The same function without the machinery of spectral norm, in place: for networks that are only run."""
    network.eval()
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            # torch takes `weight` off the class, which a deep copy shares with what it was copied from.
            shared = type(module)
            kept = {key: value for key, value in vars(shared).items() if key not in ("__dict__", "__weakref__")}
            module.__class__ = type(shared.__name__, shared.__bases__, kept)
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network


class AdaptiveNorm(nn.Module):
    """Instance norm whose gain and shift come from outside (AdaIN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`style (n, 2·channels)`: gains, then shifts."""
        gain, shift = style[:, :, None, None].chunk(2, dim=1)
        return F.instance_norm(x, eps=EPSILON) * gain + shift


class ResidualBlock(nn.Module):
    """[norm] ReLU [double] conv3 [norm] ReLU conv3 [halve], plus the input by a 1×1 convolution where shapes differ.

    Args:
        inputs, outputs: Planes.
        norm: Before each convolution; with one, the 3×3 convolutions have no bias.
        size: Double or halve the picture.
        is_first: The input is a picture: no activation or norm before the first convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        norm: Norm = "none",
        size: Literal["same", "double", "halve"] = "same",
        is_first: bool = False,
    ) -> None:
        super().__init__()
        has_bias = norm == "none"
        self.conv1 = limited(nn.Conv2d(inputs, outputs, 3, padding=1, bias=has_bias))
        self.conv2 = limited(nn.Conv2d(outputs, outputs, 3, padding=1, bias=has_bias))
        self.skip = limited(nn.Conv2d(inputs, outputs, 1)) if inputs != outputs or size != "same" else None
        self.norm1 = None if is_first else _norm(norm, inputs)
        self.norm2 = _norm(norm, outputs)
        self.size, self.is_first = size, is_first
        self.styled = 2 * (inputs + outputs) if norm == "adaptive" else 0

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """`x (n, c, h, w)`; `style (n, self.styled)` for adaptive norms."""
        parts: list[Tensor | None] = [None, None]
        if style is not None:
            first = 2 * self.norm1.channels if isinstance(self.norm1, AdaptiveNorm) else 0
            parts = [style[:, :first], style[:, first:]]
        out = x if self.is_first else F.relu(_normed(self.norm1, x, parts[0]))
        if self.size == "double":
            out, x = (F.interpolate(part, scale_factor=2, mode="nearest") for part in (out, x))
        out = self.conv2(F.relu(_normed(self.norm2, self.conv1(out), parts[1])))
        rest = x if self.skip is None else self.skip(x)
        if self.size == "halve":
            out, rest = F.avg_pool2d(out, 2), F.avg_pool2d(rest, 2)
        return out + rest


def _norm(kind: Norm, channels: int) -> nn.Module | None:
    if kind == "none":
        return None
    return AdaptiveNorm(channels) if kind == "adaptive" else nn.InstanceNorm2d(channels, eps=EPSILON, affine=True)


def _normed(norm: nn.Module | None, x: Tensor, style: Tensor | None) -> Tensor:
    if norm is None:
        return x
    return norm(x) if style is None or not isinstance(norm, AdaptiveNorm) else norm(x, style)


class SelfAttention(nn.Module):
    """Every pixel of a map asks all places of the map, halved, and adds what it learns from them.

    The gain of the sum starts at zero, so that a new one changes nothing.

    Args:
        channels: Planes, at least 8 for more than one number per question.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = limited(nn.Conv2d(channels, narrow, 1, bias=False))
        self.key = limited(nn.Conv2d(channels, narrow, 1, bias=False))
        self.value = limited(nn.Conv2d(channels, half, 1, bias=False))
        self.back = limited(nn.Conv2d(half, channels, 1, bias=False))
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """`(n, c, h, w)`, sides even, to the same."""
        question = self.query(x).flatten(2)
        keys, values = (F.max_pool2d(part(x), 2).flatten(2) for part in (self.key, self.value))
        shares = torch.softmax(question.transpose(1, 2) @ keys, dim=2)
        seen = (values @ shares.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gain * self.back(seen)


class Trunk(nn.Module):
    """Halving residual blocks from a picture down, and blocks of constant size at the end.

    Args:
        inputs: Planes of the picture.
        widths: Planes after each halving.
        plain: Blocks of constant size after them.
        attention: Self-attention after this many halvings; 0 for none.
    """

    def __init__(self, inputs: int, widths: Sequence[int], *, plain: int = 0, attention: int = 0) -> None:
        super().__init__()
        blocks = [
            ResidualBlock(a, b, size="halve", is_first=i == 0)
            for i, (a, b) in enumerate(itertools.pairwise([inputs, *widths]))
        ]
        blocks += [ResidualBlock(widths[-1], widths[-1]) for _ in range(plain)]
        self.blocks = nn.ModuleList(blocks)
        self.attention = SelfAttention(widths[attention - 1]) if attention else None
        self.attentive = attention - 1

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`(n, c, h, w)` to a vector, the sum over space of the last map above zero, and every block's map."""
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and i == self.attentive:
                x = self.attention(x)
            maps.append(x)
        return F.relu(x).sum(dim=(2, 3)), maps


class StyledDecoder(nn.Module):
    """Adaptively normalised residual blocks, and a last convolution to a picture in [0, 1].

    Args:
        inputs: Planes of the input.
        plain: Blocks of constant size first.
        widths: Planes after each doubling.
        attention: Self-attention after this many doublings; 0 for none.
    """

    def __init__(self, inputs: int, *, plain: int, widths: Sequence[int], attention: int = 0) -> None:
        super().__init__()
        blocks = [ResidualBlock(inputs, inputs, norm="adaptive") for _ in range(plain)]
        blocks += [
            ResidualBlock(a, b, norm="adaptive", size="double") for a, b in itertools.pairwise([inputs, *widths])
        ]
        self.blocks = nn.ModuleList(blocks)
        self.attention = SelfAttention(widths[attention - 1]) if attention else None
        self.attentive = plain + attention - 1
        self.norm = AdaptiveNorm(widths[-1])
        self.final = limited(nn.Conv2d(widths[-1], 3, 3, padding=1))
        self.sizes = [block.styled for block in blocks] + [2 * widths[-1]]
        self.styled = sum(self.sizes)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`style (n, self.styled)`, gains and shifts of every norm in order."""
        *styles, last = style.split(self.sizes, dim=1)
        for i, (block, part) in enumerate(zip(self.blocks, styles, strict=True)):
            x = block(x, part)
            if self.attention is not None and i == self.attentive:
                x = self.attention(x)
        out = torch.tanh(self.final(F.relu(self.norm(x, last))))
        return (out + 1) / 2

    def plain_style(self) -> Tensor:
        """Gains of one and shifts of zero, `(self.styled,)`."""
        parts = []
        for block in self.blocks:
            assert isinstance(block, ResidualBlock)
            for norm in (block.norm1, block.norm2):
                if isinstance(norm, AdaptiveNorm):
                    parts += [torch.ones(norm.channels), torch.zeros(norm.channels)]
        return torch.cat([*parts, torch.ones(self.norm.channels), torch.zeros(self.norm.channels)])


@torch.no_grad()
def start_style(layer: nn.Module, decoder: StyledDecoder) -> None:
    """Let a linear layer that makes a decoder's styles start from the plain one."""
    bias = layer.get_parameter("bias")
    bias.copy_(decoder.plain_style())
