"""Building the three-network generator from a config, and its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillmotion.core.errors import ConfigError
from stillmotion.core.method import Engine
from stillmotion.methods.trinet.config import TriNetConfig
from stillmotion.methods.trinet.method import NAME
from stillmotion.methods.trinet.network import Discriminator, Generator, Identity
from stillmotion.nn.kit import Kit, Names, Networks, plain
from stillmotion.nn.residual import unlimited
from stillmotion.runtime.bundle import Bundle, Card, CropContract, Keep, read_tensors, write_bundle

MARGIN = 1.8
"""Side of the crop over the side of the face box, as for the few-shot method."""


def build(config: TriNetConfig) -> Networks:
    """Untrained networks: `identity`, `generator`, `discriminator`.

    Raises:
        ConfigError: The size is not four times two to the power of the number of halvings.
    """
    shape = config.network
    if config.size != 4 * 2 ** len(shape.widths):
        raise ConfigError(
            f"{len(shape.widths)} halvings do not shrink {config.size} pixels to four",
            hint=f"give {config.size.bit_length() - 3} widths",
        )
    return {
        "identity": Identity(widths=shape.widths, identity=shape.identity),
        "generator": Generator(
            widths=shape.widths,
            identity=shape.identity,
            driving=shape.driving,
            common=shape.common,
            prototypes=shape.prototypes,
        ),
        "discriminator": Discriminator(widths=shape.widths, distance=shape.distance),
    }


def fitted(config: TriNetConfig, *, clips: int) -> TriNetConfig:
    """The config for a training set of `clips` clips: the same, whatever their number."""
    return config


class ReadStage(nn.Module):
    """`image (n, 3, h, w)` -> `code (n, c)`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        return self.generator.read(image)


class RenderStage(nn.Module):
    """`identity (1, c)`, `code (n, c')` -> `planes (n, 3, h, w)`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, identity: Tensor, code: Tensor) -> Tensor:
        return self.generator.paint(identity.expand(len(code), -1), code)


def saved(config: TriNetConfig) -> tuple[str, ...]:
    """Networks that a bundle holds."""
    return ("identity", "generator")


def stage_names(config: TriNetConfig) -> Names:
    """Input and output array names of every stage, in order."""
    return {
        "encode": (("source",), ("identity",)),
        "read": (("image",), ("code",)),
        "render": (("identity", "code"), ("planes",)),
    }


def stages(networks: Networks, config: TriNetConfig) -> Networks:
    """The stages as modules in evaluation mode, named as in `stage_names`; takes the spectral norm off the networks."""
    identity, generator = unlimited(networks["identity"]), unlimited(networks["generator"])
    assert isinstance(generator, Generator)
    found: Networks = {"encode": identity, "read": ReadStage(generator), "render": RenderStage(generator)}
    return {name: stage.eval() for name, stage in found.items()}


def examples(modules: Networks, config: TriNetConfig) -> dict[str, Tensor]:
    """Arrays of the right shapes for every stage input, from a grey picture, batch 1."""
    picture = torch.full((1, 3, config.size, config.size), 0.5)
    made = {"identity": modules["encode"](picture), "code": modules["read"](picture)}
    return {"source": picture, "image": picture} | made


KIT = Kit(stages=stages, names=stage_names, examples=examples, saved=saved)


def save_bundle(
    networks: Networks,
    config: TriNetConfig,
    folder: str | Path,
    *,
    name: str | None = None,
    crop: CropContract | None = None,
    keep: Keep = "all",
    optimise: bool = True,
    half: bool = False,
    **about: Any,
) -> Path:
    """Write a weights bundle: card, tensors, exported stages.

    Args:
        networks: Those of `saved`; others are left out.
        config: What was built.
        folder: The bundle folder; an older bundle there is replaced.
        name: Name of the weights; None takes the folder's.
        crop: Crop contract; None takes the whole picture.
        keep, optimise, half: As in the first-order method.
        **about: `data`, `licence`, `credit`, `recipe` for the card.

    Raises:
        OutputError: The folder cannot be written.
        WeightsError: The networks hold NaN or infinity.
    """
    card = Card(
        method=NAME,
        name=name or Path(folder).name,
        config=plain(config),
        convention=config.convention,
        crop=crop or CropContract(),
        **about,
    )

    def write_stages(place: Path) -> None:
        stored = KIT.load(build(config), config, read_tensors(place), where="the bundle being written")
        KIT.export(stored, config, place, optimise=optimise, half=half)

    tensors = KIT.arrays(networks, config)
    export = None if keep == "tensors" else write_stages
    return write_bundle(folder, card, tensors=tensors, export=export, keep=keep, half=half)


def open_networks(bundle: Bundle) -> Networks:
    """The networks of a bundle, in evaluation mode.

    Raises:
        WeightsError: The bundle has no tensors, or they do not fit its config.
    """
    config = bundle.config(TriNetConfig)
    return KIT.load(build(config), config, bundle.tensors(), where=bundle.folder.name)


def torch_engine(bundle: Bundle, *, device: str | None = None, **options: Any) -> Engine:
    """The torch engine on a bundle's tensors; raises as `open_networks`."""
    return KIT.engine(open_networks(bundle), bundle.config(TriNetConfig), copied=False, device=device, **options)


def networks_engine(networks: Networks, config: TriNetConfig, **options: Any) -> Engine:
    """The torch engine on a copy of networks in memory, which stay as they are."""
    return KIT.engine(networks, config, copied=True, **options)


def published_crop(config: TriNetConfig) -> CropContract:
    """The large presets want faces; the small one takes the whole picture."""
    return CropContract(kind="face", margin=MARGIN) if config.size == 256 else CropContract()
