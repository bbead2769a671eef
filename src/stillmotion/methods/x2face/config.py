"""Every choice of X2Face, and its presets.

Source: Wiles, Koepke, Zisserman, "X2Face: A network for controlling face generation using images,
audio, and pose codes", ECCV 2018, and the released code and training script.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from stillmotion.core.recipe import AugmentationConfig, Schedule


@dataclass(frozen=True)
class EmbeddingConfig:
    """The embedding network, a U-Net that unwraps a source."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512, 512)
    """Planes after each halving, outermost first."""
    fusion: Literal["confidence", "mean"] = "confidence"
    """How several unwrapped sources become one face: by a learned confidence per pixel (as released), or averaged
    (as in the paper)."""


@dataclass(frozen=True)
class DrivingConfig:
    """The driving network, an encoder and decoder without skips."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512, 128)
    """Planes after each halving, outermost first; the last is the length of the driving vector."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of every term; a term of weight zero is not computed."""

    pixel: float = 1.0
    """Mean absolute difference from the driving frame."""
    content: float = 0.0
    """All levels of the feature network, generated frame against driving frame (same clip)."""
    identity: float = 0.0
    """Its deepest levels, the source driven by another clip's frame against the source itself."""


@dataclass(frozen=True)
class TrainingConfig(Schedule):
    """The schedule of the released script."""

    epochs: int = 3000
    """Passes over the (repeated) data."""
    checkpoint_epochs: int = 1
    """Epochs between checkpoints."""
    sources: int = 1
    """Most source frames per sample; how many are used is drawn anew at every step."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum 0.9, as released, or Adam with betas (0.5, 0.999)."""
    learning_rate: float = 1e-3
    """Of both networks."""
    deep_levels: int = 2
    """How many of the feature network's last levels the identity term compares."""
    weights: LossWeights = field(default_factory=LossWeights)
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(horizontal_flip=False, time_flip=False)
    )


@dataclass(frozen=True)
class X2FaceConfig:
    """One X2Face, as it is built, stored in a bundle and trained."""

    name: str = "x2face-256"
    """Preset or run it comes from."""
    size: int = 256
    """Side of the square frames, pixels; 2 to the power of the number of halvings."""
    convention: Literal["centers", "edges"] = "centers"
    """Grid convention the weights were trained with."""
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    driving: DrivingConfig = field(default_factory=DrivingConfig)
    max_sources: int = 8
    """Most sources that may be unwrapped into one face."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    license: str = "MIT"
    """Licence of the architecture's published code."""

    @property
    def start_brings(self) -> str:
        """What training cannot do without, and another run's checkpoint brings; empty where it needs none."""
        weights = self.training.weights
        return "networks of stage I: give their checkpoint" if weights.content or weights.identity else ""


def x2face_256() -> X2FaceConfig:
    """The released architecture and script: stage I, pixels alone."""
    return X2FaceConfig()


def x2face_paper_256() -> X2FaceConfig:
    """As the paper has it: unwrapped sources are averaged."""
    return X2FaceConfig(name="x2face-paper-256", embedding=EmbeddingConfig(fusion="mean"))


def x2face_identity_256() -> X2FaceConfig:
    """Stage II, from a stage I checkpoint: needs a feature network (`--features`).

    The paper's script for it was never released; the weights of the terms are ours.
    """
    training = TrainingConfig(
        sources=3, learning_rate=1e-4, weights=LossWeights(content=0.05, identity=0.05), checkpoint_epochs=1
    )
    return X2FaceConfig(name="x2face-identity-256", training=training)


def x2face_64() -> X2FaceConfig:
    """Small network for 64×64 sets; ours, minutes on a processor."""
    plain = X2FaceConfig()
    return replace(
        plain,
        name="x2face-64",
        size=64,
        embedding=EmbeddingConfig(widths=(16, 32, 64, 128, 128, 128)),
        driving=DrivingConfig(widths=(16, 32, 64, 128, 128, 64)),
        training=TrainingConfig(
            epochs=8,
            milestones=(6,),
            optimizer="adam",
            learning_rate=1e-3,
            augmentation=AugmentationConfig(),
        ),
    )


PRESETS = {preset().name: preset for preset in (x2face_256, x2face_paper_256, x2face_identity_256, x2face_64)}
"""Preset functions by name."""
