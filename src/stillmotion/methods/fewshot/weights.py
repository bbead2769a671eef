"""Building few-shot talking heads from a config, and their stages."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from stillmotion.methods.fewshot.config import FewShotConfig
from stillmotion.methods.fewshot.method import NAME
from stillmotion.methods.fewshot.network import Discriminator, Embedder, Generator
from stillmotion.methods.kit import Kit, Names, Networks, check_halved
from stillmotion.nn.keypoints import KeypointDetector
from stillmotion.nn.residual import unlimited
from stillmotion.runtime.bundle import CropContract

MARGIN = 1.8
"""Side of the group's crops over the side of the face box."""


def build(config: FewShotConfig) -> Networks:
    """Untrained networks: `embedder`, `generator`, `discriminator`, and `reader` where the points are learned.

    Raises:
        ConfigError: Frames of this size do not fit the networks.
    """
    shape, points = config.network, config.points
    check_halved(config.size, len(shape.painter), what="generator")
    if points.kind == "keypoints":
        check_halved(config.size, points.blocks, what="keypoint detector", scale=points.scale)
    networks: Networks = {
        "embedder": Embedder(widths=shape.widths, attention=shape.attention_down),
        "generator": Generator(
            embedding=shape.widths[-1],
            widths=shape.painter,
            residual_blocks=shape.residual_blocks,
            is_personal=shape.is_personal,
            attention_down=shape.attention_down,
            attention_up=shape.attention_up,
        ),
        "discriminator": Discriminator(widths=shape.widths, rows=shape.rows, attention=shape.attention_down),
    }
    if points.kind == "keypoints":
        networks["reader"] = KeypointDetector(
            count=points.count,
            jacobian=False,
            single_jacobian_map=False,
            temperature=0.1,
            expansion=points.expansion,
            max_features=points.max_features,
            blocks=points.blocks,
            scale=points.scale,
            head_kernel=points.head_kernel,
            head_padding=points.head_padding,
            convention=config.convention,
            downsample="gaussian",
            pool_first=False,
        )
    return networks


def fitted(config: FewShotConfig, *, clips: int) -> FewShotConfig:
    """The config for a training set of `clips` clips: the discriminator gets a row for each, or one for a person."""
    rows = 1 if config.network.is_personal else clips
    return replace(config, network=replace(config.network, rows=rows))


class ReadStage(nn.Module):
    """`image (n, 3, h, w)` -> `value (n, k, 2)`."""

    def __init__(self, reader: KeypointDetector) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, image: Tensor) -> Tensor:
        value: Tensor = self.reader(image)[0]
        return value


class EncodeStage(nn.Module):
    """`source`, `drawing` `(n, 3, h, w)` -> `style (n, s)`."""

    def __init__(self, embedder: Embedder, generator: Generator) -> None:
        super().__init__()
        self.embedder, self.project = embedder, generator.project

    def forward(self, source: Tensor, drawing: Tensor) -> Tensor:
        style: Tensor = self.project(self.embedder(source, drawing))
        return style


class RenderStage(nn.Module):
    """`drawing (n, 3, h, w)`, and `style (1, s)` unless the generator is one person's -> `planes (n, 3, h, w)`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, drawing: Tensor, style: Tensor | None = None) -> Tensor:
        if style is None:
            planes: Tensor = self.generator(drawing)
            return planes
        return self.generator.paint(drawing, style.expand(len(drawing), -1))


def saved(config: FewShotConfig) -> tuple[str, ...]:
    """Networks that a bundle holds; a person's has no use for the embedder."""
    names = ("generator",) if config.network.is_personal else ("embedder", "generator")
    return (*names, "reader") if config.points.kind == "keypoints" else names


def stage_names(config: FewShotConfig) -> Names:
    """Input and output array names of every stage, in order."""
    names: Names = {}
    if not config.network.is_personal:
        names["encode"] = (("source", "drawing"), ("style",))
    if config.points.kind == "keypoints":
        names["read"] = (("image",), ("value",))
    style = () if config.network.is_personal else ("style",)
    return names | {"render": (("drawing", *style), ("planes",))}


def stages(networks: Networks, config: FewShotConfig) -> Networks:
    """The stages as modules in evaluation mode, named as in `stage_names`; takes the spectral norm off the networks."""
    generator = unlimited(networks["generator"])
    assert isinstance(generator, Generator)
    found: Networks = {"render": RenderStage(generator)}
    if not config.network.is_personal:
        embedder = unlimited(networks["embedder"])
        assert isinstance(embedder, Embedder)
        found["encode"] = EncodeStage(embedder, generator)
    if config.points.kind == "keypoints":
        reader = networks["reader"]
        assert isinstance(reader, KeypointDetector)
        found["read"] = ReadStage(reader)
    return {name: stage.eval() for name, stage in found.items()}


def examples(modules: Networks, config: FewShotConfig) -> dict[str, Tensor]:
    """Arrays of the right shapes for every stage input, from a grey picture, batch 1."""
    picture = torch.full((1, 3, config.size, config.size), 0.5)
    found = {"source": picture, "image": picture, "drawing": picture}
    return found if config.network.is_personal else found | {"style": modules["encode"](picture, picture)}


KIT = Kit(
    method=NAME,
    config=FewShotConfig,
    build=build,
    stages=stages,
    names=stage_names,
    examples=examples,
    saved=saved,
)
save_bundle, open_networks = KIT.save_bundle, KIT.open_networks
torch_engine, networks_engine = KIT.torch_engine, KIT.networks_engine


def published_crop(config: FewShotConfig) -> CropContract:
    """Landmarks want a face in the crop; learned keypoints take the whole picture."""
    return CropContract(kind="face", margin=MARGIN) if config.points.kind == "landmarks" else CropContract()
