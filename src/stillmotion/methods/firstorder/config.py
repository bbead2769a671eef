"""Every choice of the first-order method, and the published presets.

Source: Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019, and its
published configurations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from stillmotion.core.recipe import AugmentationConfig, Schedule


@dataclass(frozen=True)
class KeypointConfig:
    """The keypoint detector."""

    count: int = 10
    """Number of keypoints."""
    jacobian: bool = True
    """Regress a local affine map per keypoint (first order); False is the zero-order variant."""
    single_jacobian_map: bool = False
    """One Jacobian map shared by all keypoints, weighted by each heatmap."""
    temperature: float = 0.1
    """Divides the logits before the softmax over pixels."""
    expansion: int = 32
    """Width multiplier of the hourglass."""
    max_features: int = 1024
    """Cap on the width."""
    blocks: int = 5
    """Depth of the hourglass."""
    scale: float = 0.25
    """Size factor of the picture it sees."""
    head_kernel: int = 7
    """Kernel of the heatmap and Jacobian heads, pixels."""
    head_padding: int = 0
    """Zero padding of the heads, pixels; 0 keeps only valid positions, stretched to [-1, 1]."""


@dataclass(frozen=True)
class DenseMotionConfig:
    """The dense motion network."""

    expansion: int = 64
    """Width multiplier of the hourglass."""
    max_features: int = 1024
    """Cap on the width."""
    blocks: int = 5
    """Depth of the hourglass."""
    scale: float = 0.25
    """Size factor of the source it sees, and so of the flow."""
    variance: float = 0.01
    """Variance of the keypoint Gaussians, in squared normalised units."""
    head_kernel: int = 7
    """Kernel of the mask and occlusion heads, pixels."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The generator that warps and inpaints."""

    expansion: int = 64
    """Width of the first convolution."""
    max_features: int = 512
    """Cap on the width."""
    down_blocks: int = 2
    """Halvings before the warp."""
    bottleneck_blocks: int = 6
    """Residual blocks after the warp."""
    occlusion: bool = True
    """Predict an occlusion map and multiply the warped features by it."""
    outer_kernel: int = 7
    """Kernel of the first and last convolution, pixels."""
    composite: bool = False
    """Blend the warped full-size source back in: frame = m·warp(source) + (1 − m)·generated.
    Our departure from the paper; off in every published preset."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The multi-scale patch discriminator."""

    scales: tuple[float, ...] = (1.0,)
    """Pyramid levels that are judged."""
    expansion: int = 32
    """Width multiplier."""
    max_features: int = 512
    """Cap on the width."""
    blocks: int = 4
    """Depth."""
    spectral_norm: bool = False
    """Spectral normalisation of every convolution."""
    use_keypoints: bool = False
    """Show it the driving keypoints' Gaussians beside the picture."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of every term; a term of weight zero is not computed."""

    generator_gan: float = 0.0
    """Least-squares adversarial term of the generator."""
    discriminator_gan: float = 1.0
    """Least-squares term of the discriminator."""
    feature_matching: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0)
    """Per discriminator block; active only with `generator_gan`, as published."""
    perceptual: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0, 10.0)
    """Per level of the feature network, at every scale of the pyramid."""
    equivariance_value: float = 10.0
    """Keypoints move with a known warp."""
    equivariance_jacobian: float = 10.0
    """Jacobians compose with a known warp's."""
    pixel: float = 0.0
    """Mean absolute pixel difference, ours; for the small networks without a large feature network."""


@dataclass(frozen=True)
class TransformConfig:
    """The random thin-plate spline of the equivariance terms."""

    sigma_affine: float = 0.05
    """Standard deviation of the affine entries, normalised units."""
    sigma_tps: float = 0.005
    """Standard deviation of the control parameters."""
    points_tps: int = 5
    """Control points per side."""


@dataclass(frozen=True)
class TrainingConfig(Schedule):
    """The published schedule."""

    milestones: tuple[int, ...] = (60, 90)
    """Epochs after which the learning rates fall by ten."""
    batch: int = 40
    """Pairs per step, over all processes."""
    learning_rate_generator: float = 2e-4
    """Adam, betas (0.5, 0.999)."""
    learning_rate_discriminator: float = 2e-4
    """Adam, betas (0.5, 0.999)."""
    learning_rate_keypoints: float = 2e-4
    """Adam, betas (0.5, 0.999); 0 freezes the keypoint detector."""
    scales: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)
    """Image pyramid of the perceptual term."""
    weights: LossWeights = field(default_factory=LossWeights)
    transform: TransformConfig = field(default_factory=TransformConfig)


@dataclass(frozen=True)
class FirstOrderConfig:
    """One first-order network, as it is built, stored in a bundle and trained."""

    name: str = "vox-256"
    """Preset or run it comes from."""
    size: int = 256
    """Side of the square frames, pixels."""
    convention: Literal["centers", "edges"] = "centers"
    """Grid convention the weights were trained with."""
    downsample: Literal["gaussian", "area"] = "gaussian"
    """How pictures are shrunk for the motion networks: the published anti-aliasing, or block means."""
    pool_first: bool = False
    """Pool before the convolution in every down block (compact networks)."""
    padding: Literal["zeros", "border"] = "zeros"
    """What warping reads outside the source."""
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    license: str = "MIT"
    """Licence of the architecture's published code."""

    @property
    def start_brings(self) -> str:
        """What training cannot do without, and another run's checkpoint brings; empty where it needs none."""
        is_frozen = not self.training.learning_rate_keypoints
        return "keypoints, which this stage leaves as they are: give the first stage's checkpoint" if is_frozen else ""


_JITTER = AugmentationConfig(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)


def vox_256() -> FirstOrderConfig:
    """Talking heads, no adversarial term (first stage of the published recipe)."""
    return FirstOrderConfig(
        name="vox-256",
        discriminator=DiscriminatorConfig(spectral_norm=True),
        training=TrainingConfig(repeats=75, batch=40, id_sampling=True, augmentation=_JITTER),
    )


def vox_adv_256() -> FirstOrderConfig:
    """Talking heads, adversarial fine-tuning of `vox-256` to epoch 150."""
    training = TrainingConfig(
        epochs=150,
        repeats=75,
        milestones=(),
        batch=36,
        id_sampling=True,
        weights=LossWeights(generator_gan=1.0),
        augmentation=_JITTER,
    )
    return FirstOrderConfig(
        name="vox-adv-256", discriminator=DiscriminatorConfig(use_keypoints=True), training=training
    )


def taichi_256() -> FirstOrderConfig:
    """Tai-Chi-HD bodies, no adversarial term."""
    return FirstOrderConfig(
        name="taichi-256",
        training=TrainingConfig(repeats=150, batch=30, id_sampling=True, augmentation=_JITTER),
    )


def taichi_adv_256() -> FirstOrderConfig:
    """Tai-Chi-HD bodies, adversarial fine-tuning with frozen keypoints to epoch 150."""
    training = TrainingConfig(
        epochs=150,
        repeats=150,
        milestones=(),
        learning_rate_keypoints=0.0,
        batch=27,
        id_sampling=True,
        weights=LossWeights(generator_gan=1.0),
        augmentation=_JITTER,
    )
    return FirstOrderConfig(
        name="taichi-adv-256", discriminator=DiscriminatorConfig(use_keypoints=True), training=training
    )


def fashion_256() -> FirstOrderConfig:
    """Fashion videos."""
    training = TrainingConfig(
        repeats=50, batch=27, weights=LossWeights(generator_gan=1.0), augmentation=AugmentationConfig(hue=0.1)
    )
    return FirstOrderConfig(name="fashion-256", training=training)


def mgif_256() -> FirstOrderConfig:
    """Cartoon animals in motion; one Jacobian map for all keypoints."""
    training = TrainingConfig(
        repeats=25,
        batch=36,
        checkpoint_epochs=100,
        weights=LossWeights(generator_gan=1.0),
        augmentation=AugmentationConfig(hue=0.5, resize=(0.9, 1.1)),
    )
    return FirstOrderConfig(
        name="mgif-256",
        keypoints=KeypointConfig(single_jacobian_map=True),
        discriminator=DiscriminatorConfig(spectral_norm=True),
        training=training,
    )


def bair_256() -> FirstOrderConfig:
    """The BAIR robot arm."""
    training = TrainingConfig(
        epochs=20,
        repeats=1,
        milestones=(12, 18),
        batch=36,
        checkpoint_epochs=10,
        weights=LossWeights(generator_gan=1.0),
        augmentation=_JITTER,
    )
    return FirstOrderConfig(name="bair-256", discriminator=DiscriminatorConfig(spectral_norm=True), training=training)


def nemo_256() -> FirstOrderConfig:
    """UvA-Nemo smiles."""
    training = TrainingConfig(repeats=8, batch=36, weights=LossWeights(generator_gan=1.0))
    return FirstOrderConfig(name="nemo-256", discriminator=DiscriminatorConfig(spectral_norm=True), training=training)


def shapes_64() -> FirstOrderConfig:
    """Small network for 64×64 sets such as the published `shapes`; ours, minutes on a CPU.

    The weights of the perceptual term suit SqueezeNet's features, which are larger than VGG-19's.
    """
    return FirstOrderConfig(
        name="shapes-64",
        size=64,
        keypoints=KeypointConfig(count=5, expansion=16, max_features=128, blocks=3, scale=0.5),
        motion=DenseMotionConfig(expansion=16, max_features=128, blocks=3, scale=0.5),
        generator=GeneratorConfig(expansion=16, max_features=64, down_blocks=1, bottleneck_blocks=2),
        discriminator=DiscriminatorConfig(expansion=16, max_features=128, blocks=3),
        training=TrainingConfig(
            epochs=8,
            milestones=(5, 7),
            learning_rate_generator=1e-3,
            learning_rate_keypoints=1e-3,
            batch=16,
            scales=(1.0, 0.5),
            checkpoint_epochs=1,
            weights=LossWeights(feature_matching=(10.0,) * 3, perceptual=(1.0,) * 5, pixel=50.0),
        ),
    )


def compact_256() -> FirstOrderConfig:
    """Compositing network small enough for 25 frames a second on two cores; ours."""
    return FirstOrderConfig(
        name="compact-256",
        convention="edges",
        downsample="area",
        pool_first=True,
        padding="border",
        keypoints=KeypointConfig(count=16, expansion=8, max_features=96, blocks=4, head_kernel=3, head_padding=1),
        motion=DenseMotionConfig(expansion=16, max_features=128, blocks=4, head_kernel=3),
        generator=GeneratorConfig(expansion=16, max_features=64, bottleneck_blocks=3, outer_kernel=3, composite=True),
        discriminator=DiscriminatorConfig(expansion=16, max_features=128),
        training=TrainingConfig(
            batch=16,
            scales=(1.0, 0.5, 0.25),
            weights=LossWeights(pixel=10.0),
            augmentation=replace(_JITTER, brightness=0.2, contrast=0.2, saturation=0.3, hue=0.05),
        ),
    )


PRESETS = {
    preset().name: preset
    for preset in (
        vox_256,
        vox_adv_256,
        taichi_256,
        taichi_adv_256,
        fashion_256,
        mgif_256,
        bair_256,
        nemo_256,
        shapes_64,
        compact_256,
    )
}
"""Preset functions by name."""
