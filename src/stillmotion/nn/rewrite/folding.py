"""Batch norm with fixed statistics is a scale and a shift: fold it into the convolution before it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from stillmotion.nn.blocks import DownBlock, ResBlock, SameBlock, UpBlock


class ScaleShift(nn.Module):
    """A batch norm whose input is needed elsewhere too, as `scale · x + shift` per plane."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        scale, shift = scale_and_shift(norm)
        self.register_buffer("scale", scale.float().view(-1, 1, 1))
        self.register_buffer("shift", shift.float().view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What an evaluated batch norm does, in float64: `(channels,)` each."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution for a convolution and the batch norm after it."""
    assert convolution.bias is not None
    scale, shift = scale_and_shift(norm)
    out = copy.deepcopy(convolution)
    assert out.bias is not None
    out.weight.copy_((convolution.weight.double() * scale.view(-1, 1, 1, 1)).float())
    out.bias.copy_((convolution.bias.double() * scale + shift).float())
    return out


@torch.no_grad()
def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold every batch norm of the blocks below `module`, in place.

    In a residual block the second norm folds into the first convolution; the first norm cannot,
    because its input is also the skip, and becomes a `ScaleShift`.
    """
    for block in list(module.modules()):
        if isinstance(block, SameBlock | DownBlock | UpBlock) and isinstance(block.norm, nn.BatchNorm2d):
            block.conv = folded(block.conv, block.norm)
            block.norm = nn.Identity()  # type: ignore[assignment]
        elif isinstance(block, ResBlock) and isinstance(block.norm2, nn.BatchNorm2d):
            block.conv1 = folded(block.conv1, block.norm2)
            block.norm2 = nn.Identity()  # type: ignore[assignment]
            block.norm1 = ScaleShift(block.norm1)  # type: ignore[assignment]
    return module
