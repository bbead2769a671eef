"""Building Monkey-Net from a config, the published names of its tensors, and its stages."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillmotion.methods import resolve_config
from stillmotion.methods.kit import Kit, Names, Networks, check_halved
from stillmotion.methods.monkeynet.config import MonkeyNetConfig
from stillmotion.methods.monkeynet.method import NAME
from stillmotion.methods.monkeynet.network import DenseMotion, Discriminator, Generator, KeypointDetector, Predictor
from stillmotion.nn.checkpoint import load_strictly, read_checkpoint
from stillmotion.runtime.bundle import CropContract

PUBLISHED = (
    (r"^predictor\.decoder\.conv\.", "head."),
    (r"^dense_motion_module\.hourglass\.decoder\.conv\.", "dense_motion_module.head."),
    (r"^video_decoder\.", ""),
    (r"^refinement_module\.conv-last\.", "final."),
    (r"^refinement_module\.", "refinement."),
)
"""Published names of tensors, and ours; all others are the same."""


def build(config: MonkeyNetConfig) -> Networks:
    """Untrained networks: `generator`, `kp_detector`, `discriminator`, and `predictor` if it is enabled.

    Raises:
        ConfigError: Frames of this size do not fit the networks.
    """
    check_halved(config.size, config.keypoints.blocks, what="keypoint detector", scale=config.keypoints.scale)
    check_halved(config.size, config.motion.blocks, what="dense motion network", scale=config.motion.scale)
    check_halved(config.size, config.generator.blocks, what="generator")
    count, convention = config.keypoints.count, config.convention
    motion = DenseMotion(count=count, **asdict(config.motion), convention=convention)
    networks: Networks = {
        "generator": Generator(motion, count=count, **asdict(config.generator), convention=convention),
        "kp_detector": KeypointDetector(**asdict(config.keypoints), convention=convention),
        "discriminator": Discriminator(count=count, **asdict(config.discriminator), convention=convention),
    }
    if config.prediction.enabled:
        networks["predictor"] = Predictor(count=count, features=config.prediction.features)
    return networks


def fitted(config: MonkeyNetConfig, *, clips: int) -> MonkeyNetConfig:
    """The config for a training set of `clips` clips: the same, whatever their number."""
    return config


def translate(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under our names; the published convolutions are three-dimensional, one deep."""
    out = {}
    for key, tensor in state.items():
        for theirs, ours in PUBLISHED:
            key = re.sub(theirs, ours, key)
        out[key] = tensor.squeeze(2) if tensor.ndim == 5 else tensor
    return out


class EncodeStage(nn.Module):
    """`source (1, 3, h, w)` -> the encoder's levels, the picture itself left out."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.generator.encode(source)[1:])


class RenderStage(nn.Module):
    """One source (batch 1) performing n motions.

    Inputs in order: `source`, `level1`, …, `source_value`, `source_covariance`, `value (n, k, 2)`,
    `covariance (n, k, 2, 2)`. Outputs: `planes (n, 3, h, w)`, `flow (n, h', w', 2)`.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *arrays: Tensor) -> tuple[Tensor, Tensor]:
        *still, value, covariance = arrays
        *levels, rest, spread = (array.expand(len(value), *array.shape[1:]) for array in still)
        motion = self.generator.dense_motion_module(levels[0], rest, spread, value, covariance)
        terms = {"source_value": rest, "source_covariance": spread, "value": value, "covariance": covariance}
        return self.generator.decode(levels, motion["flow"], **terms)["prediction"], motion["flow"]


class PredictStage(nn.Module):
    """One frame of the predictor: `value`, `covariance`, `hidden` -> the next of each."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, value: Tensor, covariance: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.predictor.step(value, covariance, hidden)


def saved(config: MonkeyNetConfig) -> tuple[str, ...]:
    """Networks that a bundle holds."""
    return ("generator", "kp_detector", "predictor") if config.prediction.enabled else ("generator", "kp_detector")


def stage_names(config: MonkeyNetConfig) -> Names:
    """Input and output array names of every stage, in order."""
    levels = tuple(f"level{i + 1}" for i in range(config.generator.blocks))
    keypoints = ("value", "covariance")
    names: Names = {
        "encode": (("source",), levels),
        "read": (("image",), keypoints),
        "render": (("source", *levels, "source_value", "source_covariance", *keypoints), ("planes", "flow")),
    }
    if config.prediction.enabled:
        names["predict"] = ((*keypoints, "hidden"), ("next_value", "next_covariance", "next_hidden"))
    return names


def stages(networks: Networks, config: MonkeyNetConfig) -> Networks:
    """The stages as modules in evaluation mode, named as in `stage_names`."""
    generator, detector = networks["generator"], networks["kp_detector"]
    assert isinstance(generator, Generator)
    found: Networks = {"encode": EncodeStage(generator), "read": detector, "render": RenderStage(generator)}
    if config.prediction.enabled:
        predictor = networks["predictor"]
        assert isinstance(predictor, Predictor)
        found["predict"] = PredictStage(predictor)
    return {name: stage.eval() for name, stage in found.items()}


def examples(modules: Networks, config: MonkeyNetConfig) -> dict[str, Tensor]:
    """Arrays of the right shapes for every stage input, from a grey picture, batch 1."""
    picture = torch.full((1, 3, config.size, config.size), 0.5)
    found = {"source": picture, "image": picture, "hidden": torch.zeros(1, config.prediction.features)}
    for stage in ("encode", "read"):
        found |= dict(zip(stage_names(config)[stage][1], modules[stage](picture), strict=True))
    return found | {f"source_{name}": found[name] for name in ("value", "covariance")}


KIT = Kit(
    method=NAME,
    config=MonkeyNetConfig,
    build=build,
    stages=stages,
    names=stage_names,
    examples=examples,
    saved=saved,
)
save_bundle, open_networks = KIT.save_bundle, KIT.open_networks
torch_engine, networks_engine = KIT.torch_engine, KIT.networks_engine


def published_crop(config: MonkeyNetConfig) -> CropContract:
    """Every published configuration was trained on whole, cropped clips."""
    return CropContract()


def convert(
    checkpoint: str | Path, *, config: str | MonkeyNetConfig, output: str | Path, name: str | None = None, **how: Any
) -> Path:
    """A published checkpoint to a bundle; `how` goes to `save_bundle`.

    Raises:
        ConfigError: No such preset.
        WeightsError: The file is not such a checkpoint, or does not fit.
        OutputError: The bundle cannot be written.
    """
    settings = resolve_config(config, MonkeyNetConfig) if isinstance(config, str) else config
    networks = build(settings)
    states = read_checkpoint(checkpoint, ("generator", "kp_detector"), method=NAME)
    wanted = {part: networks[part] for part in ("generator", "kp_detector")}
    load_strictly(wanted, {part: translate(states[part]) for part in wanted}, where=Path(checkpoint).name)
    credit = "Siarohin et al., Animating Arbitrary Objects via Deep Motion Transfer, CVPR 2019"
    return save_bundle(networks, settings, output, name=name or settings.name, credit=credit, **how)
