"""What a method promises, and what runs its stages.

A method is written once, in numpy, around named *stages*; an engine runs them. The method cannot
tell whether the stages are torch modules or exported graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Required, Self, TypeAlias, TypedDict, Unpack

import numpy as np

from stillmotion.core.flow import Convention, Flow
from stillmotion.core.frame import Frame, to_frames
from stillmotion.core.motion import Mode, Motion

State: TypeAlias = dict[str, np.ndarray]
"""What `encode` remembers of the source: arrays by name, opaque to everybody but the method."""


MotionKind: TypeAlias = Literal["keypoints", "landmarks", "latent"]


class Built(Protocol):
    """What every method's config says of the frames it works on: their side, and the grid convention."""

    @property
    def size(self) -> int:
        """Side of the square frames, pixels."""
        ...

    @property
    def convention(self) -> Convention:
        """Grid convention of the weights."""
        ...


class About(TypedDict, total=False):
    """Facts about loaded weights, as the fields of `MethodSpec` say; all but the name may be left out."""

    weights: Required[str]
    crop: Literal["face", "whole"]
    margin: float
    checksum: str
    marks: Mapping[str, int]


@dataclass(frozen=True)
class MethodSpec:
    """Facts about a loaded method.

    Attributes:
        name: Name in the table of methods, such as `first-order`.
        weights: Name of the weights, such as `vox-256`.
        size: Frame size `(h, w)` that `encode` and `read` want and `render` returns.
        motion: Kind of motion that `read` returns.
        modes: Legal transfer modes, the one to take unasked first.
        max_sources: How many source images `encode` accepts.
        convention: Grid convention of the weights.
        crop: Crop contract of the weights: `face` (see `prepare.crop`) or `whole`.
        margin: For `face`, side of the square crop divided by the side of the face box.
        checksum: Fingerprint of the tensors, such as a SHA-256 of the bundle's `network.safetensors`;
            a motion file read by other weights is refused by it. Empty where unknown.
        marks: What single keypoints were taught to mark, such as `right upper lid`, with their index; empty where
            they found their places by themselves.
    """

    name: str
    weights: str
    size: tuple[int, int]
    motion: MotionKind
    modes: tuple[Mode, ...]
    max_sources: int
    convention: Convention
    crop: Literal["face", "whole"] = "whole"
    margin: float = 1.0
    checksum: str = ""
    marks: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: Built,
        *,
        name: str,
        motion: MotionKind,
        modes: tuple[Mode, ...],
        max_sources: int = 1,
        **about: Unpack[About],
    ) -> Self:
        """The spec of a method built from a config.

        Args:
            config: What was built.
            name, motion, modes, max_sources: As the fields.
            **about: Facts about the weights.
        """
        size, convention = (config.size, config.size), config.convention
        return cls(
            name=name, size=size, motion=motion, modes=modes, max_sources=max_sources, convention=convention, **about
        )


@dataclass(frozen=True, eq=False)
class Rendering:
    """A batch of generated frames.

    Attributes:
        planes: `float32 (n, 3, h, w)` in [0, 1], before rounding.
        flows: One backward flow per frame, with occlusion where the method has one; none at all
            where a method paints without moving pixels.
    """

    planes: np.ndarray
    flows: tuple[Flow, ...]

    @property
    def frames(self) -> np.ndarray:
        """`uint8 (n, h, w, 3)`."""
        return to_frames(self.planes)


class Engine(Protocol):
    """Runs named stages.

    `name` is what the user calls it (`openvino`, `onnx`, `torch`). `max_batch` is the largest
    leading dimension worth passing at once (1 for graphs compiled with a fixed batch); methods
    split longer batches by it.
    """

    name: str
    max_batch: int

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run one stage on float32 arrays.

        Raises:
            EngineError: No such stage, or the runtime failed.
        """
        ...


class Method(Protocol):
    """What every method does. A protocol: methods share no base class."""

    spec: MethodSpec
    engine: Engine

    def encode(self, sources: Sequence[Frame]) -> State:
        """Everything that depends on the source alone; called once per source.

        Args:
            sources: One frame (or up to `spec.max_sources`) of `spec.size`.
        """
        ...

    def source_motion(self, state: State) -> Motion:
        """The motion of the (first) source itself, as `encode` read it."""
        ...

    def read(self, frames: np.ndarray) -> Sequence[Motion]:
        """Motion of each of `uint8 (n, h, w, 3)` frames of `spec.size`."""
        ...

    def render(self, state: State, motions: Sequence[Any]) -> Rendering:
        """The source performing each motion, of the kind that `read` returns."""
        ...
