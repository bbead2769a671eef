"""The training objective, a function per term; weights are arguments.

A term whose weight is zero is not computed. Source: Siarohin et al. 2019, section 3.2 and the
published losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from stillmotion.core.flow import Convention
from stillmotion.methods.firstorder.config import FirstOrderConfig, LossWeights, TransformConfig
from stillmotion.nn.geometry import inverse_2x2, times
from stillmotion.nn.objective import Features, Losses, Objective, Sample, Turn, frozen
from stillmotion.nn.perceptual import check_pictured, mean_difference, perceptual
from stillmotion.nn.tps import RandomTransform

BETAS = (0.5, 0.999)
"""Of every Adam, as published."""


def equivariance(
    detector: nn.Module,
    driving: Tensor,
    value: Tensor,
    jacobian: Tensor | None,
    *,
    transform: RandomTransform,
    convention: Convention,
    value_weight: float,
    jacobian_weight: float,
) -> Losses:
    """Keypoints of a warped picture, mapped back, are the keypoints of the picture (equations 10–12)."""
    moved_value, moved_jacobian = detector(transform.frame(driving, convention=convention))
    losses: Losses = {}
    if value_weight:
        losses["equivariance_value"] = value_weight * (value - transform(moved_value)).abs().mean()
    if jacobian_weight and jacobian is not None:
        composed = times(inverse_2x2(jacobian), times(transform.jacobian(moved_value), moved_jacobian))
        identity = torch.eye(2, device=composed.device, dtype=composed.dtype)
        losses["equivariance_jacobian"] = jacobian_weight * (identity - composed).abs().mean()
    return losses


def adversarial(
    discriminator: nn.Module, prediction: Tensor, target: Tensor, value: Tensor, weights: LossWeights
) -> Losses:
    """Least-squares generator term and feature matching; the keypoints shown are detached, as published."""
    shown = value.detach()
    fake, real = discriminator(prediction, shown), discriminator(target, shown)
    judged = [((1 - score) ** 2).mean() for _, score in fake.values()]
    losses: Losses = {"generator_gan": weights.generator_gan * torch.stack(judged).sum()}
    if any(weights.feature_matching):
        matched = [
            weight * mean_difference(a, b)
            for scale in fake
            for weight, a, b in zip(weights.feature_matching, fake[scale][0], real[scale][0], strict=True)
            if weight
        ]
        losses["feature_matching"] = torch.stack(matched).sum()
    return losses


def generator_losses(
    networks: dict[str, nn.Module],
    source: Tensor,
    driving: Tensor,
    *,
    weights: LossWeights,
    scales: Sequence[float],
    transform: TransformConfig,
    convention: Convention,
    features: Features | None = None,
    emphasis: Tensor | None = None,
    random: torch.Generator | None = None,
) -> tuple[Losses, dict[str, Tensor]]:
    """One step's terms for generator and keypoint detector.

    Args:
        networks: `generator`, `kp_detector`, and `discriminator` if the adversarial term is on.
        source, driving: `(n, 3, h, w)` in [0, 1], two frames of one clip.
        weights, scales, transform, convention: From the config.
        features: Feature network of the perceptual term; None leaves the term out.
        emphasis: `(n, 1, h, w)` pixel weights of mean about 1, or None for equal ones.
        random: Source of the equivariance warp's randomness.

    Returns:
        The weighted terms by name, and what the networks produced (`prediction`, `flow`, …, and the
        keypoints as `source_value`, `driving_value`, with Jacobians where there are any).
    """
    generator, detector = networks["generator"], networks["kp_detector"]
    source_value, source_jacobian = detector(source)
    value, jacobian = detector(driving)
    outputs = generator(source, source_value, value, source_jacobian, jacobian)
    prediction = outputs["prediction"]
    losses: Losses = {}
    if features is not None and any(weights.perceptual):
        losses["perceptual"] = perceptual(
            features, prediction, driving, scales=scales, weights=weights.perceptual, emphasis=emphasis
        )
    if weights.pixel:
        losses["pixel"] = weights.pixel * mean_difference(prediction, driving, emphasis)
    if weights.generator_gan:
        losses |= adversarial(networks["discriminator"], prediction, driving, value, weights)
    if weights.equivariance_value or (weights.equivariance_jacobian and jacobian is not None):
        warp = RandomTransform.draw(
            len(driving),
            sigma_affine=transform.sigma_affine,
            sigma_tps=transform.sigma_tps,
            points_tps=transform.points_tps,
            like=driving,
            generator=random,
        )
        losses |= equivariance(
            detector,
            driving,
            value,
            jacobian,
            transform=warp,
            convention=convention,
            value_weight=weights.equivariance_value,
            jacobian_weight=weights.equivariance_jacobian,
        )
    outputs |= {"source_value": source_value, "driving_value": value}
    if source_jacobian is not None and jacobian is not None:
        outputs |= {"source_jacobian": source_jacobian, "driving_jacobian": jacobian}
    return losses, outputs


def discriminator_losses(
    discriminator: nn.Module, driving: Tensor, prediction: Tensor, value: Tensor, *, weight: float
) -> Losses:
    """Least-squares term of the discriminator on a detached prediction."""
    shown = value.detach()
    real, fake = discriminator(driving, shown), discriminator(prediction.detach(), shown)
    judged = [((1 - real[scale][1]) ** 2 + fake[scale][1] ** 2).mean() for scale in real]
    return {"discriminator_gan": weight * torch.stack(judged).sum()}


def active_weights(config: FirstOrderConfig) -> LossWeights:
    """The loss weights of a run: a frozen detector has nothing to learn from equivariance.

    The published loop still computes both equivariance terms when it freezes the detector.
    """
    training = config.training
    if training.learning_rate_keypoints:
        return training.weights
    return replace(training.weights, equivariance_value=0.0, equivariance_jacobian=0.0)


class GeneratorStep(nn.Module):
    """Generator and keypoint detector with their losses.

    Args:
        networks: `generator`, `kp_detector`, `discriminator`; the last is looked at, not trained here.
        config: Of the run.
        features: Feature network of the perceptual term, or None.
    """

    def __init__(self, networks: dict[str, nn.Module], config: FirstOrderConfig, features: Features | None) -> None:
        super().__init__()
        self.generator = networks["generator"]
        self.kp_detector = networks["kp_detector"]
        # In a dict the judge and the feature network are no submodules: not trained, not synchronised here.
        self._others: dict[str, Any] = {"networks": networks, "features": features}
        self._config = config
        self._weights = active_weights(config)
        self._is_frozen = not config.training.learning_rate_keypoints
        if self._is_frozen:
            self.kp_detector.requires_grad_(False)

    def train(self, mode: bool = True) -> GeneratorStep:
        """A frozen detector keeps its running statistics too."""
        super().train(mode)
        if self._is_frozen:
            self.kp_detector.eval()
        return self

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        """Weighted losses by name, and the networks' outputs; see `generator_losses`."""
        networks, training = self._others["networks"], self._config.training
        with frozen(networks["discriminator"]):
            return generator_losses(
                networks,
                sample.frames[0],
                sample.frames[-1],
                weights=self._weights,
                scales=training.scales,
                transform=training.transform,
                convention=self._config.convention,
                features=self._others["features"],
                random=sample.random,
            )


class DiscriminatorStep(nn.Module):
    """The discriminator with its loss, on the detached prediction of the generator's turn."""

    def __init__(self, discriminator: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._weight = weight

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        prediction, value = made["prediction"].detach(), made["driving_value"].detach()
        driving = sample.frames[-1]
        return discriminator_losses(self.discriminator, driving, prediction, value, weight=self._weight), {}


def objective(networks: dict[str, nn.Module], config: FirstOrderConfig, features: Features | None) -> Objective:
    """First generator and detector, then, in an adversarial run, the discriminator; an Adam for each.

    Raises:
        ConfigError: No active term sees the picture.
    """
    training, weights = config.training, active_weights(config)
    seen = features is not None and any(weights.perceptual)
    check_pictured("perceptual, pixel or GAN", seen, weights.pixel, weights.generator_gan)
    rates = {"generator": training.learning_rate_generator, "kp_detector": training.learning_rate_keypoints}
    first = {n: Adam(networks[n].parameters(), lr=rate, betas=BETAS) for n, rate in rates.items() if rate}
    turns = [Turn(GeneratorStep(networks, config, features), first)]
    if weights.generator_gan and training.learning_rate_discriminator:
        judge = networks["discriminator"]
        second = Adam(judge.parameters(), lr=training.learning_rate_discriminator, betas=BETAS)
        turns.append(Turn(DiscriminatorStep(judge, weight=weights.discriminator_gan), {"discriminator": second}))
    return Objective(tuple(turns), watched=("generator", "kp_detector"))
