"""The networks of Monkey-Net: keypoint detector, dense motion, generator, discriminator, predictor.

Source: Siarohin et al., "Animating Arbitrary Objects via Deep Motion Transfer", CVPR 2019. Equation
numbers are the paper's. What we changed: time is a batch axis, so everything is two-dimensional; the 2×2
algebra is closed-form and guarded, so that no covariance can make a NaN.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.flow import Convention
from stillmotion.nn.blocks import Encoder, Hourglass, ResBlock, UpBlock
from stillmotion.nn.discriminator import DiscriminatorBlock
from stillmotion.nn.geometry import inverse_2x2, make_grid, precise, times, warp

SMALLEST = 1e-10
"""Floor of a covariance's determinant, below what any detector at 256 pixels produces."""


def thinned(image: Tensor, scale: float) -> Tensor:
    """Every n-th pixel, as published: not blurred first."""
    stride = round(1 / scale)
    return image if stride == 1 else image[:, :, ::stride, ::stride]


def smaller_eigenvalue(matrix: Tensor) -> Tensor:
    """Of symmetric `(..., 2, 2)`, `(...)`; never the root of a negative number."""
    a, b, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    return (a + d) / 2 - torch.sqrt(((a - d) / 2) ** 2 + b**2 + 1e-20)


def floored(covariance: Tensor, least: float) -> Tensor:
    """Scale covariances whose smaller eigenvalue is below `least` up to it.

    A singular one cannot be scaled to it, so it gets `least` on its diagonal: the published code
    divides by zero there.
    """
    smaller = smaller_eigenvalue(covariance)[..., None, None]
    is_regular = smaller > 1e-3 * least
    scaled = covariance * least / torch.where(is_regular, smaller, torch.ones_like(smaller))
    lifted = covariance + least * torch.eye(2, dtype=covariance.dtype, device=covariance.device)
    return torch.where(smaller >= least, covariance, torch.where(is_regular, scaled, lifted))


def heatmaps(
    value: Tensor, covariance: Tensor, height: int, width: int, *, norm: float, convention: Convention
) -> Tensor:
    """`(n, k, h, w)` Gaussians of keypoints `(n, k, 2)`, divided by `norm`, or each by its sum where that is 0."""
    offset = make_grid(height, width, convention=convention, like=value) - value[:, :, None, None, :]
    inverse = inverse_2x2(covariance, least=SMALLEST)[:, :, None, None]
    squared = (times(inverse, offset.unsqueeze(-1)).squeeze(-1) * offset).sum(-1)
    heat = torch.exp(-0.5 * squared.clamp(min=0))
    return heat / norm if norm else heat / heat.sum(dim=(2, 3), keepdim=True).clamp(min=1e-12)


class KeypointDetector(nn.Module):
    """Picture to keypoints, each with the covariance of its heatmap (equation 3).

    Args:
        count: Number of keypoints k.
        temperature: Divides the logits of the spatial softmax.
        expansion, max_features, blocks: Shape of the hourglass.
        scale: Size factor of the picture it works on.
        smallest_deviation: Floor of the covariances' smaller eigenvalue, or None.
        convention: Grid convention.
    """

    def __init__(
        self,
        *,
        count: int,
        temperature: float,
        expansion: int,
        max_features: int,
        blocks: int,
        scale: float,
        smallest_deviation: float | None,
        convention: Convention,
    ) -> None:
        super().__init__()
        self.predictor = Hourglass(3, expansion=expansion, max_features=max_features, blocks=blocks)
        self.head = nn.Conv2d(self.predictor.out_features, count, 3, padding=1)
        self.temperature, self.scale = temperature, scale
        self.smallest = smallest_deviation
        self.convention = convention

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`(n, 3, h, w)` in [0, 1] to values `(n, k, 2)` and covariances `(n, k, 2, 2)`."""
        logits = precise(self.head(self.predictor(thinned(image, self.scale))))
        n, k, height, width = logits.shape
        heat = F.softmax(logits.reshape(n, k, -1) / self.temperature, dim=2) + 1e-7
        grid = make_grid(height, width, convention=self.convention, like=heat).reshape(-1, 2)
        value = (heat.unsqueeze(3) * grid).sum(dim=2)
        offset = grid - value.unsqueeze(2)
        # Three sums, not a product of matrices: symmetric to the last bit.
        x, y = offset.unbind(-1)
        xx, xy, yy = ((heat * a * b).sum(dim=2) for a, b in ((x, x), (x, y), (y, y)))
        covariance = torch.stack([xx, xy, xy, yy], dim=-1).reshape(n, k, 2, 2)
        return value, covariance if self.smallest is None else floored(covariance, self.smallest)


class GroupBlock(nn.Module):
    """1×1 convolution on every slot alone, batch norm, ReLU."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, groups=groups)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DenseMotion(nn.Module):
    """Keypoints to a dense backward flow: masked displacements and a residual (equations 5 and 6).

    Args:
        count: Number of keypoints k.
        expansion, max_features, blocks: Shape of the hourglass.
        scale: Size factor of the source it sees.
        group_blocks: Blocks on every slot alone, before the hourglass.
        norm: Divides the Gaussians; 0 divides each by its sum.
        use_difference: Show it the displacements too.
        convention: Grid convention.
    """

    def __init__(
        self,
        *,
        count: int,
        expansion: int,
        max_features: int,
        blocks: int,
        scale: float,
        group_blocks: int,
        norm: float,
        use_difference: bool,
        convention: Convention,
    ) -> None:
        super().__init__()
        planes = (count + 1) * (6 if use_difference else 4)
        self.group_blocks = nn.ModuleList(GroupBlock(planes, count + 1) for _ in range(group_blocks))
        self.hourglass = Hourglass(planes, expansion=expansion, max_features=max_features, blocks=blocks)
        self.head = nn.Conv2d(self.hourglass.out_features, count + 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():  # the background's mask leads at the start
            self.head.bias.copy_(torch.tensor([2.0] + [0.0] * (count + 2)))  # type: ignore[union-attr]
        self.scale, self.norm = scale, norm
        self.use_difference = use_difference
        self.convention = convention

    def forward(
        self, source: Tensor, source_value: Tensor, source_covariance: Tensor, value: Tensor, covariance: Tensor
    ) -> dict[str, Tensor]:
        """`flow (n, h, w, 2)` at the motion's size and `mask (n, k + 1, h, w)` summing to 1, slot 0 the background."""
        small = thinned(source, self.scale)
        n, _, height, width = small.shape
        shift = F.pad(source_value - value, (0, 0, 1, 0))  # the background stays
        slots = shift.shape[1]
        grid = make_grid(height, width, convention=self.convention, like=value)
        moved = grid + shift[:, :, None, None, :]
        repeated = small.unsqueeze(1).expand(-1, slots, -1, -1, -1).reshape(n * slots, 3, height, width)
        shifted = warp(repeated, moved.reshape(n * slots, height, width, 2), convention=self.convention)
        driven = heatmaps(value, covariance, height, width, norm=self.norm, convention=self.convention)
        rest = heatmaps(source_value, source_covariance, height, width, norm=self.norm, convention=self.convention)
        parts = [F.pad(driven - rest, (0, 0, 0, 0, 1, 0)).unsqueeze(2)]
        if self.use_difference:
            parts.append(shift[..., None, None].expand(-1, -1, -1, height, width))
        parts.append(shifted.reshape(n, slots, 3, height, width))
        hidden = torch.cat(parts, dim=2).reshape(n, -1, height, width)
        for block in self.group_blocks:
            hidden = block(hidden)
        out = precise(self.head(self.hourglass(hidden)))
        mask = F.softmax(out[:, :slots], dim=1)
        coarse = (mask.unsqueeze(-1) * shift[:, :, None, None, :]).sum(dim=1)
        return {"flow": grid + coarse + out[:, slots:].permute(0, 2, 3, 1), "mask": mask}


class Generator(nn.Module):
    """Source picture and keypoints to the generated frame.

    Every level of the encoder, the picture itself among them, is warped by the flow and joined by the
    difference of the keypoints' Gaussians before it enters the decoder.

    Args:
        motion: The dense motion network.
        count: Number of keypoints k.
        expansion, max_features, blocks: Shape of encoder and decoder.
        refinement_blocks: Residual blocks after the decoder.
        norm: Divides the Gaussians; 0 divides each by its sum.
        scale: Size factor of the map they are drawn on.
        interpolation: How flow and Gaussians are resized to a level.
        convention: Grid convention.
    """

    def __init__(
        self,
        motion: DenseMotion,
        *,
        count: int,
        expansion: int,
        max_features: int,
        blocks: int,
        refinement_blocks: int,
        norm: float,
        scale: float,
        interpolation: str,
        convention: Convention,
    ) -> None:
        super().__init__()
        self.dense_motion_module = motion
        self.appearance_encoder = Encoder(
            3, expansion=expansion, max_features=max_features, blocks=blocks, pool_first=False
        )
        widths = [min(max_features, expansion * 2**i) for i in range(blocks + 1)]
        inputs = [widths[-1] + count] + [2 * width + count for width in widths[-2:0:-1]]
        self.up_blocks = nn.ModuleList(UpBlock(a, b) for a, b in zip(inputs, widths[-2::-1], strict=True))
        planes = expansion + 3 + count
        self.refinement = nn.ModuleDict({f"r{i}": ResBlock(planes) for i in range(refinement_blocks)})
        self.final = nn.Conv2d(planes, 3, 1)
        self.norm, self.scale, self.interpolation = norm, scale, interpolation
        self.convention = convention

    def encode(self, source: Tensor) -> list[Tensor]:
        """Appearance of the source at every level, the picture itself first."""
        levels: list[Tensor] = self.appearance_encoder(source)
        return levels

    def _resized(self, planes: Tensor, height: int, width: int) -> Tensor:
        if planes.shape[2:] == (height, width):
            return planes
        corners = None if self.interpolation == "nearest" else False
        return F.interpolate(planes, size=(height, width), mode=self.interpolation, align_corners=corners)

    def _warped(self, level: Tensor, flow: Tensor) -> Tensor:
        # The coordinates themselves are resized, as published.
        grid = self._resized(flow.permute(0, 3, 1, 2), level.shape[2], level.shape[3]).permute(0, 2, 3, 1)
        return warp(level, grid, convention=self.convention)

    def decode(
        self,
        levels: list[Tensor],
        flow: Tensor,
        *,
        source_value: Tensor,
        source_covariance: Tensor,
        value: Tensor,
        covariance: Tensor,
    ) -> dict[str, Tensor]:
        """Warp every level and decode: `prediction` and `deformed` (the warped source), `(n, 3, h, w)`."""
        size = [round(side * self.scale) for side in levels[0].shape[2:]]
        driven = heatmaps(value, covariance, *size, norm=self.norm, convention=self.convention)
        rest = heatmaps(source_value, source_covariance, *size, norm=self.norm, convention=self.convention)
        movement = driven - rest
        skips = [
            torch.cat([self._warped(level, flow), self._resized(movement, level.shape[2], level.shape[3])], dim=1)
            for level in levels
        ]
        deformed = skips[0][:, :3]
        hidden = skips.pop()
        for block in self.up_blocks:
            hidden = torch.cat([block(hidden), skips.pop()], dim=1)
        for refine in self.refinement.values():
            hidden = refine(hidden)
        return {"prediction": torch.sigmoid(self.final(hidden)), "deformed": deformed}

    def forward(
        self, source: Tensor, source_value: Tensor, source_covariance: Tensor, value: Tensor, covariance: Tensor
    ) -> dict[str, Tensor]:
        """Source `(n, 3, h, w)` in [0, 1] performing the driving keypoints; see `decode` and `DenseMotion`."""
        motion = self.dense_motion_module(source, source_value, source_covariance, value, covariance)
        terms = {"source_value": source_value, "source_covariance": source_covariance}
        out = self.decode(self.encode(source), motion["flow"], **terms, value=value, covariance=covariance)
        return motion | out


class Discriminator(nn.Module):
    """Patch discriminator on a picture and the Gaussians of its keypoints."""

    def __init__(
        self, *, count: int, expansion: int, max_features: int, blocks: int, norm: float, convention: Convention
    ) -> None:
        super().__init__()
        widths = [3 + count] + [min(max_features, expansion * 2 ** (i + 1)) for i in range(blocks)]
        self.down_blocks = nn.ModuleList(
            DiscriminatorBlock(a, b, norm=i != 0, pool=True, spectral_norm=False)
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.conv = nn.Conv2d(widths[-1], 1, 1)
        self.norm, self.convention = norm, convention

    def forward(self, image: Tensor, value: Tensor, covariance: Tensor) -> tuple[list[Tensor], Tensor]:
        """`image (n, 3, h, w)` to its maps, the picture itself first, and the score map."""
        heat = heatmaps(value, covariance, image.shape[2], image.shape[3], norm=self.norm, convention=self.convention)
        maps, x = [image], torch.cat([image, heat], dim=1)
        for block in self.down_blocks:
            x = block(x)
            maps.append(x)
        return maps, self.conv(x)


class Predictor(nn.Module):
    """Recurrent network that continues keypoints: a GRU and a linear layer.

    It sees the first frames' keypoints and zeros from then on. A covariance is `Vᵀ V` of what it says,
    so it can be no other than one.
    """

    def __init__(self, *, count: int, features: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(6 * count, features, batch_first=True)
        self.linear = nn.Linear(features, 6 * count)
        self.features = features

    def forward(self, value: Tensor, covariance: Tensor, *, shown: int) -> tuple[Tensor, Tensor]:
        """Sequences `(n, t, k, 2)` and `(n, t, k, 2, 2)`, of which the first `shown` frames are seen, to the same."""
        n, length = value.shape[:2]
        given = torch.cat([value.flatten(2), covariance.flatten(2)], dim=2)
        seen = torch.arange(length, device=value.device).view(1, -1, 1) < shown
        hidden, _ = self.rnn(torch.where(seen, given, torch.zeros_like(given)))
        return self._spoken(hidden.reshape(n * length, -1), (n, length))

    def step(self, value: Tensor, covariance: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame of the same, written out: `(n, k, 2)`, `(n, k, 2, 2)` and `(n, features)` to the same."""
        given = torch.cat([value.flatten(1), covariance.flatten(1)], dim=1)
        cell: dict[str, Tensor] = dict(self.rnn.named_parameters())
        theirs = F.linear(given, cell["weight_ih_l0"], cell["bias_ih_l0"]).chunk(3, dim=1)
        ours = F.linear(hidden, cell["weight_hh_l0"], cell["bias_hh_l0"]).chunk(3, dim=1)
        reset, keep = torch.sigmoid(theirs[0] + ours[0]), torch.sigmoid(theirs[1] + ours[1])
        new = torch.tanh(theirs[2] + reset * ours[2])
        hidden = (1 - keep) * new + keep * hidden
        return (*self._spoken(hidden, (len(hidden),)), hidden)

    def _spoken(self, hidden: Tensor, lead: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        out = self.linear(hidden)
        count = out.shape[1] // 6
        factor = out[:, 2 * count :].reshape(*lead, count, 2, 2)
        return torch.tanh(out[:, : 2 * count]).reshape(*lead, count, 2), times(factor.transpose(-1, -2), factor)
