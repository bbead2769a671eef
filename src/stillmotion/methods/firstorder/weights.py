"""Building the networks from a config, and where tensors come from."""

from __future__ import annotations

from dataclasses import asdict

from torch import nn

from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.methods.firstorder.network import DenseMotion, Discriminator, Generator, KeypointDetector


def build(config: FirstOrderConfig) -> dict[str, nn.Module]:
    """Untrained networks by their published names: `generator`, `kp_detector`, `discriminator`."""
    shared = {"convention": config.convention, "pool_first": config.pool_first}
    detector = KeypointDetector(**asdict(config.keypoints), **shared, downsample=config.downsample)
    motion = DenseMotion(
        count=config.keypoints.count,
        **asdict(config.motion),
        **shared,
        occlusion=config.generator.occlusion,
        downsample=config.downsample,
        padding=config.padding,
    )
    shape = asdict(config.generator)
    del shape["occlusion"]
    generator = Generator(motion, **shape, **shared, padding=config.padding)
    judge = asdict(config.discriminator)
    discriminator = Discriminator(
        scales=judge["scales"],
        expansion=judge["expansion"],
        max_features=judge["max_features"],
        blocks=judge["blocks"],
        spectral_norm=judge["spectral_norm"],
        keypoints=config.keypoints.count if judge["use_keypoints"] else 0,
        convention=config.convention,
    )
    return {"generator": generator, "kp_detector": detector, "discriminator": discriminator}
