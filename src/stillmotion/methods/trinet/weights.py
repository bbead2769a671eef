"""Building the three-network generator from a config, and its stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillmotion.core.errors import ConfigError
from stillmotion.methods.kit import Kit, Names, Networks
from stillmotion.methods.trinet.config import TriNetConfig
from stillmotion.methods.trinet.method import NAME
from stillmotion.methods.trinet.network import Discriminator, Generator, Identity
from stillmotion.nn.residual import unlimited
from stillmotion.runtime.bundle import CropContract

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


KIT = Kit(
    method=NAME,
    config=TriNetConfig,
    build=build,
    stages=stages,
    names=stage_names,
    examples=examples,
    saved=saved,
)
save_bundle, open_networks = KIT.save_bundle, KIT.open_networks
torch_engine, networks_engine = KIT.torch_engine, KIT.networks_engine


def published_crop(config: TriNetConfig) -> CropContract:
    """The large presets want faces; the small one takes the whole picture."""
    return CropContract(kind="face", margin=MARGIN) if config.size == 256 else CropContract()
