"""Every method in its smallest size, with random weights that do something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stillmotion import methods
from stillmotion.core.recipe import AugmentationConfig
from stillmotion.methods.fewshot import config as few
from stillmotion.methods.firstorder.config import LossWeights
from stillmotion.methods.monkeynet import config as monkey
from stillmotion.methods.trinet import config as tri
from stillmotion.methods.x2face import config as face
from tests.conftest import compact_config, tiny_config

SIDE = 32
PLAIN: dict[str, Any] = {"batch": 2, "epochs": 2, "checkpoint_epochs": 100, "augmentation": AugmentationConfig(hue=0.1)}


def first_order() -> Any:
    """Adversarial, so that every network learns."""
    config = tiny_config()
    weights = LossWeights(generator_gan=1.0, feature_matching=(10.0, 10.0), perceptual=(), pixel=10.0)
    return replace(config, training=replace(config.training, **PLAIN, scales=(1.0,), weights=weights))


def monkey_net(*, enabled: bool = False, **changes: Any) -> monkey.MonkeyNetConfig:
    shape: dict[str, Any] = {"expansion": 4, "max_features": 16, "blocks": 2}
    weights = monkey.LossWeights(reconstruction=(10.0, 10.0, 10.0))
    settings: dict[str, Any] = {
        "name": "tiny-monkey",
        "size": SIDE,
        "keypoints": monkey.KeypointConfig(count=3, **shape),
        "motion": monkey.DenseMotionConfig(group_blocks=1, use_difference=True, norm=0.0, **shape),
        "generator": monkey.GeneratorConfig(refinement_blocks=1, norm=10.0, **shape),
        "discriminator": monkey.DiscriminatorConfig(expansion=4, max_features=8, blocks=2, norm=10.0),
        "prediction": monkey.PredictionConfig(enabled=enabled, features=8, frames=4),
        "training": monkey.TrainingConfig(weights=weights, **PLAIN),
    }
    return monkey.MonkeyNetConfig(**(settings | changes))


def monkey_net_predicting() -> monkey.MonkeyNetConfig:
    """The other half of the options: the predictor, motion at half size, resized between pixels."""
    plain = monkey_net(enabled=True)
    return replace(
        plain,
        name="tiny-monkey-predicting",
        keypoints=replace(plain.keypoints, scale=0.5, smallest_deviation=None),
        motion=replace(plain.motion, scale=0.5, use_difference=False, group_blocks=0, norm=10.0),
        generator=replace(plain.generator, interpolation="bilinear", scale=0.5, norm=0.0),
    )


def x2face() -> face.X2FaceConfig:
    """Two sources, learned confidence."""
    return face.X2FaceConfig(
        name="tiny-x2face",
        size=SIDE,
        embedding=face.EmbeddingConfig(widths=(8, 8, 16, 16, 16)),
        driving=face.DrivingConfig(widths=(8, 8, 16, 16, 6)),
        max_sources=3,
        training=face.TrainingConfig(sources=2, **PLAIN),
    )


def x2face_mean() -> face.X2FaceConfig:
    """The other half of the options: averaged faces, Adam."""
    plain = x2face()
    embedding = replace(plain.embedding, fusion="mean")
    return replace(
        plain, name="tiny-x2face-mean", embedding=embedding, training=replace(plain.training, optimizer="adam")
    )


def few_shot(**network: Any) -> few.FewShotConfig:
    """On learned keypoints, with self-attention."""
    shape: dict[str, Any] = {"widths": (4, 8, 8), "painter": (4, 8), "residual_blocks": 1}
    shape |= {"attention_down": 2, "attention_up": 1}
    return few.FewShotConfig(
        name="tiny-few-shot",
        size=SIDE,
        convention="centers",
        points=few.PointsConfig(kind="keypoints", count=4, expansion=8, max_features=16, blocks=2, scale=0.5),
        network=few.NetworkConfig(**(shape | network)),
        max_sources=3,
        training=few.TrainingConfig(sources=2, weights=few.LossWeights(pixel=10.0), **PLAIN),
    )


def trinet(**training: Any) -> tri.TriNetConfig:
    """Everything teaches both makers."""
    network = tri.NetworkConfig(widths=(4, 8, 8), identity=6, driving=5, common=8, prototypes=3, distance=4)
    settings: dict[str, Any] = {"warm_up": 1} | PLAIN | training
    return tri.TriNetConfig(
        name="tiny-trinet", size=SIDE, network=network, max_sources=3, training=tri.TrainingConfig(**settings)
    )


def trinet_strict() -> tri.TriNetConfig:
    """The other half of the options: gradients to the letter, no prototypes."""
    plain = trinet(routing="strict")
    return replace(plain, name="tiny-trinet-strict", network=replace(plain.network, prototypes=0))


TINY: dict[str, tuple[Any, ...]] = {
    "few-shot": (few_shot(),),
    "first-order": (first_order(), replace(compact_config(), training=first_order().training)),
    "monkey-net": (monkey_net(), monkey_net_predicting()),
    "trinet": (trinet(), trinet_strict()),
    "x2face": (x2face(), x2face_mean()),
}
"""Configs by method: at least one, together covering its options."""


def make_networks(config: Any, *, seed: int = 0) -> dict[str, Any]:
    """Untrained networks in evaluation mode, no tensor of theirs all zero or all alike."""
    import torch

    weights = methods.method_weights(methods.of_config(config))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = weights.build(config)
        for network in networks.values():
            for name, tensor in network.state_dict().items():
                if name.endswith("running_mean"):
                    tensor.normal_(0, 0.1)
                elif name.endswith("running_var"):
                    tensor.uniform_(0.6, 1.4)
                elif name.endswith(("jacobian.weight", "head.weight", "kp.weight")):
                    tensor.normal_(0, 0.1)
                elif name.endswith("attention.gain"):
                    tensor.fill_(0.7)
                elif name == "final.weight":
                    tensor.mul_(4)
    return {name: network.eval() for name, network in networks.items()}


def make_bundle(folder: Path, config: Any) -> Path:
    """Bundle of random weights, tensors and stages."""
    weights = methods.method_weights(methods.of_config(config))
    path: Path = weights.save_bundle(make_networks(config), config, folder / config.name, licence="none")
    return path
