"""The keypoint detector of the first-order method, which others can be shown the world by.

Source: Siarohin et al. 2019, section 3.1.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.flow import Convention
from stillmotion.nn.blocks import AntiAliasDown, AreaDown, Hourglass
from stillmotion.nn.geometry import make_grid, precise

Downsample = Literal["gaussian", "area"]


def downsampler(kind: Downsample, channels: int, scale: float) -> nn.Module:
    """What shrinks a picture: the published anti-aliasing, or block means."""
    return AntiAliasDown(channels, scale) if kind == "gaussian" else AreaDown(scale)


class KeypointDetector(nn.Module):
    """Picture to keypoints with local affine maps.

    Args:
        count: Number of keypoints k.
        jacobian: Also regress `(k, 2, 2)` local maps.
        single_jacobian_map: One map shared by all keypoints.
        temperature: Divides the logits of the spatial softmax.
        expansion, max_features, blocks: Shape of the hourglass.
        scale: Size factor of the picture it works on.
        head_kernel, head_padding: Convolution of the two heads.
        convention: Grid convention.
        downsample, pool_first: See the config.
    """

    def __init__(
        self,
        *,
        count: int,
        jacobian: bool,
        single_jacobian_map: bool,
        temperature: float,
        expansion: int,
        max_features: int,
        blocks: int,
        scale: float,
        head_kernel: int,
        head_padding: int,
        convention: Convention,
        downsample: Downsample,
        pool_first: bool,
    ) -> None:
        super().__init__()
        self.predictor = Hourglass(
            3, expansion=expansion, max_features=max_features, blocks=blocks, pool_first=pool_first
        )
        wide = self.predictor.out_features
        self.kp = nn.Conv2d(wide, count, head_kernel, padding=head_padding)
        self.jacobian: nn.Conv2d | None = None
        if jacobian:
            maps = 1 if single_jacobian_map else count
            self.jacobian = nn.Conv2d(wide, 4 * maps, head_kernel, padding=head_padding)
            nn.init.zeros_(self.jacobian.weight)
            bias = torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(maps)
            with torch.no_grad():
                self.jacobian.bias.copy_(bias)  # type: ignore[union-attr]
        self.down = downsampler(downsample, 3, scale)
        self.temperature = temperature
        self.convention = convention

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """`(n, 3, h, w)` in [0, 1] to values `(n, k, 2)` and Jacobians `(n, k, 2, 2)` or None."""
        features = self.predictor(self.down(image))
        logits = precise(self.kp(features))
        n, k, height, width = logits.shape
        heat = F.softmax(logits.reshape(n, k, -1) / self.temperature, dim=2)
        grid = make_grid(height, width, convention=self.convention, like=heat).reshape(-1, 2)
        # Summed, not multiplied as matrices: pairwise sums keep the last digits, and the frame feels them.
        value = (heat.unsqueeze(3) * grid).sum(dim=2)
        if self.jacobian is None:
            return value, None
        maps = precise(self.jacobian(features)).reshape(n, -1, 4, height * width)
        local = (heat.unsqueeze(2) * maps).sum(dim=3)
        return value, local.reshape(n, k, 2, 2)
