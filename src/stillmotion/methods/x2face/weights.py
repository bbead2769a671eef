"""Building X2Face from a config, the published names of its tensors, and its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.methods import resolve_config
from stillmotion.methods.kit import Kit, Names, Networks
from stillmotion.methods.x2face.config import X2FaceConfig
from stillmotion.methods.x2face.edits import LinearMap, PoseEdit
from stillmotion.methods.x2face.method import NAME
from stillmotion.methods.x2face.network import Driving, Embedding
from stillmotion.nn.checkpoint import load_strictly, read_checkpoint
from stillmotion.nn.geometry import warp
from stillmotion.runtime.bundle import CropContract

MARGIN = 1.6
"""Side of the released crops over the side of the face box."""
PUBLISHED = {"pix2pixUnwrapped.netG.model.": "embedding", "pix2pixSampler.netG.model.": "driving"}
"""Published prefixes, and our networks."""


def build(config: X2FaceConfig) -> Networks:
    """Untrained networks: `embedding` and `driving`.

    Raises:
        ConfigError: The size is not two to the power of the number of halvings.
    """
    for widths in (config.embedding.widths, config.driving.widths):
        if config.size != 2 ** len(widths):
            raise ConfigError(
                f"{len(widths)} halvings do not shrink {config.size} pixels to one",
                hint=f"give {config.size.bit_length() - 1} widths",
            )
    shape, convention = config.embedding, config.convention
    return {
        "embedding": Embedding(widths=shape.widths, fusion=shape.fusion, convention=convention),
        "driving": Driving(widths=config.driving.widths, convention=convention),
    }


def fitted(config: X2FaceConfig, *, clips: int) -> X2FaceConfig:
    """The config for a training set of `clips` clips: the same, whatever their number."""
    return config


def translate(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A published state dict as ours, by network: the published modules nest once per halving."""
    found: dict[str, dict[str, Tensor]] = {name: {} for name in PUBLISHED.values()}
    for key, tensor in state.items():
        for prefix, network in PUBLISHED.items():
            if key.startswith(prefix):
                rest = key.removeprefix(prefix)
                depth = rest.count("submodule.")
                side, place, last = rest.replace("submodule.", "").split(".")
                first = 2 if side == "up" else (0 if depth == 0 else 1)
                part = "conv" if int(place) == first else "norm"
                found[network][f"net.{side}s.{depth}.{part}.{last}"] = tensor
    return found


class ReadStage(nn.Module):
    """`image (n, 3, h, w)` -> `code (n, c)`."""

    def __init__(self, driving: Driving) -> None:
        super().__init__()
        self.driving = driving

    def forward(self, image: Tensor) -> Tensor:
        return self.driving.squeeze(image)


class RenderStage(nn.Module):
    """`face (1, 3, h, w)`, `place (1, 2, h, w)`, `code (n, c)` -> `planes (n, 3, h, w)`, `flow (n, h, w, 2)`."""

    def __init__(self, driving: Driving) -> None:
        super().__init__()
        self.driving = driving

    def forward(self, face: Tensor, place: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.driving.place(code)
        convention, n = self.driving.convention, len(code)
        planes = warp(face.expand(n, -1, -1, -1), grid, convention=convention)
        # Where the pixel that was read in the face had been read in the source.
        flow = warp(place.expand(n, -1, -1, -1), grid, convention=convention, padding="border")
        return planes, flow.permute(0, 2, 3, 1)


def saved(config: X2FaceConfig) -> tuple[str, ...]:
    """Networks that a bundle holds: both."""
    return ("embedding", "driving")


def stage_names(config: X2FaceConfig) -> Names:
    """Input and output array names of every stage, in order."""
    return {
        "encode": (("source",), ("unwrapped", "weight", "place")),
        "read": (("image",), ("code",)),
        "render": (("face", "place", "code"), ("planes", "flow")),
    }


def stages(networks: Networks, config: X2FaceConfig) -> Networks:
    """The stages as modules in evaluation mode, named as in `stage_names`."""
    driving = networks["driving"]
    assert isinstance(driving, Driving)
    found: Networks = {"encode": networks["embedding"], "read": ReadStage(driving), "render": RenderStage(driving)}
    return {name: stage.eval() for name, stage in found.items()}


def examples(modules: Networks, config: X2FaceConfig) -> dict[str, Tensor]:
    """Arrays of the right shapes for every stage input, from a grey picture, batch 1."""
    picture = torch.full((1, 3, config.size, config.size), 0.5)
    face, _, place = modules["encode"](picture)
    return {"source": picture, "image": picture, "face": face, "place": place, "code": modules["read"](picture)}


KIT = Kit(
    method=NAME,
    config=X2FaceConfig,
    build=build,
    stages=stages,
    names=stage_names,
    examples=examples,
    saved=saved,
)
save_bundle, open_networks = KIT.save_bundle, KIT.open_networks
torch_engine, networks_engine = KIT.torch_engine, KIT.networks_engine


def published_pose(read: str | Path, write: str | Path) -> PoseEdit:
    """The released linear maps between driving vector and head pose.

    Args:
        read: `posereg.pth`: a linear layer from vector to three angles, radians.
        write: `posetobottle.pth`: a linear layer back, and the batch norm after it.

    Raises:
        WeightsError: A file is not such a checkpoint.
    """
    names = ("posefrombottle.weight", "posefrombottle.bias")
    weight, bias = _vectors(read, names)
    steep, gain, shift, mean, variance = _vectors(
        write, ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    )
    scale = gain / np.sqrt(variance + nn.BatchNorm1d(1).eps)
    return PoseEdit(LinearMap(weight, bias), LinearMap(scale[:, None] * steep, shift - scale * mean))


def _vectors(path: str | Path, names: tuple[str, ...]) -> list[np.ndarray]:
    state = read_checkpoint(path, ("state_dict",), method=f"{NAME}'s pose")["state_dict"]
    missing = [name for name in names if name not in state]
    if missing:
        raise WeightsError(
            f"{Path(path).name} has no {', '.join(missing)} (it has {', '.join(list(state)[:6])})",
            hint="give posereg.pth first, then posetobottle.pth",
            missing=tuple(missing),
        )
    return [state[name].double().numpy() for name in names]


def published_crop(config: X2FaceConfig) -> CropContract:
    """The released weights see faces cropped at 1.6 times their box; small networks of ours see the whole picture."""
    return CropContract(kind="face", margin=MARGIN) if config.size == 256 else CropContract()


def convert(
    checkpoint: str | Path, *, config: str | X2FaceConfig, output: str | Path, name: str | None = None, **how: Any
) -> Path:
    """A released checkpoint (`state_dict` inside) to a bundle; `how` goes to `save_bundle`.

    Raises:
        ConfigError: No such preset.
        WeightsError: The file is not such a checkpoint, or does not fit.
        OutputError: The bundle cannot be written.
    """
    settings = resolve_config(config, X2FaceConfig) if isinstance(config, str) else config
    networks = build(settings)
    states = translate(read_checkpoint(checkpoint, ("state_dict",), method=NAME)["state_dict"])
    load_strictly(networks, states, where=Path(checkpoint).name)
    credit = "Wiles, Koepke, Zisserman, X2Face, ECCV 2018"
    crop = published_crop(settings)
    return save_bundle(networks, settings, output, name=name or settings.name, crop=crop, credit=credit, **how)
