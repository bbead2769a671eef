"""The two halves of a training step as modules, so that Fabric can wrap each: one forward, one backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from stillmotion.core.errors import ConfigError
from stillmotion.methods.firstorder.config import FirstOrderConfig, LossWeights
from stillmotion.methods.firstorder.losses import Features, Losses, discriminator_losses, generator_losses


def active_weights(config: FirstOrderConfig) -> LossWeights:
    """The loss weights of a run: a frozen detector has nothing to learn from equivariance.

    The published loop still computes both equivariance terms when it freezes the detector.
    """
    training = config.training
    if training.learning_rate_keypoints:
        return training.weights
    return replace(training.weights, equivariance_value=0.0, equivariance_jacobian=0.0)


def check_weights(weights: LossWeights, *, has_features: bool) -> None:
    """Refuse a run in which nothing compares the prediction with the driving frame.

    Raises:
        ConfigError: No active term sees the picture.
    """
    perceptual = has_features and any(weights.perceptual)
    if not (perceptual or weights.pixel or weights.generator_gan):
        hint = "give --features a torchvision state dict of VGG-19 or SqueezeNet 1.1, or set weights.pixel above 0"
        raise ConfigError("nothing tells the generator what to paint: no perceptual, pixel or GAN term", hint=hint)


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
        self._others = {"networks": networks, "features": features}
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

    def forward(
        self, source: Tensor, driving: Tensor, random: torch.Generator | None = None
    ) -> tuple[Losses, dict[str, Tensor]]:
        """Weighted losses by name, and the networks' outputs; see `generator_losses`."""
        networks: dict[str, nn.Module] = self._others["networks"]  # type: ignore[assignment]
        training = self._config.training
        with frozen(networks["discriminator"]):
            return generator_losses(
                networks,
                source,
                driving,
                weights=self._weights,
                scales=training.scales,
                transform=training.transform,
                convention=self._config.convention,
                features=self._others["features"],  # type: ignore[arg-type]
                random=random,
            )


class DiscriminatorStep(nn.Module):
    """The discriminator with its loss."""

    def __init__(self, discriminator: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._weight = weight

    def forward(self, driving: Tensor, prediction: Tensor, value: Tensor) -> Losses:
        """Least-squares loss of real `driving` against a detached `prediction`."""
        return discriminator_losses(self.discriminator, driving, prediction, value, weight=self._weight)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through `network` without gathering any for its own weights."""
    before = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, was in zip(network.parameters(), before, strict=True):
            parameter.requires_grad_(was)
