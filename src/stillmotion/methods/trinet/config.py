"""Every choice of the three-network generator, and its presets.

Source: a two-page text (Tomsk, source text 002 of this project's requirements) that fixes three networks and
what each is for. Layers, sizes, losses and schedule are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stillmotion.core.recipe import AugmentationConfig, Schedule


@dataclass(frozen=True)
class NetworkConfig:
    """The three networks."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    """Planes of all three after each halving."""
    identity: int = 512
    """Length of the identity vector."""
    driving: int = 128
    """Length of the driving vector: narrow, so that no identity passes with it."""
    common: int = 512
    """Length of the vector in the space that both share."""
    prototypes: int = 256
    """Learned vectors of the common space, of which the most suitable are picked softly; 0 picks none."""
    distance: int = 128
    """Length of the unit vectors whose distances the third network learns."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of every term; a term of weight zero is not computed."""

    identity: float = 1.0
    """Distance of source and generated face, in what the third network calls identity."""
    driving: float = 1.0
    """Distance of driving and generated face, in what it calls driving."""
    realism: float = 0.5
    """Hinge term of its score."""
    pixel: float = 10.0
    """Mean absolute pixel difference, for pairs of one clip."""
    perceptual: float = 1.0
    """Mean absolute difference of each level of the feature network, where there is one."""


@dataclass(frozen=True)
class TrainingConfig(Schedule):
    """The schedule."""

    routing: Literal["joint", "strict"] = "joint"
    """`strict` lets the identity distance teach the identity network alone, and all else the generator alone, as the
    text says; `joint` lets everything teach both."""
    warm_up: int = 5000
    """First steps, in which pixels alone teach both networks."""
    margin: float = 1.0
    """How far apart the third network pushes what differs, in squared units of 0 to 4."""
    learning_rate: float = 1e-4
    """Adam of identity network and generator, betas (0, 0.99)."""
    learning_rate_discriminator: float = 2e-4
    """Adam of the third network, betas (0, 0.99)."""
    weights: LossWeights = field(default_factory=LossWeights)
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(horizontal_flip=True, time_flip=True)
    )


@dataclass(frozen=True)
class TriNetConfig:
    """One three-network generator, as it is built, stored in a bundle and trained."""

    name: str = "trinet-256"
    """Preset or run it comes from."""
    size: int = 256
    """Side of the square frames, pixels; 4 times 2 to the power of the number of halvings."""
    convention: Literal["centers", "edges"] = "edges"
    """Grid convention; this method has no coordinates."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    max_sources: int = 8
    """Most sources whose identity vectors are averaged."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    license: str = "ours"
    """There is no published code."""


def trinet_256() -> TriNetConfig:
    """Talking heads."""
    return TriNetConfig()


def trinet_strict_256() -> TriNetConfig:
    """Talking heads, gradients routed to the letter of the text."""
    return TriNetConfig(name="trinet-strict-256", training=TrainingConfig(routing="strict"))


def trinet_64() -> TriNetConfig:
    """Small network for 64×64 sets; minutes on a processor."""
    network = NetworkConfig(widths=(16, 32, 64, 128), identity=64, driving=32, common=128, prototypes=32, distance=32)
    training = TrainingConfig(
        epochs=8,
        milestones=(6,),
        warm_up=300,
        learning_rate=5e-4,
        learning_rate_discriminator=5e-4,
        augmentation=AugmentationConfig(),
    )
    return TriNetConfig(name="trinet-64", size=64, network=network, training=training)


PRESETS = {preset().name: preset for preset in (trinet_256, trinet_strict_256, trinet_64)}
"""Preset functions by name."""
