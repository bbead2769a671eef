"""Building the networks from a config, and where tensors come from."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor, nn

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


class EncodeStage(nn.Module):
    """`source (1, 3, h, w)` -> `features`, `small`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return self.generator.encode(source)


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
        source = inputs.pop(0) if self.generator.composite else None
        rest_jacobian = driving_jacobian = None
        if self.jacobian:
            rest_value, rest_jacobian, value, driving_jacobian = inputs
        else:
            rest_value, value = inputs
        count = value.shape[0]

        def repeated(array: Tensor | None) -> Tensor | None:
            return None if array is None else array.expand(count, *array.shape[1:])

        motion = self.generator.dense_motion_network(
            repeated(small), repeated(rest_value), value, repeated(rest_jacobian), driving_jacobian
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
