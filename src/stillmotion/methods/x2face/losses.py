"""The objective of X2Face: pixels first, then identity; weights are arguments.

Source: Wiles, Koepke, Zisserman, ECCV 2018, section 3. The script of the second stage was never released:
which levels are compared, and how they are weighed, is ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from stillmotion.core.errors import ConfigError
from stillmotion.methods.x2face.config import LossWeights, X2FaceConfig
from stillmotion.methods.x2face.network import Driving, Embedding, fuse
from stillmotion.nn.objective import Draw, Features, Losses, Objective, Sample, Turn
from stillmotion.nn.perceptual import check_pictured, mean_difference


def levels_apart(features: Features, prediction: Tensor, target: Tensor, *, last: int | None = None) -> Tensor:
    """Mean absolute differences of feature maps, summed over all levels or the `last` ones."""
    with torch.no_grad():
        wanted = features(target)
    pairs = list(zip(features(prediction), wanted, strict=True))
    return torch.stack([mean_difference(a, b) for a, b in (pairs if last is None else pairs[-last:])]).sum()


def elsewhere(clips: Tensor) -> Tensor:
    """For each sample, another of the batch whose clip is another, `(n,)`; its own place where there is none."""
    n = len(clips)
    order = (torch.arange(n, device=clips.device)[:, None] + torch.arange(1, n + 1, device=clips.device)) % n
    is_other = clips[order] != clips[:, None]
    first = is_other.float().argmax(dim=1)  # the nearest to the right
    chosen = order.gather(1, first[:, None])[:, 0]
    return torch.where(is_other.any(dim=1), chosen, torch.arange(n, device=clips.device))


class Step(nn.Module):
    """Both networks with their losses."""

    def __init__(
        self, networks: dict[str, nn.Module], *, weights: LossWeights, deep: int, features: Features | None
    ) -> None:
        super().__init__()
        embedding, driving = networks["embedding"], networks["driving"]
        assert isinstance(embedding, Embedding)
        assert isinstance(driving, Driving)
        self.embedding, self.driving = embedding, driving
        self._weights, self._deep = weights, deep
        self._others: dict[str, Any] = {"features": features}  # in a dict it is no submodule

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        *sources, driving = sample.frames
        count = int(torch.randint(1, len(sources) + 1, (), generator=sample.random))
        both = [self.embedding(source) for source in sources[:count]]
        face = fuse(torch.stack([one[0] for one in both]), torch.stack([one[1] for one in both]))
        prediction = self.driving(face, driving)
        features, weights = self._others["features"], self._weights
        losses: Losses = {}
        if weights.pixel:
            losses["pixel"] = weights.pixel * mean_difference(prediction, driving)
        if features is not None and weights.content:
            losses["content"] = weights.content * levels_apart(features, prediction, driving)
        if features is not None and weights.identity:
            other = self.driving(face, driving[elsewhere(sample.clips)])
            losses["identity"] = weights.identity * levels_apart(features, other, sources[0], last=self._deep)
        return losses, {"prediction": prediction}


def objective(networks: dict[str, nn.Module], config: X2FaceConfig, features: Features | None) -> Objective:
    """Both networks in one turn.

    Raises:
        ConfigError: No active term sees the picture, or the identity stage has no feature network.
    """
    training, weights = config.training, config.training.weights
    if (weights.content or weights.identity) and features is None:
        raise ConfigError(
            "the content and identity terms need a feature network",
            hint="give --features a torchvision state dict of VGG-19 or SqueezeNet 1.1",
        )
    check_pictured("pixel or content", weights.pixel, weights.content)
    optimizers: dict[str, Optimizer] = {}
    for name in ("embedding", "driving"):
        parameters = networks[name].parameters()
        if training.optimizer == "sgd":
            optimizers[name] = SGD(parameters, lr=training.learning_rate, momentum=0.9)
        else:
            optimizers[name] = Adam(parameters, lr=training.learning_rate, betas=(0.5, 0.999))
    step = Step(networks, weights=weights, deep=training.deep_levels, features=features)
    draw = Draw(count=training.sources + 1, order="distinct")
    return Objective((Turn(step, optimizers),), watched=("embedding", "driving"), draw=draw)
