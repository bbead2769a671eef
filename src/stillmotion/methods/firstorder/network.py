"""The first-order networks: dense motion, generator, discriminator; the keypoint detector is in `nn`.

Attribute names follow the published state dicts, so published tensors load by name.

Source: Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019. Equation
numbers are the paper's. What we changed: the 2×2 inverse is closed-form and guarded, the grid
convention is explicit, and `composite` (off in published presets) blends the warped source in.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.flow import Convention
from stillmotion.nn.blocks import AntiAliasDown, DownBlock, Hourglass, ResBlock, SameBlock, UpBlock
from stillmotion.nn.discriminator import DiscriminatorBlock, normalised
from stillmotion.nn.geometry import gaussian_heatmaps, inverse_2x2, make_grid, precise, resize_grid, times, warp
from stillmotion.nn.keypoints import Downsample, downsampler


class DenseMotion(nn.Module):
    """Sparse keypoint motion to a dense backward flow, its masks and the occlusion map.

    Args:
        count: Number of keypoints k.
        expansion, max_features, blocks: Shape of the hourglass.
        scale: Size factor of the source it sees.
        variance: Variance of the keypoint Gaussians.
        head_kernel: Kernel of the mask and occlusion heads.
        occlusion: Predict an occlusion map.
        convention, downsample, pool_first, padding: See the config.
    """

    def __init__(
        self,
        *,
        count: int,
        expansion: int,
        max_features: int,
        blocks: int,
        scale: float,
        variance: float,
        head_kernel: int,
        occlusion: bool,
        convention: Convention,
        downsample: Downsample,
        pool_first: bool,
        padding: str,
    ) -> None:
        super().__init__()
        self.hourglass = Hourglass(
            (count + 1) * 4, expansion=expansion, max_features=max_features, blocks=blocks, pool_first=pool_first
        )
        wide = self.hourglass.out_features
        self.mask = nn.Conv2d(wide, count + 1, head_kernel, padding=head_kernel // 2)
        self.occlusion = nn.Conv2d(wide, 1, head_kernel, padding=head_kernel // 2) if occlusion else None
        self.down = downsampler(downsample, 3, scale)
        self.variance = variance
        self.convention = convention
        self.padding = padding

    def heatmaps(self, source: Tensor, driving: Tensor, height: int, width: int) -> Tensor:
        """Equation 6: Gaussians at the driving keypoints minus those at the source's; slot 0 is zero."""
        driven = gaussian_heatmaps(driving, height, width, variance=self.variance, convention=self.convention)
        rest = gaussian_heatmaps(source, height, width, variance=self.variance, convention=self.convention)
        return F.pad(driven - rest, (0, 0, 0, 0, 1, 0)).unsqueeze(2)

    def sparse_motions(
        self,
        source: Tensor,
        driving: Tensor,
        source_jacobian: Tensor | None,
        driving_jacobian: Tensor | None,
        *,
        height: int,
        width: int,
    ) -> Tensor:
        """Equation 4: `T_k(z) = J_s J_d⁻¹ (z − p_d) + p_s`, `(n, k + 1, h, w, 2)`; slot 0 is the identity."""
        n, k = driving.shape[:2]
        grid = make_grid(height, width, convention=self.convention, like=driving)
        offset = grid - driving[:, :, None, None, :]
        if source_jacobian is not None and driving_jacobian is not None:
            local = times(source_jacobian, inverse_2x2(driving_jacobian))
            flat = offset.reshape(n, k, height * width, 2)
            offset = times(flat, local.transpose(2, 3)).reshape(n, k, height, width, 2)
        moved = offset + source[:, :, None, None, :]
        still = grid.expand(n, 1, height, width, 2)
        return torch.cat([still, moved], dim=1)

    def forward(
        self,
        small: Tensor,
        source: Tensor,
        driving: Tensor,
        source_jacobian: Tensor | None,
        driving_jacobian: Tensor | None,
    ) -> dict[str, Tensor]:
        """All arrays batched alike.

        Args:
            small: Source picture after `self.down`, `(n, 3, h, w)`.
            source, driving: Keypoint values `(n, k, 2)`.
            source_jacobian, driving_jacobian: `(n, k, 2, 2)` or None.

        Returns:
            `flow (n, h, w, 2)`, `mask (n, k + 1, h, w)` summing to 1, `warped (n, k + 1, 3, h, w)`,
            and `occlusion (n, 1, h, w)` in [0, 1] if predicted.
        """
        n, _, height, width = small.shape
        sparse = self.sparse_motions(source, driving, source_jacobian, driving_jacobian, height=height, width=width)
        slots = sparse.shape[1]
        repeated = small.unsqueeze(1).expand(-1, slots, -1, -1, -1).reshape(n * slots, 3, height, width)
        warped = warp(
            repeated, sparse.reshape(n * slots, height, width, 2), convention=self.convention, padding=self.padding
        ).reshape(n, slots, 3, height, width)
        heat = self.heatmaps(source, driving, height, width)
        features = self.hourglass(torch.cat([heat, warped], dim=2).reshape(n, slots * 4, height, width))
        mask = F.softmax(precise(self.mask(features)), dim=1)
        flow = (mask.unsqueeze(-1) * sparse).sum(dim=1)  # equation 5
        out = {"flow": flow, "mask": mask, "warped": warped}
        if self.occlusion is not None:
            out["occlusion"] = torch.sigmoid(self.occlusion(features))
        return out


class Generator(nn.Module):
    """Source picture and motion to the generated frame.

    Args:
        motion: The dense motion network.
        expansion, max_features, down_blocks, bottleneck_blocks: Johnson-style generator.
        outer_kernel: Kernel of the first and last convolution.
        composite: Blend the warped full-size source in (ours).
        convention, pool_first, padding: See the config.
    """

    def __init__(
        self,
        motion: DenseMotion,
        *,
        expansion: int,
        max_features: int,
        down_blocks: int,
        bottleneck_blocks: int,
        outer_kernel: int,
        composite: bool,
        convention: Convention,
        pool_first: bool,
        padding: str,
    ) -> None:
        super().__init__()
        self.dense_motion_network = motion
        widths = [min(max_features, expansion * 2**i) for i in range(down_blocks + 1)]
        self.first = SameBlock(3, expansion, kernel=outer_kernel)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, pool_first=pool_first) for a, b in itertools.pairwise(widths))
        self.up_blocks = nn.ModuleList(UpBlock(b, a) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True))
        self.bottleneck = nn.ModuleDict({f"r{i}": ResBlock(widths[-1]) for i in range(bottleneck_blocks)})
        planes = expansion + 3 if composite else expansion
        self.final = nn.Conv2d(planes, 4 if composite else 3, outer_kernel, padding=outer_kernel // 2)
        self.composite = composite
        self.convention = convention
        self.padding = padding

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What depends on the source alone: features `(n, c, h', w')` and the motion network's small source."""
        features = self.first(source)
        for block in self.down_blocks:
            features = block(features)
        return features, self.dense_motion_network.down(source)

    def inpaint(self, source: Tensor, features: Tensor, motion: dict[str, Tensor]) -> dict[str, Tensor]:
        """Equation 8 and the decoder: warp the features, mask what is occluded, decode.

        Returns:
            `prediction (n, 3, h, w)` in [0, 1]; with `composite` also `generated`, `keep` and
            `deformed` (the warped source).
        """
        flow = motion["flow"]
        height, width = features.shape[2:]
        hidden = warp(
            features,
            resize_grid(flow, height, width, convention=self.convention),
            convention=self.convention,
            padding=self.padding,
        )
        if "occlusion" in motion:
            occlusion = motion["occlusion"]
            if occlusion.shape[2:] != hidden.shape[2:]:
                occlusion = F.interpolate(occlusion, size=(height, width), mode="bilinear", align_corners=False)
            hidden = hidden * occlusion
        for block in self.bottleneck.values():
            hidden = block(hidden)
        for block in self.up_blocks:
            hidden = block(hidden)
        if not self.composite:
            return {"prediction": torch.sigmoid(self.final(hidden))}
        deformed = self.deform(source, flow)
        planes = torch.sigmoid(self.final(torch.cat([hidden, deformed], dim=1)))
        generated, keep = planes[:, :3], planes[:, 3:]
        blended = keep * deformed + (1 - keep) * generated
        return {"prediction": blended, "generated": generated, "keep": keep, "deformed": deformed}

    def deform(self, source: Tensor, flow: Tensor) -> Tensor:
        """The full-size source warped by the flow, `(n, 3, h, w)`."""
        full = resize_grid(flow, source.shape[2], source.shape[3], convention=self.convention)
        return warp(source, full, convention=self.convention, padding=self.padding)

    def forward(
        self,
        source: Tensor,
        source_value: Tensor,
        driving_value: Tensor,
        source_jacobian: Tensor | None,
        driving_jacobian: Tensor | None,
    ) -> dict[str, Tensor]:
        """Source `(n, 3, h, w)` in [0, 1] performing the driving keypoints; see `inpaint` and `DenseMotion`."""
        features, small = self.encode(source)
        motion = self.dense_motion_network(small, source_value, driving_value, source_jacobian, driving_jacobian)
        return motion | self.inpaint(source, features, motion)


class PatchDiscriminator(nn.Module):
    """One scale: feature maps of every block and a patch score map."""

    def __init__(self, inputs: int, *, expansion: int, max_features: int, blocks: int, spectral_norm: bool) -> None:
        super().__init__()
        widths = [inputs] + [min(max_features, expansion * 2 ** (i + 1)) for i in range(blocks)]
        self.down_blocks = nn.ModuleList(
            DiscriminatorBlock(widths[i], widths[i + 1], norm=i != 0, pool=i != blocks - 1, spectral_norm=spectral_norm)
            for i in range(blocks)
        )
        self.conv = normalised(nn.Conv2d(widths[-1], 1, 1), spectral_norm)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        maps = []
        for block in self.down_blocks:
            x = block(x)
            maps.append(x)
        return maps, self.conv(x)


class Discriminator(nn.Module):
    """Patch discriminators on an image pyramid, optionally conditioned on keypoints.

    Source: Wang et al. 2018 (pix2pixHD), as used by Siarohin et al. 2019, supplementary B.
    """

    def __init__(
        self,
        *,
        scales: tuple[float, ...],
        expansion: int,
        max_features: int,
        blocks: int,
        spectral_norm: bool,
        keypoints: int,
        convention: Convention,
        variance: float = 0.01,
    ) -> None:
        super().__init__()
        self.scales = {scale: str(scale if scale % 1 else int(scale)).replace(".", "-") for scale in scales}
        self.downs = nn.ModuleDict({key: AntiAliasDown(3, scale, stored=False) for scale, key in self.scales.items()})
        self.discs = nn.ModuleDict(
            {
                key: PatchDiscriminator(
                    3 + keypoints,
                    expansion=expansion,
                    max_features=max_features,
                    blocks=blocks,
                    spectral_norm=spectral_norm,
                )
                for key in self.scales.values()
            }
        )
        self.keypoints = keypoints
        self.convention = convention
        self.variance = variance

    def forward(self, image: Tensor, value: Tensor | None = None) -> dict[float, tuple[list[Tensor], Tensor]]:
        """Judge `image (n, 3, h, w)`; `value (n, k, 2)` are the driving keypoints if it is conditioned.

        Returns:
            For each scale: feature maps of the blocks, and the score map `(n, 1, h', w')`.
        """
        out = {}
        for scale, key in self.scales.items():
            x = self.downs[key](image)
            if self.keypoints and value is not None:
                heat = gaussian_heatmaps(
                    value, x.shape[2], x.shape[3], variance=self.variance, convention=self.convention
                )
                x = torch.cat([x, heat], dim=1)
            out[scale] = self.discs[key](x)
        return out
