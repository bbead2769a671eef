"""Building the networks from a config, where tensors come from, and where they go (YAML: see `published`)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillmotion.core.errors import ConfigError
from stillmotion.methods.firstorder.config import PRESETS, FirstOrderConfig
from stillmotion.methods.firstorder.method import NAME, FirstOrder
from stillmotion.methods.firstorder.network import DenseMotion, Discriminator, Generator
from stillmotion.methods.firstorder.published import resolve_config
from stillmotion.methods.kit import Kit, Names, Networks, check_halved
from stillmotion.nn.checkpoint import load_strictly, read_checkpoint
from stillmotion.nn.keypoints import KeypointDetector
from stillmotion.runtime.bundle import CropContract, Keep, fingerprint

SAVED = ("generator", "kp_detector")
"""Networks that a bundle holds; the discriminator is of no use after training."""
VOX_MARGIN = 1.7
"""Side of a VoxCeleb training crop over the side of its face box, about: the published crops took
the union of the detected boxes of a clip and grew it by a tenth at every side."""


def build(config: FirstOrderConfig) -> Networks:
    """Untrained networks by their published names: `generator`, `kp_detector`, `discriminator`.

    Raises:
        ConfigError: Frames of this size do not fit the networks.
    """
    check_halved(config.size, config.keypoints.blocks, what="keypoint detector", scale=config.keypoints.scale)
    check_halved(config.size, config.motion.blocks, what="dense motion network", scale=config.motion.scale)
    check_halved(config.size, config.generator.down_blocks, what="generator")
    shared: dict[str, Any] = {"convention": config.convention, "pool_first": config.pool_first}
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


def fitted(config: FirstOrderConfig, *, clips: int) -> FirstOrderConfig:
    """The config for a training set of `clips` clips: the same, whatever their number."""
    return config


class EncodeStage(nn.Module):
    """`source (1, 3, h, w)` -> `features`, `small`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        features, small = self.generator.encode(source)
        return features, small.clone()  # at full scale it is the input itself, and a graph cannot name it twice


class ReadStage(nn.Module):
    """`image (n, 3, h, w)` -> `value (n, k, 2)` and, first order, `jacobian (n, k, 2, 2)`."""

    def __init__(self, detector: KeypointDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        value, jacobian = self.detector(image)
        return (value,) if jacobian is None else (value, jacobian)


class RenderStage(nn.Module):
    """One source (batch 1) performing n motions.

    Inputs in order: `features`, `small`, [`source` if the network composites], `source_value`,
    [`source_jacobian`], `value (n, k, 2)`, [`jacobian`]; the bracketed Jacobians only for a
    first-order detector. Outputs: `planes (n, 3, h, w)`, `flow (n, h', w', 2)`, and
    `occlusion (n, 1, h', w')` if predicted.
    """

    def __init__(self, generator: Generator, *, jacobian: bool) -> None:
        super().__init__()
        self.generator = generator
        self.jacobian = jacobian

    def forward(self, features: Tensor, small: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        inputs = list(rest)
        source = inputs.pop(0) if self.generator.composite else small  # read only where it composites
        rest_jacobian = driving_jacobian = None
        if self.jacobian:
            rest_value, rest_jacobian, value, driving_jacobian = inputs
        else:
            rest_value, value = inputs
        count = value.shape[0]

        def repeated(array: Tensor) -> Tensor:
            return array.expand(count, *array.shape[1:])

        rest_local = None if rest_jacobian is None else repeated(rest_jacobian)
        motion = self.generator.dense_motion_network(
            repeated(small), repeated(rest_value), value, rest_local, driving_jacobian
        )
        out = self.generator.inpaint(repeated(source), repeated(features), motion)
        tail = (motion["occlusion"],) if "occlusion" in motion else ()
        return (out["prediction"], motion["flow"], *tail)


def stage_names(config: FirstOrderConfig) -> Names:
    """Input and output array names of every stage, in order."""
    local = config.keypoints.jacobian
    motion = ("value", "jacobian") if local else ("value",)
    rest = ("source_value", "source_jacobian") if local else ("source_value",)
    picture = ("source",) if config.generator.composite else ()
    occlusion = ("occlusion",) if config.generator.occlusion else ()
    return {
        "encode": (("source",), ("features", "small")),
        "read": (("image",), motion),
        "render": (("features", "small", *picture, *rest, *motion), ("planes", "flow", *occlusion)),
    }


def stages(networks: Networks, config: FirstOrderConfig) -> Networks:
    """The three stages as modules in evaluation mode, named as in `stage_names`."""
    generator, detector = networks["generator"], networks["kp_detector"]
    assert isinstance(generator, Generator)
    assert isinstance(detector, KeypointDetector)
    return {
        "encode": EncodeStage(generator).eval(),
        "read": ReadStage(detector).eval(),
        "render": RenderStage(generator, jacobian=config.keypoints.jacobian).eval(),
    }


def examples(modules: Networks, config: FirstOrderConfig) -> dict[str, Tensor]:
    """Arrays of the right shapes for every stage input, from a grey picture, batch 1."""
    picture = torch.full((1, 3, config.size, config.size), 0.5)
    found = {"source": picture, "image": picture}
    names = stage_names(config)
    for stage in ("encode", "read"):
        found |= dict(zip(names[stage][1], modules[stage](picture), strict=True))
    return found | {f"source_{name}": found[name] for name in names["read"][1]}


def saved(config: FirstOrderConfig) -> tuple[str, ...]:
    """Networks that a bundle holds."""
    return SAVED


KIT = Kit(
    method=NAME,
    config=FirstOrderConfig,
    build=build,
    stages=stages,
    names=stage_names,
    examples=examples,
    saved=saved,
)
save_bundle, open_networks = KIT.save_bundle, KIT.open_networks
torch_engine, networks_engine = KIT.torch_engine, KIT.networks_engine


def load_checkpoint(
    checkpoint: str | Path, config: str | Path | FirstOrderConfig | None
) -> tuple[Networks, FirstOrderConfig]:
    """Networks of a published checkpoint, strictly loaded, in evaluation mode, and their config.

    The discriminator is loaded if the file has one that fits; a stripped file leaves it untrained.

    Args:
        checkpoint: Published `.pth.tar`, full or stripped.
        config: Preset name, published YAML file, or a config.

    Raises:
        ConfigError: No config, or one that makes no sense.
        WeightsError: The file is not such a checkpoint, or does not fit the config.
    """
    if config is None:
        raise ConfigError(
            f"{Path(checkpoint).name} does not say what network it is for",
            hint=f"give its published YAML file, or a preset: {', '.join(PRESETS)}",
        )
    settings = resolve_config(config)
    networks = build(settings)
    states = read_checkpoint(checkpoint, SAVED, method=NAME)
    loaded = {name: network for name, network in networks.items() if name in states}
    load_strictly(loaded, states, where=Path(checkpoint).name)
    return {name: network.eval() for name, network in networks.items()}, settings


def from_checkpoint(
    checkpoint: str | Path, *, config: str | Path | FirstOrderConfig | None, device: str | None = None
) -> FirstOrder:
    """A published checkpoint as a method on the torch engine; raises as `load_checkpoint`."""
    networks, settings = load_checkpoint(checkpoint, config)
    crop = published_crop(settings)
    return FirstOrder(
        KIT.engine(networks, settings, device=device),
        config=settings,
        weights=settings.name,
        crop=crop.kind,
        margin=crop.margin,
        checksum=fingerprint(KIT.arrays(networks, settings)),
    )


def published_crop(config: FirstOrderConfig) -> CropContract:
    """Talking-head presets were trained on face crops, the others on whole pictures."""
    return CropContract(kind="face", margin=VOX_MARGIN) if config.name.startswith("vox") else CropContract()


def convert(
    checkpoint: str | Path,
    *,
    config: str | Path | FirstOrderConfig,
    output: str | Path,
    name: str | None = None,
    keep: Keep = "all",
    optimise: bool = True,
    half: bool = False,
) -> Path:
    """A published checkpoint to a bundle.

    Args:
        checkpoint: Published `.pth.tar`, full or stripped.
        config: Preset name or published YAML file.
        output: The bundle folder.
        name: Name of the weights; None takes the config's.
        keep, optimise, half: As for `save_bundle`.

    Raises:
        ConfigError, WeightsError: As `load_checkpoint`.
        OutputError: The bundle cannot be written.
    """
    networks, settings = load_checkpoint(checkpoint, config)
    return save_bundle(
        networks,
        settings,
        output,
        name=name or settings.name,
        crop=published_crop(settings),
        data="as published",
        licence="not stated by the checkpoint; ask where it was published",
        credit="Siarohin et al., First Order Motion Model for Image Animation, NeurIPS 2019",
        recipe={"converted_from": Path(checkpoint).name},
        keep=keep,
        optimise=optimise,
        half=half,
    )
