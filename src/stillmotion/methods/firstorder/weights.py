"""Building the networks from a config, where tensors come from, and where they go (YAML: see `published`)."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.core.method import Engine
from stillmotion.methods.firstorder.config import PRESETS, FirstOrderConfig
from stillmotion.methods.firstorder.method import NAME, FirstOrder
from stillmotion.methods.firstorder.network import DenseMotion, Discriminator, Generator
from stillmotion.methods.firstorder.published import resolve_config
from stillmotion.nn.checkpoint import load_strictly, read_checkpoint
from stillmotion.nn.engine import TorchEngine
from stillmotion.nn.export import export_stage
from stillmotion.nn.keypoints import KeypointDetector
from stillmotion.nn.rewrite import rewrite
from stillmotion.runtime.bundle import Bundle, Card, CropContract, Keep, fingerprint, read_tensors, write_bundle

SAVED = ("generator", "kp_detector")
"""Networks that a bundle holds; the discriminator is of no use after training."""
VOX_MARGIN = 1.7
"""Side of a VoxCeleb training crop over the side of its face box, about: the published crops took
the union of the detected boxes of a clip and grew it by a tenth at every side."""


def build(config: FirstOrderConfig) -> dict[str, nn.Module]:
    """Untrained networks by their published names: `generator`, `kp_detector`, `discriminator`."""
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


def stage_names(config: FirstOrderConfig) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
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


def stages(networks: dict[str, nn.Module], config: FirstOrderConfig) -> dict[str, nn.Module]:
    """The three stages as modules in evaluation mode, named as in `stage_names`."""
    generator, detector = networks["generator"], networks["kp_detector"]
    assert isinstance(generator, Generator)
    assert isinstance(detector, KeypointDetector)
    return {
        "encode": EncodeStage(generator).eval(),
        "read": ReadStage(detector).eval(),
        "render": RenderStage(generator, jacobian=config.keypoints.jacobian).eval(),
    }


def examples(modules: dict[str, nn.Module], config: FirstOrderConfig) -> dict[str, Tensor]:
    """Arrays of the right shapes for every stage input, from a grey picture, batch 1."""
    picture = torch.full((1, 3, config.size, config.size), 0.5)
    found = {"source": picture, "image": picture}
    names = stage_names(config)
    with torch.no_grad():
        for stage in ("encode", "read"):
            found |= dict(zip(names[stage][1], modules[stage](picture), strict=True))
    return found | {f"source_{name}": found[name] for name in names["read"][1]}


def export(
    networks: dict[str, nn.Module],
    config: FirstOrderConfig,
    folder: str | Path,
    *,
    optimise: bool = True,
    half: bool = False,
) -> None:
    """Write `encode.onnx`, `read.onnx` and `render.onnx` into a folder.

    Args:
        networks: Trained networks; left as they are.
        config: What was built.
        folder: Must exist.
        optimise: Apply the exact rewrites of `nn.rewrite` first.
        half: Store large tensors as float16; computing stays float32.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    copies = {name: copy.deepcopy(networks[name]).float().cpu().eval() for name in SAVED}
    modules = stages(copies, config)
    arrays = examples(modules, config)
    for name, (inputs, outputs) in stage_names(config).items():
        module = rewrite(modules[name]) if optimise else modules[name]
        shown = {i: arrays[i] for i in inputs}
        export_stage(module, shown, outputs, Path(folder) / f"{name}.onnx", half=half)


def save_bundle(
    networks: dict[str, nn.Module],
    config: FirstOrderConfig,
    folder: str | Path,
    *,
    name: str | None = None,
    crop: CropContract | None = None,
    data: str = "",
    licence: str = "",
    credit: str = "",
    recipe: dict[str, Any] | None = None,
    keep: Keep = "all",
    optimise: bool = True,
    half: bool = False,
) -> Path:
    """Write a weights bundle: card, tensors, exported stages.

    Args:
        networks: `generator` and `kp_detector`; others are left out.
        config: What was built.
        folder: The bundle folder; an older bundle there is replaced.
        name: Name of the weights; None takes the folder's.
        crop: Crop contract; None takes the whole picture.
        data, licence, credit, recipe: For the card.
        keep: `all`, or only the `stages` (runs without torch) or only the `tensors` (needs torch).
        optimise: Rewrite the graphs for speed, exactly.
        half: Store tensors and stages as float16, at half the size. Batch norms are folded after the
            rounding and rounded again, so frames of different engines then differ by up to 3e-3.

    Raises:
        OutputError: The folder cannot be written.
        WeightsError: The networks hold NaN or infinity.
    """
    tensors = state_arrays(networks)
    broken = [n for n, a in tensors.items() if not np.isfinite(a).all()]
    if broken:
        raise WeightsError(
            f"the networks hold NaN or infinity: {broken[0]} and {len(broken) - 1} more",
            hint="the training diverged; save an earlier checkpoint",
        )
    card = Card(
        method=NAME,
        name=name or Path(folder).name,
        config=json.loads(json.dumps(asdict(config))),
        convention=config.convention,
        crop=crop or CropContract(),
        data=data,
        licence=licence,
        credit=credit,
        recipe=recipe or {},
    )

    def write_stages(place: Path) -> None:
        stored = build(config)
        load_arrays(stored, read_tensors(place), where="the bundle being written")
        export(stored, config, place, optimise=optimise, half=half)

    return write_bundle(
        folder, card, tensors=tensors, export=None if keep == "tensors" else write_stages, keep=keep, half=half
    )


def state_arrays(networks: dict[str, nn.Module]) -> dict[str, np.ndarray]:
    """Tensors of the saved networks as arrays, `generator.` or `kp_detector.` before their names."""
    return {
        f"{name}.{key}": tensor.detach().cpu().numpy()
        for name in SAVED
        for key, tensor in networks[name].state_dict().items()
    }


def load_arrays(networks: dict[str, nn.Module], arrays: dict[str, np.ndarray], *, where: str) -> None:
    """Load what `state_arrays` made, strictly.

    Raises:
        WeightsError: Names or shapes do not fit.
    """
    states: dict[str, dict[str, Tensor]] = {name: {} for name in SAVED}
    for key, array in arrays.items():
        network, _, rest = key.partition(".")
        states.setdefault(network, {})[rest] = torch.from_numpy(array)
    load_strictly({name: networks[name] for name in SAVED}, states, where=where)


def open_networks(bundle: Bundle) -> dict[str, nn.Module]:
    """The networks of a bundle, in evaluation mode; the discriminator is untrained.

    Raises:
        WeightsError: The bundle has no tensors, or they do not fit its config.
    """
    networks = build(bundle.config(FirstOrderConfig))
    load_arrays(networks, bundle.tensors(), where=bundle.folder.name)
    return {name: network.eval() for name, network in networks.items()}


def torch_engine(bundle: Bundle, *, device: str | None = None, **options: Any) -> Engine:
    """The torch engine on a bundle's tensors; `options` go to `nn.engine.TorchEngine`.

    Raises:
        WeightsError: The bundle has no tensors, or they do not fit its config.
    """
    return _owning_engine(open_networks(bundle), bundle.config(FirstOrderConfig), device=device, **options)


def networks_engine(
    networks: dict[str, nn.Module], config: FirstOrderConfig, *, device: str | None = None, **options: Any
) -> Engine:
    """The torch engine on a copy of networks in memory, such as a training run's, which stay as they are."""
    copies = {name: copy.deepcopy(networks[name]) for name in SAVED}
    return _owning_engine(copies, config, device=device, **options)


def _owning_engine(
    networks: dict[str, nn.Module], config: FirstOrderConfig, *, device: str | None, **options: Any
) -> Engine:
    return TorchEngine(stages(networks, config), stage_names(config), device=device, **options)


def load_checkpoint(
    checkpoint: str | Path, config: str | Path | FirstOrderConfig | None
) -> tuple[dict[str, nn.Module], FirstOrderConfig]:
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
    states = read_checkpoint(checkpoint, SAVED)
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
        _owning_engine(networks, settings, device=device),
        config=settings,
        weights=settings.name,
        crop=crop.kind,
        margin=crop.margin,
        checksum=fingerprint(state_arrays(networks)),
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
