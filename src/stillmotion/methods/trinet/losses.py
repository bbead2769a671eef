"""The objective of the three-network generator; weights are arguments.

Source: source text 002 of this project's requirements says that the third network is two distances, source to
generated for the first network, driving to generated for the second. How they are learned is ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from stillmotion.methods.trinet.config import LossWeights, TrainingConfig, TriNetConfig
from stillmotion.methods.trinet.network import apart
from stillmotion.nn.objective import Draw, Features, Losses, Objective, Sample, Turn, frozen
from stillmotion.nn.perceptual import check_pictured, mean_difference, perceptual

BETAS = (0.0, 0.99)
"""Of the Adams."""


def recoloured(picture: Tensor, random: torch.Generator | None) -> Tensor:
    """The same pose in other light: gain, shift and tint of every picture, `(n, 3, h, w)` in [0, 1]."""
    shape = (len(picture), 3, 1, 1)
    gain = 1 + 0.3 * (torch.rand(shape, generator=random) - 0.5)
    shift = 0.2 * (torch.rand(shape, generator=random) - 0.5)
    return (picture * gain.to(picture) + shift.to(picture)).clamp(0, 1)


def disguised(driving: Tensor, random: torch.Generator | None) -> Tensor:
    """The driving face in other light and other proportions, so that its identity is no help to the generator."""
    n = len(driving)
    scale = 1 + 0.2 * (torch.rand(n, 2, generator=random) * 2 - 1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale[:, 0], scale[:, 1]
    grid = F.affine_grid(theta.to(driving), list(driving.shape), align_corners=False)
    stretched = F.grid_sample(driving, grid, padding_mode="border", align_corners=False)
    return recoloured(stretched, random)


class Cast:
    """The frames of one sample and what is generated from them.

    Attributes:
        source, other_pose, driving: Three frames of one clip.
        stranger: The driving frames of the batch's neighbours.
        is_other: 1 where the neighbour is of another clip, else 0, `(n,)`.
    """

    def __init__(self, sample: Sample) -> None:
        self.source, self.other_pose, self.driving = sample.frames
        self.stranger = self.driving.roll(1, dims=0)
        self.random = sample.random
        is_other = sample.clips != sample.clips.roll(1, dims=0)
        self.is_other = is_other.to(self.driving)

    def generate(self, identity: nn.Module, generator: nn.Module) -> tuple[Tensor, Tensor]:
        """The source driven by its own clip's frame, and by the neighbour's."""
        vector = identity(self.source)
        shown = disguised(torch.cat([self.driving, self.stranger]), self.random)
        both = generator(torch.cat([vector, vector]), shown)
        own, strange = both.chunk(2)
        return own, strange


def identity_terms(judge: nn.Module, cast: Cast, own: Tensor, strange: Tensor, *, weight: float) -> Losses:
    """Source and generated face are the same person, whoever drives."""
    if not weight:
        return {}
    (source, _, _), (first, _, _), (second, _, _) = judge(cast.source), judge(own), judge(strange)
    return {"identity": weight * (apart(source, first) + apart(source, second)).mean()}


def driving_terms(
    judge: nn.Module, cast: Cast, own: Tensor, strange: Tensor, *, weights: LossWeights, features: Features | None
) -> Losses:
    """Driving and generated face do the same, look real, and, within a clip, are the same picture."""
    (_, wanted, _), (_, other, _) = judge(cast.driving), judge(cast.stranger)
    (_, first, real), (_, second, also_real) = judge(own), judge(strange)
    losses: Losses = {}
    if weights.driving:
        losses["driving"] = weights.driving * (apart(wanted, first) + apart(other, second)).mean()
    if weights.realism:
        losses["realism"] = -weights.realism * (real + also_real).mean()
    if weights.pixel:
        losses["pixel"] = weights.pixel * mean_difference(own, cast.driving)
    if features is not None and weights.perceptual:
        losses["perceptual"] = perceptual(features, own, cast.driving, scales=(1.0,), weights=(weights.perceptual,))
    return losses


class MakersStep(nn.Module):
    """Identity network and generator, together or one of them.

    Args:
        networks: `identity`, `generator`, `discriminator`.
        learners: Those that learn in this turn: both, or one for strict routing.
        config: Of the run.
        features: Feature network, or None.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        *,
        learners: tuple[str, ...],
        config: TrainingConfig,
        features: Features | None,
    ) -> None:
        super().__init__()
        self.learners = nn.ModuleDict({name: networks[name] for name in learners})
        self._others: dict[str, Any] = {"networks": networks, "features": features}
        self._config = config

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        networks, cast, weights = self._others["networks"], Cast(sample), self._config.weights
        still = [network for name, network in networks.items() if name not in self.learners]
        is_warming = sample.step < self._config.warm_up
        with frozen(*still):
            own, strange = cast.generate(networks["identity"], networks["generator"])
            losses: Losses = {}
            if is_warming:
                losses["pixel"] = max(weights.pixel, 1.0) * mean_difference(own, cast.driving)
            else:
                judge = networks["discriminator"]
                if "identity" in self.learners:
                    losses |= identity_terms(judge, cast, own, strange, weight=weights.identity)
                if "generator" in self.learners:
                    features = self._others["features"]
                    losses |= driving_terms(judge, cast, own, strange, weights=weights, features=features)
        return losses, {"prediction": own.detach(), "strange": strange.detach()}


class DiscriminatorStep(nn.Module):
    """The third network learns its two distances and what looks real, on detached faces."""

    def __init__(self, discriminator: nn.Module, *, margin: float) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._margin = margin

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        cast, judge = Cast(sample), self.discriminator
        own = made["prediction"].detach()
        pictures = [
            cast.source,
            cast.other_pose,
            cast.stranger,
            own,
            cast.driving,
            recoloured(cast.driving, cast.random),
        ]
        identity, driving, score = (part.chunk(len(pictures)) for part in judge(torch.cat(pictures)))
        person = apart(identity[0], identity[1])
        person = person + self._near(identity[0], identity[2]) * cast.is_other + self._near(identity[0], identity[3])
        pose = apart(driving[4], driving[5]) + self._near(driving[4], driving[1]) + self._near(driving[4], driving[3])
        return {
            "identity_distance": person.mean(),
            "driving_distance": pose.mean(),
            "realism_hinge": (F.relu(1 - score[4]) + F.relu(1 + score[3])).mean(),
        }, {}

    def _near(self, a: Tensor, b: Tensor) -> Tensor:
        return F.relu(self._margin - apart(a, b))


def objective(networks: dict[str, nn.Module], config: TriNetConfig, features: Features | None) -> Objective:
    """Identity network and generator, together or, in strict routing, one after the other; then the third.

    Raises:
        ConfigError: No active term sees the picture.
    """
    training = config.training
    check_pictured("pixel or perceptual", training.weights.pixel, features is not None and training.weights.perceptual)
    groups = (("identity", "generator"),) if training.routing == "joint" else (("identity",), ("generator",))
    turns = []
    for learners in groups:
        step = MakersStep(networks, learners=learners, config=training, features=features)
        turns.append(Turn(step, {name: _adam(networks[name], training.learning_rate) for name in learners}))
    judge = networks["discriminator"]
    optimizers: dict[str, Optimizer] = {"discriminator": _adam(judge, training.learning_rate_discriminator)}
    turns.append(Turn(DiscriminatorStep(judge, margin=training.margin), optimizers))
    return Objective(tuple(turns), watched=("identity", "generator"), draw=Draw(count=3, order="distinct"))


def _adam(network: nn.Module, rate: float) -> Adam:
    return Adam(network.parameters(), lr=rate, betas=BETAS)
