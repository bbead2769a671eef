"""The objective of Monkey-Net; weights are arguments.

Source: Siarohin et al. 2019 (CVPR), section 3.4 and the published losses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from stillmotion.core.errors import ConfigError
from stillmotion.methods.monkeynet.config import LossWeights, MonkeyNetConfig
from stillmotion.nn.objective import Draw, Features, Losses, Objective, Sample, Turn, frozen
from stillmotion.nn.perceptual import check_pictured, mean_difference

BETAS = (0.5, 0.999)
"""Of the Adams, as published."""


def generator_losses(
    networks: dict[str, nn.Module], source: Tensor, driving: Tensor, *, weights: LossWeights
) -> tuple[Losses, dict[str, Tensor]]:
    """One step's terms for generator and keypoint detector.

    Args:
        networks: `generator`, `kp_detector`, `discriminator`.
        source, driving: `(n, 3, h, w)` in [0, 1], two frames of one clip.
        weights: From the config.

    Returns:
        The weighted terms by name, and what the networks produced.
    """
    both = torch.cat([source, driving])  # seen together, as published: one set of batch statistics
    values, covariances = networks["kp_detector"](both)
    n = len(source)
    motion = (values[:n], covariances[:n], values[n:], covariances[n:])
    outputs = networks["generator"](source, *motion)
    prediction, shown = outputs["prediction"], (values[n:].detach(), covariances[n:].detach())
    losses: Losses = {}
    if weights.generator_gan or any(weights.reconstruction):
        fake, score = networks["discriminator"](prediction, *shown)
        real, _ = networks["discriminator"](driving, *shown)
        for i, (weight, a, b) in enumerate(zip(weights.reconstruction, fake, real, strict=True)):
            if weight:
                losses["pixel" if i == 0 else f"reconstruction_{i}"] = weight * mean_difference(a, b)
        if weights.generator_gan:
            losses["generator_gan"] = weights.generator_gan * ((1 - score) ** 2).mean()
    if weights.deformed:
        losses["deformed"] = weights.deformed * mean_difference(outputs["deformed"], driving)
    return losses, outputs | {"driving_value": shown[0], "driving_covariance": shown[1]}


class GeneratorStep(nn.Module):
    """Generator and keypoint detector with their losses."""

    def __init__(self, networks: dict[str, nn.Module], weights: LossWeights) -> None:
        super().__init__()
        self.generator, self.kp_detector = networks["generator"], networks["kp_detector"]
        self._others: dict[str, Any] = {"networks": networks}  # in a dict the judge is no submodule
        self._weights = weights

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        networks = self._others["networks"]
        with frozen(networks["discriminator"]):
            return generator_losses(networks, sample.frames[0], sample.frames[-1], weights=self._weights)


class DiscriminatorStep(nn.Module):
    """The discriminator with its least-squares loss, on the detached prediction."""

    def __init__(self, discriminator: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._weight = weight

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        shown = made["driving_value"].detach(), made["driving_covariance"].detach()
        _, real = self.discriminator(sample.frames[-1], *shown)
        _, fake = self.discriminator(made["prediction"].detach(), *shown)
        return {"discriminator_gan": self._weight * ((1 - real) ** 2 + fake**2).mean()}, {}


class PredictionStep(nn.Module):
    """The predictor on the keypoints that a finished detector reads in consecutive frames."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        super().__init__()
        self.predictor = networks["predictor"]
        self._others = {"detector": networks["kp_detector"]}

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        detector = self._others["detector"].eval()
        with torch.no_grad():
            read = [detector(frame) for frame in sample.frames]
        value, covariance = (torch.stack(list(parts), dim=1) for parts in zip(*read, strict=True))
        said_value, said_covariance = self.predictor(value, covariance, shown=1)
        return {
            "value": mean_difference(said_value[:, 1:], value[:, 1:]),
            "covariance": mean_difference(said_covariance[:, 1:], covariance[:, 1:]),
        }, {}


def objective(networks: dict[str, nn.Module], config: MonkeyNetConfig, features: Features | None) -> Objective:
    """Generator and detector, then the discriminator; or, in the second stage, the predictor alone.

    Raises:
        ConfigError: No term sees the picture, or there is no predictor to train.
    """
    training = config.training
    if training.stage == "prediction":
        return _prediction(networks, config)
    weights = training.weights
    check_pictured("reconstruction, deformed or GAN", *weights.reconstruction, weights.deformed, weights.generator_gan)
    first = {n: _adam(networks[n], training.learning_rate) for n in ("generator", "kp_detector")}
    turns = [Turn(GeneratorStep(networks, weights), first)]
    if weights.generator_gan or any(weights.reconstruction[1:]):
        judge = networks["discriminator"]
        second = {"discriminator": _adam(judge, training.learning_rate)}
        turns.append(Turn(DiscriminatorStep(judge, weight=weights.discriminator_gan), second))
    watched = ("generator", "kp_detector", "predictor") if config.prediction.enabled else ("generator", "kp_detector")
    return Objective(tuple(turns), watched=watched)


def _adam(network: nn.Module, rate: float) -> Adam:
    return Adam(network.parameters(), lr=rate, betas=BETAS)


def _prediction(networks: dict[str, nn.Module], config: MonkeyNetConfig) -> Objective:
    if not config.prediction.enabled:
        raise ConfigError("there is no predictor to train", hint="add --set prediction.enabled=true")
    for name in ("generator", "kp_detector", "discriminator"):
        networks[name].requires_grad_(False)
    rate = config.training.learning_rate_prediction
    turn = Turn(PredictionStep(networks), {"predictor": Adam(networks["predictor"].parameters(), lr=rate)})

    def adapt(states: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """A first stage's checkpoint has no predictor: the new one is taken as it is."""
        return {"predictor": networks["predictor"].state_dict()} | states

    draw = Draw(count=config.prediction.frames, order="window")
    return Objective((turn,), watched=("generator", "kp_detector", "predictor"), draw=draw, adapt=adapt)
