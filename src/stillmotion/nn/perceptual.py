"""Terms that compare pictures, shared by the methods' objectives; weights are arguments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stillmotion.core.errors import ConfigError
from stillmotion.nn.blocks import AntiAliasDown
from stillmotion.nn.objective import Features


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


def check_pictured(what: str, *terms: object) -> None:
    """Refuse a run in which nothing compares the prediction with the driving frame.

    Args:
        what: The terms there are, for the message.
        *terms: True for each that is on.

    Raises:
        ConfigError: None is.
    """
    if not any(terms):
        hint = "give --features a torchvision state dict of VGG-19 or SqueezeNet 1.1, or set weights.pixel above 0"
        raise ConfigError(f"nothing tells the generator what to paint: no {what} term", hint=hint)
