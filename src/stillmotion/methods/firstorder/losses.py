"""The training objective, a function per term; weights are arguments.

A term whose weight is zero is not computed. Source: Siarohin et al. 2019, section 3.2 and the
published losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.flow import Convention
from stillmotion.methods.firstorder.config import LossWeights, TransformConfig
from stillmotion.nn.blocks import AntiAliasDown
from stillmotion.nn.geometry import inverse_2x2, times
from stillmotion.nn.tps import RandomTransform

Features: TypeAlias = Callable[[Tensor], list[Tensor]]
Losses: TypeAlias = dict[str, Tensor]


def mean_difference(a: Tensor, b: Tensor, emphasis: Tensor | None = None) -> Tensor:
    """Mean absolute difference; `emphasis (n, 1, h, w)`, resized to fit, weighs the pixels (mean 1 keeps the scale)."""
    gap = (a - b).abs()
    if emphasis is None:
        return gap.mean()
    if emphasis.shape[2:] != gap.shape[2:]:
        emphasis = F.adaptive_avg_pool2d(emphasis, (gap.shape[2], gap.shape[3]))
    return (gap * emphasis).mean()


def pyramid(image: Tensor, scales: Sequence[float]) -> list[Tensor]:
    """The picture at every scale, anti-aliased as published."""
    return [AntiAliasDown(image.shape[1], scale).to(image)(image) for scale in scales]


def perceptual(
    features: Features,
    prediction: Tensor,
    target: Tensor,
    *,
    scales: Sequence[float],
    weights: Sequence[float],
    emphasis: Tensor | None = None,
) -> Tensor:
    """Weighted L1 between feature maps, summed over levels and pyramid scales (equation 9).

    A feature network with more levels than `weights` uses the last weight for the rest.
    """
    total = prediction.new_zeros(())
    for ours, theirs in zip(pyramid(prediction, scales), pyramid(target, scales), strict=True):
        with torch.no_grad():
            wanted = features(theirs)
        for level, (a, b) in enumerate(zip(features(ours), wanted, strict=True)):
            weight = weights[min(level, len(weights) - 1)]
            if weight:
                total = total + weight * mean_difference(a, b, emphasis)
    return total


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
