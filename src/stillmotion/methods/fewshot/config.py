"""Every choice of few-shot talking heads, and its presets.

Source: Zakharov, Shysheya, Burkov, Lempitsky, "Few-Shot Adversarial Learning of Realistic Neural Talking
Head Models", ICCV 2019; sizes and schedule also from the group's later published code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stillmotion.core.recipe import AugmentationConfig, Schedule


@dataclass(frozen=True)
class PointsConfig:
    """What is drawn as the landmark image."""

    kind: Literal["landmarks", "keypoints"] = "landmarks"
    """68 landmarks by our own landmark network, as lines; or learned keypoints, as discs, for what has no face."""
    count: int = 68
    """Number of points."""
    expansion: int = 16
    """Of the keypoint detector: width multiplier. As those below, it must be that of the checkpoint it starts from."""
    max_features: int = 128
    """Cap on its width."""
    blocks: int = 3
    """Its depth."""
    scale: float = 0.5
    """Size factor of the picture it sees."""
    head_kernel: int = 7
    """Kernel of its head, pixels."""
    head_padding: int = 0
    """Zero padding of its head, pixels."""


@dataclass(frozen=True)
class NetworkConfig:
    """Embedder, generator and discriminator."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    """Planes of embedder and discriminator after each halving; the last is the length of the embedding."""
    painter: tuple[int, ...] = (64, 128, 256, 512)
    """Planes of the generator after each halving."""
    residual_blocks: int = 4
    """Of the generator, at its smallest size."""
    attention_down: int = 0
    """Self-attention of all three networks after this many halvings; 0 for none. The paper: at 32×32, after 3."""
    attention_up: int = 0
    """Self-attention of the generator after this many doublings; 0 for none. The paper: at 64×64, after 2."""
    rows: int = 1
    """Clips that the discriminator knows by row; a training run sets it."""
    is_personal: bool = False
    """Fine-tuned on one person: the styles are parameters of their own, and no embedding is asked for."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of every term; a term of weight zero is not computed."""

    perceptual: float = 0.15
    """Mean absolute difference of each level of the feature network."""
    pixel: float = 0.0
    """Mean absolute pixel difference, ours; for runs without a feature network."""
    generator_gan: float = 1.0
    """Minus the discriminator's score."""
    feature_matching: float = 10.0
    """Mean over the discriminator's blocks of the mean absolute difference of their maps."""
    match: float = 10.0
    """Mean absolute difference of each embedding from its clip's row; 0 is the feed-forward variant."""
    discriminator_gan: float = 1.0
    """Hinge loss of the discriminator."""


@dataclass(frozen=True)
class TrainingConfig(Schedule):
    """The schedule."""

    epochs: int = 75
    """Passes over the (repeated) data."""
    batch: int = 8
    """Samples per step, over all processes."""
    sources: int = 8
    """Frames that the embedding is averaged over."""
    learning_rate: float = 5e-5
    """Adam of embedder and generator, betas (0, 0.999)."""
    learning_rate_discriminator: float = 2e-4
    """Adam of the discriminator, betas (0, 0.999)."""
    weights: LossWeights = field(default_factory=LossWeights)
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(horizontal_flip=False, time_flip=False)
    )


@dataclass(frozen=True)
class FewShotConfig:
    """One few-shot network, as it is built, stored in a bundle and trained."""

    name: str = "few-shot-256"
    """Preset or run it comes from."""
    size: int = 256
    """Side of the square frames, pixels."""
    convention: Literal["centers", "edges"] = "edges"
    """Grid convention of the points."""
    points: PointsConfig = field(default_factory=PointsConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    max_sources: int = 32
    """Most sources that an embedding may be averaged over."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    license: str = "Apache-2.0"
    """Licence of the group's published code."""

    @property
    def start_brings(self) -> str:
        """What training cannot do without, and another run's checkpoint brings; empty where it needs none."""
        if self.network.is_personal:
            return "meta-learned networks to fine-tune: give the checkpoint of a few-shot run"
        if self.points.kind == "keypoints":
            return "keypoints that mean anything: give the checkpoint of a first-order run with as many"
        return ""


_SMALL = NetworkConfig(widths=(16, 32, 64, 128, 128), painter=(16, 32, 64), residual_blocks=2)
_LEARNED = PointsConfig(kind="keypoints", count=5)
_QUICK = LossWeights(perceptual=0.15, pixel=10.0)


def few_shot_256() -> FewShotConfig:
    """Meta-learning; what comes out is meant to be fine-tuned."""
    return FewShotConfig()


def few_shot_ff_256() -> FewShotConfig:
    """Feed-forward: twice as long, without the match term, used without fine-tuning."""
    return FewShotConfig(name="few-shot-ff-256", training=TrainingConfig(epochs=150, weights=LossWeights(match=0.0)))


def few_shot_paper_256() -> FewShotConfig:
    """Meta-learning with the self-attention that the paper has, and the group's later code has not.

    To fine-tune it, give `few-shot-tune-256` the same two settings.
    """
    return FewShotConfig(name="few-shot-paper-256", network=NetworkConfig(attention_down=3, attention_up=2))


def few_shot_tune_256() -> FewShotConfig:
    """Fine-tuning of a meta-learned run on one person's frames (`--start`)."""
    training = TrainingConfig(epochs=40, batch=1, sources=1, weights=LossWeights(match=0.0))
    return FewShotConfig(name="few-shot-tune-256", network=NetworkConfig(is_personal=True), training=training)


def few_shot_64() -> FewShotConfig:
    """Small network on learned keypoints, for 64×64 sets; ours, starts from a `shapes-64` checkpoint."""
    training = TrainingConfig(
        epochs=8,
        milestones=(6,),
        sources=2,
        learning_rate=5e-4,
        learning_rate_discriminator=5e-4,
        weights=_QUICK,
        augmentation=AugmentationConfig(),
    )
    return FewShotConfig(
        name="few-shot-64", size=64, convention="centers", points=_LEARNED, network=_SMALL, training=training
    )


PRESETS = {
    preset().name: preset
    for preset in (few_shot_256, few_shot_paper_256, few_shot_ff_256, few_shot_tune_256, few_shot_64)
}
"""Preset functions by name."""
