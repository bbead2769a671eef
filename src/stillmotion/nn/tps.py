"""The random warp of the equivariance terms: an affine map plus a thin-plate spline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stillmotion.core.flow import Convention
from stillmotion.nn.geometry import make_grid, times


@dataclass(frozen=True, eq=False)
class RandomTransform:
    """A known smooth warp of the plane, one per picture of a batch.

    `T(z) = A z + b + Σ_i w_i φ(|z − c_i|₁)` with `φ(r) = r² log(r + 1e-6)`; the scalar `w_i` is added
    to both coordinates and the distance is the sum of absolute differences: both as published.

    Attributes:
        theta: `(n, 2, 3)` affine maps.
        controls: `(1, p, 2)` control points, or None for an affine warp.
        parameters: `(n, 1, p)` spline weights, or None.

    Source: Siarohin et al. 2019, section 3.2 and the published transform.
    """

    theta: Tensor
    controls: Tensor | None = None
    parameters: Tensor | None = None

    @classmethod
    def draw(
        cls,
        batch: int,
        *,
        sigma_affine: float,
        sigma_tps: float,
        points_tps: int,
        like: Tensor,
        generator: torch.Generator | None = None,
    ) -> RandomTransform:
        """Draw `batch` warps on the device of `like`; `sigma_tps` 0 gives affine ones."""

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(like)

        theta = torch.eye(2, 3).to(like) + sigma_affine * noise(batch, 2, 3)
        if not sigma_tps or not points_tps:
            return cls(theta)
        controls = make_grid(points_tps, points_tps, convention="centers", like=like).reshape(1, -1, 2)
        return cls(theta, controls, sigma_tps * noise(batch, 1, points_tps**2))

    def __call__(self, points: Tensor) -> Tensor:
        """`(n, p, 2)` to `(n, p, 2)`."""
        out = times(points, self.theta[:, :, :2].transpose(1, 2)) + self.theta[:, None, :, 2]
        if self.controls is None or self.parameters is None:
            return out
        distance = (points[:, :, None] - self.controls[:, None]).abs().sum(-1)
        spline = distance**2 * torch.log(distance + 1e-6) * self.parameters
        return out + spline.sum(dim=2, keepdim=True)

    def jacobian(self, points: Tensor) -> Tensor:
        """Derivative at `(n, p, 2)`: `(n, p, 2, 2)`, rows are outputs; in closed form."""
        linear = self.theta[:, None, :, :2].expand(-1, points.shape[1], -1, -1)
        if self.controls is None or self.parameters is None:
            return linear
        offset = points[:, :, None] - self.controls[:, None]
        distance = offset.abs().sum(-1)
        slope = 2 * distance * torch.log(distance + 1e-6) + distance**2 / (distance + 1e-6)
        gradient = ((slope * self.parameters).unsqueeze(-1) * offset.sign()).sum(dim=2)
        return linear + gradient.unsqueeze(2)

    def frame(self, image: Tensor, *, convention: Convention) -> Tensor:
        """Warp `image (n, c, h, w)`: the output at z shows the input at T(z); reflected at the border."""
        n, _, height, width = image.shape
        grid = make_grid(height, width, convention=convention, like=image).reshape(1, -1, 2).expand(n, -1, -1)
        moved = self(grid).reshape(n, height, width, 2)
        return F.grid_sample(image, moved, padding_mode="reflection", align_corners=convention == "centers")
