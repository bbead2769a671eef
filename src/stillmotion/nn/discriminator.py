"""The block of the patch discriminators of Monkey-Net and the first-order method.

Source: Isola et al. 2017; Siarohin et al. 2019.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def normalised(convolution: nn.Module, spectral: bool) -> nn.Module:
    """The layer, with spectral normalisation of its weight if `spectral`."""
    return nn.utils.parametrizations.spectral_norm(convolution) if spectral else convolution


class DiscriminatorBlock(nn.Module):
    """Valid 4×4 convolution, instance norm (not in the first block), leaky ReLU, halving if `pool`."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, pool: bool, spectral_norm: bool) -> None:
        super().__init__()
        self.conv = normalised(nn.Conv2d(inputs, outputs, 4), spectral_norm)
        self.norm = nn.InstanceNorm2d(outputs, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if self.norm is not None:
            out = self.norm(out)
        out = F.leaky_relu(out, 0.2)
        return F.avg_pool2d(out, 2) if self.pool else out
