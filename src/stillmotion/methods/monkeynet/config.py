"""Every choice of Monkey-Net, and the published presets.

Source: Siarohin et al., "Animating Arbitrary Objects via Deep Motion Transfer", CVPR 2019, and its
published configurations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stillmotion.core.recipe import AugmentationConfig, Schedule


@dataclass(frozen=True)
class KeypointConfig:
    """The keypoint detector."""

    count: int = 10
    """Number of keypoints."""
    temperature: float = 0.1
    """Divides the logits before the softmax over pixels."""
    expansion: int = 32
    """Width multiplier of the hourglass."""
    max_features: int = 1024
    """Cap on the width."""
    blocks: int = 5
    """Depth of the hourglass."""
    scale: float = 1.0
    """Size factor of the picture it sees, every n-th pixel."""
    smallest_deviation: float | None = 0.001
    """Floor of a covariance's smaller eigenvalue, in squared normalised units; None leaves it."""


@dataclass(frozen=True)
class DenseMotionConfig:
    """The dense motion network."""

    expansion: int = 32
    """Width multiplier of the hourglass."""
    max_features: int = 1024
    """Cap on the width."""
    blocks: int = 5
    """Depth of the hourglass."""
    scale: float = 1.0
    """Size factor of the source it sees, every n-th pixel, and so of the flow."""
    group_blocks: int = 2
    """Blocks of 1×1 convolutions on each slot alone, before the hourglass."""
    norm: float = 100.0
    """Divides the Gaussians; 0 divides each by its sum."""
    use_difference: bool = False
    """Show it the displacement of every keypoint beside its Gaussian and its shifted source."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The generator: warped skip connections, decoder, refinement."""

    expansion: int = 32
    """Width multiplier."""
    max_features: int = 1024
    """Cap on the width."""
    blocks: int = 5
    """Halvings."""
    refinement_blocks: int = 4
    """Residual blocks after the decoder."""
    norm: float = 100.0
    """Divides the Gaussians that every level is shown; 0 divides each by its sum."""
    scale: float = 1.0
    """Size factor of the map on which these Gaussians are drawn."""
    interpolation: Literal["nearest", "bilinear"] = "nearest"
    """How flow and Gaussians are resized to a level."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The patch discriminator, shown the driving keypoints."""

    expansion: int = 32
    """Width multiplier."""
    max_features: int = 256
    """Cap on the width."""
    blocks: int = 4
    """Depth."""
    norm: float = 100.0
    """Divides the Gaussians it is shown; 0 divides each by its sum."""


@dataclass(frozen=True)
class PredictionConfig:
    """The recurrent network that continues the motion of a still image."""

    enabled: bool = False
    """Whether the bundle holds it."""
    features: int = 1024
    """Hidden units."""
    frames: int = 32
    """Length of a predicted clip, the first frame included."""
    predict_covariance: bool = False
    """Use the predicted covariances; otherwise the first frame's are kept."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of every term; a term of weight zero is not computed."""

    reconstruction: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0, 1.0)
    """Mean absolute difference of the picture itself, then of each discriminator block's map."""
    deformed: float = 0.0
    """Mean absolute difference of the warped source."""
    generator_gan: float = 1.0
    """Least-squares adversarial term of the generator."""
    discriminator_gan: float = 1.0
    """Least-squares term of the discriminator."""


@dataclass(frozen=True)
class TrainingConfig(Schedule):
    """The published schedule."""

    stage: Literal["animation", "prediction"] = "animation"
    """What learns: all but the recurrent network, or only that, on the keypoints of finished weights."""
    learning_rate: float = 2e-4
    """Of all three Adams, betas (0.5, 0.999)."""
    learning_rate_prediction: float = 1e-3
    """Of the recurrent network's Adam."""
    weights: LossWeights = field(default_factory=LossWeights)


@dataclass(frozen=True)
class MonkeyNetConfig:
    """One Monkey-Net, as it is built, stored in a bundle and trained."""

    name: str = "monkey-vox-256"
    """Preset or run it comes from."""
    size: int = 256
    """Side of the square frames, pixels."""
    convention: Literal["centers", "edges"] = "centers"
    """Grid convention the weights were trained with."""
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    license: str = "none given for the published code; this is written from the paper"
    """Licence of the architecture's published code."""

    @property
    def start_brings(self) -> str:
        """What training cannot do without, and another run's checkpoint brings; empty where it needs none."""
        is_predicting = self.training.stage == "prediction"
        return "keypoints whose motion could be learned: give the checkpoint of a finished run" if is_predicting else ""


def _preset(
    name: str,
    *,
    size: int = 64,
    widest: int = 1024,
    norm: float = 100.0,
    blocks: int = 5,
    scale: float = 1.0,
    levels: float | None = None,
    difference: bool = False,
    interpolation: Literal["nearest", "bilinear"] = "nearest",
    training: TrainingConfig,
) -> MonkeyNetConfig:
    """What the published configurations with ten keypoints share."""
    return MonkeyNetConfig(
        name=name,
        size=size,
        keypoints=KeypointConfig(max_features=widest, scale=scale),
        motion=DenseMotionConfig(max_features=widest, scale=scale, norm=norm, use_difference=difference),
        generator=GeneratorConfig(
            max_features=widest,
            blocks=blocks,
            norm=norm,
            scale=scale if levels is None else levels,
            interpolation=interpolation,
        ),
        discriminator=DiscriminatorConfig(norm=norm),
        training=training,
    )


def monkey_shapes_64() -> MonkeyNetConfig:
    """The published toy shapes."""
    return MonkeyNetConfig(
        name="monkey-shapes-64",
        size=64,
        keypoints=KeypointConfig(count=4, expansion=16, max_features=128, smallest_deviation=None),
        motion=DenseMotionConfig(expansion=16, max_features=128, group_blocks=0, norm=10.0),
        generator=GeneratorConfig(expansion=16, max_features=128, norm=10.0),
        discriminator=DiscriminatorConfig(norm=10.0),
        prediction=PredictionConfig(predict_covariance=True),
        training=TrainingConfig(epochs=8, milestones=(4,), batch=16, checkpoint_epochs=10),
    )


def monkey_actions_64() -> MonkeyNetConfig:
    """People in action; the published ±10° rotation of the pictures is left out."""
    augmentation = AugmentationConfig(hue=0.5, resize=(0.9, 1.1))
    training = TrainingConfig(
        epochs=4500, milestones=(3000,), batch=32, checkpoint_epochs=500, augmentation=augmentation
    )
    return _preset("monkey-actions-64", widest=512, training=training)


def monkey_nemo_64() -> MonkeyNetConfig:
    """UvA-Nemo smiles."""
    training = TrainingConfig(epochs=750, milestones=(500,), batch=32, checkpoint_epochs=250)
    return _preset("monkey-nemo-64", widest=512, training=training)


def monkey_taichi_64() -> MonkeyNetConfig:
    """Tai-Chi bodies."""
    training = TrainingConfig(epochs=750, milestones=(500,), batch=32, checkpoint_epochs=100)
    return _preset("monkey-taichi-64", training=training)


def monkey_bair_64() -> MonkeyNetConfig:
    """The BAIR robot arm."""
    training = TrainingConfig(
        epochs=15,
        milestones=(10,),
        batch=32,
        checkpoint_epochs=10,
        weights=LossWeights(deformed=10.0),
        augmentation=AugmentationConfig(time_flip=False),
    )
    return _preset("monkey-bair-64", widest=512, norm=0.0, training=training)


def monkey_mgif_128() -> MonkeyNetConfig:
    """Cartoon animals in motion."""
    augmentation = AugmentationConfig(hue=0.5, resize=(0.9, 1.1))
    training = TrainingConfig(epochs=750, milestones=(500,), batch=64, checkpoint_epochs=100, augmentation=augmentation)
    return _preset("monkey-mgif-128", size=128, blocks=6, scale=0.5, difference=True, training=training)


def monkey_vox_256() -> MonkeyNetConfig:
    """Talking heads, motion at a quarter of the size."""
    training = TrainingConfig(epochs=20, milestones=(), batch=20, checkpoint_epochs=5)
    return _preset("monkey-vox-256", size=256, blocks=7, scale=0.25, interpolation="bilinear", training=training)


def monkey_vox_full_256() -> MonkeyNetConfig:
    """Talking heads, motion at full size."""
    training = TrainingConfig(epochs=20, milestones=(), batch=20, checkpoint_epochs=5)
    return _preset("monkey-vox-full-256", size=256, blocks=7, levels=0.25, interpolation="bilinear", training=training)


PRESETS = {
    preset().name: preset
    for preset in (
        monkey_shapes_64,
        monkey_actions_64,
        monkey_nemo_64,
        monkey_taichi_64,
        monkey_bair_64,
        monkey_mgif_128,
        monkey_vox_256,
        monkey_vox_full_256,
    )
}
"""Preset functions by name."""
