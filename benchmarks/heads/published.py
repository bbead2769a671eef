"""Everything together on the published losses, without the truth: what the other phases are compared with."""

from __future__ import annotations

from torch import Tensor, nn

from stillmotion.methods.firstorder.config import FirstOrderConfig, LossWeights
from stillmotion.methods.firstorder.losses import generator_losses
from stillmotion.nn.features import FeatureNetwork


def published_step(
    networks: dict[str, nn.Module], item: dict[str, Tensor], config: FirstOrderConfig, features: FeatureNetwork
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Terms and outputs of one batch: perceptual pyramid and equivariance, weights as published."""
    return generator_losses(
        networks,
        item["source"],
        item["driving"],
        weights=LossWeights(),
        scales=(1.0, 0.5),
        transform=config.training.transform,
        convention=config.convention,
        features=features,
    )
