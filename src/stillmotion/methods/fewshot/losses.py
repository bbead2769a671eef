"""The objective of few-shot talking heads: meta-learning, and fine-tuning on a person; weights are arguments.

Source: Zakharov et al., ICCV 2019, section 3. The match term pulls every embedding to its clip's row and
leaves the row alone, as in the group's later code; one discriminator step per generator step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from stillmotion.core.flow import to_normalised
from stillmotion.core.frame import to_frames
from stillmotion.methods.fewshot.config import FewShotConfig, LossWeights
from stillmotion.methods.fewshot.drawing import Reader, draw_batch, draw_points, open_reader
from stillmotion.methods.fewshot.network import Discriminator, Embedder, Generator
from stillmotion.nn.keypoints import KeypointDetector
from stillmotion.nn.objective import Draw, Features, Losses, Objective, Sample, States, Turn, frozen
from stillmotion.nn.perceptual import check_pictured, mean_difference, perceptual

BETAS = (0.0, 0.999)
EPSILON = 1e-5
"""Of the Adams, as in the group's later code."""


class Artist:
    """Draws the landmark image of training frames.

    Args:
        networks: `reader` is the keypoint detector, where the points are learned.
        config: What is drawn, and how large.
    """

    def __init__(self, networks: dict[str, nn.Module], config: FewShotConfig) -> None:
        self._detector = networks.get("reader")
        self._reader: Reader | None = None
        self._size, self._convention = config.size, config.convention

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """`(n, 3, h, w)` in [0, 1] to the same; black where no face is found."""
        if self._detector is not None:
            assert isinstance(self._detector, KeypointDetector)
            values = self._detector.eval()(pictures)[0].float().cpu().numpy()
            planes = draw_batch(values, self._size, convention=self._convention)
        else:
            frames = to_frames(pictures.float().cpu().numpy())
            planes = np.stack([self._face(frame) for frame in frames])
        return torch.from_numpy(planes).to(pictures)

    def _face(self, frame: np.ndarray) -> np.ndarray:
        if self._reader is None:
            self._reader = open_reader()
        found = self._reader(frame)
        if found is None:
            return np.zeros((3, self._size, self._size), np.float32)
        value = to_normalised(np.asarray(found) - 0.5, (self._size, self._size), self._convention)
        drawn = draw_points(np.clip(value, -1, 1), self._size, convention=self._convention)
        return np.moveaxis(drawn, 2, 0).astype(np.float32) / np.float32(255)


class GeneratorStep(nn.Module):
    """Embedder and generator; of one person's weights, the generator alone."""

    def __init__(
        self, networks: dict[str, nn.Module], config: FewShotConfig, features: Features | None, artist: Artist
    ) -> None:
        super().__init__()
        self.generator = networks["generator"]
        self.embedder = None if config.network.is_personal else networks["embedder"]
        self._others: dict[str, Any] = {"judge": networks["discriminator"], "features": features}
        self._weights, self._artist = config.training.weights, artist

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        *sources, driving = sample.frames
        drawing, judge, weights = self._artist(driving), self._others["judge"], self._weights
        embeddings: list[Tensor] = []
        if self.embedder is not None:
            embeddings = [self.embedder(source, self._artist(source)) for source in sources]
            prediction = self.generator(drawing, torch.stack(embeddings).mean(dim=0))
        else:
            prediction = self.generator(drawing)
        losses = pictured(prediction, driving, weights=weights, features=self._others["features"])
        with frozen(judge):
            losses |= judged(judge, prediction, driving, drawing, sample.clips, weights=weights)
        if weights.match and embeddings:
            rows = judge.rows[sample.clips].detach()
            losses["match"] = weights.match * torch.stack([mean_difference(e, rows) for e in embeddings]).mean()
        return losses, {"prediction": prediction, "drawing": drawing}


def pictured(prediction: Tensor, target: Tensor, *, weights: LossWeights, features: Features | None) -> Losses:
    """The terms that compare pictures."""
    losses: Losses = {}
    if features is not None and weights.perceptual:
        losses["perceptual"] = perceptual(features, prediction, target, scales=(1.0,), weights=(weights.perceptual,))
    if weights.pixel:
        losses["pixel"] = weights.pixel * mean_difference(prediction, target)
    return losses


def judged(
    judge: nn.Module, prediction: Tensor, target: Tensor, drawing: Tensor, clips: Tensor, *, weights: LossWeights
) -> Losses:
    """The generator's adversarial term and feature matching; real maps are not learned from."""
    losses: Losses = {}
    score, fake = judge(prediction, drawing, clips)
    if weights.generator_gan:
        losses["generator_gan"] = -weights.generator_gan * score.mean()
    if weights.feature_matching:
        with torch.no_grad():
            _, real = judge(target, drawing, clips)
        apart = [mean_difference(a, b) for a, b in zip(fake, real, strict=True)]
        losses["feature_matching"] = weights.feature_matching * torch.stack(apart).mean()
    return losses


class DiscriminatorStep(nn.Module):
    """The discriminator with its hinge loss, on the detached prediction."""

    def __init__(self, discriminator: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._weight = weight

    def forward(self, sample: Sample, made: dict[str, Tensor]) -> tuple[Losses, dict[str, Tensor]]:
        drawing = made["drawing"]
        real, _ = self.discriminator(sample.frames[-1], drawing, sample.clips)
        fake, _ = self.discriminator(made["prediction"].detach(), drawing, sample.clips)
        return {"discriminator_gan": self._weight * (F.relu(1 - real) + F.relu(1 + fake)).mean()}, {}


def objective(networks: dict[str, nn.Module], config: FewShotConfig, features: Features | None) -> Objective:
    """Embedder and generator, then the discriminator; fine-tuning starts from the person's own pictures.

    Raises:
        ConfigError: No active term sees the picture.
    """
    training, weights = config.training, config.training.weights
    check_pictured("perceptual or pixel", features is not None and weights.perceptual, weights.pixel)
    artist = Artist(networks, config)
    if "reader" in networks:
        networks["reader"].requires_grad_(False)
    names = ("generator",) if config.network.is_personal else ("embedder", "generator")
    if config.network.is_personal:
        for part in (networks["embedder"], networks["generator"].project):
            part.requires_grad_(False)  # type: ignore[operator, union-attr]
    first = {name: _adam(networks[name], training.learning_rate) for name in names}
    turns = [Turn(GeneratorStep(networks, config, features, artist), first)]
    judge = networks["discriminator"]
    second = {"discriminator": _adam(judge, training.learning_rate_discriminator)}
    turns.append(Turn(DiscriminatorStep(judge, weight=weights.discriminator_gan), second))

    def begin(frames: Tensor) -> None:
        settle(networks, frames, artist(frames))

    return Objective(
        tuple(turns),
        watched=tuple(name for name in ("embedder", "generator", "reader") if name in networks),
        draw=Draw(count=training.sources + 1, order="distinct"),
        adapt=lambda states: adapted(states, networks),
        begin=begin if config.network.is_personal else None,
    )


def _adam(network: nn.Module, rate: float) -> Adam:
    return Adam([p for p in network.parameters() if p.requires_grad], lr=rate, betas=BETAS, eps=EPSILON)


@torch.no_grad()
def settle(networks: dict[str, nn.Module], frames: Tensor, drawings: Tensor) -> None:
    """Fine-tuning's first state: the person's mean embedding becomes the style, and the discriminator's only row.

    From here generator and discriminator do exactly what the meta-learned ones do with that embedding.
    """
    embedder, generator, judge = (networks[name].eval() for name in ("embedder", "generator", "discriminator"))
    assert isinstance(embedder, Embedder)
    assert isinstance(generator, Generator)
    assert isinstance(judge, Discriminator)
    assert generator.personal is not None
    device = judge.rows.device
    mean = torch.cat([embedder(f[None].to(device), d[None].to(device)) for f, d in zip(frames, drawings, strict=True)])
    mean = mean.mean(dim=0, keepdim=True)
    generator.personal.copy_(generator.style(mean)[0])
    judge.rows.copy_(mean.expand_as(judge.rows))


def adapted(states: States, networks: dict[str, nn.Module]) -> States:
    """Another run's networks as this one's.

    A first-order run lends its keypoint detector and nothing else; a meta-learned one of other people
    lends all but the discriminator's rows, and fine-tuning adds the style of its own.
    """
    own = {name: network.state_dict() for name, network in networks.items()}
    if "embedder" not in states and "kp_detector" in states:
        lent = {key: tensor for key, tensor in states["kp_detector"].items() if not key.startswith("jacobian")}
        return own | {"reader": lent}
    out = dict(states)
    for name, key in (("discriminator", "rows"), ("generator", "personal")):
        if name in out and key in own[name] and own[name][key].shape != out[name].get(key, torch.empty(0)).shape:
            out[name] = out[name] | {key: own[name][key]}
    return out
