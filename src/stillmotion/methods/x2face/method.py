"""X2Face's verbs, in numpy, around three stages that an engine runs.

Source: Wiles, Koepke, Zisserman, "X2Face", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from stillmotion.core.flow import Flow
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import About, Engine, MethodSpec, Rendering, State
from stillmotion.core.motion import Latent
from stillmotion.core.verbs import check_batch, check_motion, check_sources, chunks, frozen, joined, run_stage
from stillmotion.methods.x2face.config import X2FaceConfig

NAME = "x2face"


class X2Face:
    """One X2Face, loaded.

    Args:
        engine: Runs the stages `encode`, `read` and `render`.
        config: What was built.
        **about: Facts about the weights: `weights`, their name, and `crop`, `margin`, `checksum`.
    """

    config_type = X2FaceConfig

    def __init__(self, engine: Engine, *, config: X2FaceConfig, **about: Unpack[About]) -> None:
        self.engine = engine
        self.config = config
        self.spec = MethodSpec.of(
            config, name=NAME, motion="latent", modes=("absolute",), max_sources=config.max_sources, **about
        )

    def encode(self, sources: Sequence[Frame]) -> State:
        """The embedded face of one or several pictures of a person.

        Args:
            sources: Frames `uint8 (h, w, 3)` of `spec.size`; their order does not matter.

        Returns:
            `face (1, 3, h, w)` in [0, 1]; `place (1, 2, h, w)`, where its pixels were in the first
            source; `source_code (1, c)`, the first source's own driving vector. Paint on `face`, and the
            paint moves with it.

        Raises:
            ImageError: None, too many, or not of `spec.size`.
            EngineError: The network returned NaN or infinity.
        """
        planes = to_planes(check_sources(sources, self.spec))
        seen = [self._run("encode", source=one[None]) for one in planes]
        total = np.sum([one["weight"] for one in seen], axis=0)
        face = np.sum([one["unwrapped"] * one["weight"] for one in seen], axis=0) / total
        code = self._run("read", image=planes[:1])["code"]
        return frozen({"face": face.astype(np.float32), "place": seen[0]["place"], "source_code": code})

    def source_motion(self, state: State) -> Latent:
        """The driving vector of the (first) source itself."""
        return Latent(state["source_code"][0])

    def read(self, frames: np.ndarray) -> list[Latent]:
        """The driving vector of each frame.

        Args:
            frames: `uint8 (n, h, w, 3)` of `spec.size`.

        Raises:
            ImageError: Another shape or type.
            EngineError: The network returned NaN or infinity.
        """
        frames = check_batch(frames, self.spec)
        parts = chunks(len(frames), self.engine)
        return [Latent(code) for part in parts for code in self._run("read", image=to_planes(frames[part]))["code"]]

    def render(self, state: State, motions: Sequence[Latent]) -> Rendering:
        """The embedded face performing each driving vector; flows lead to the first source.

        Raises:
            MotionError: No driving vectors of these weights.
            EngineError: The network returned NaN or infinity.
        """
        for motion in motions:
            check_motion(motion, Latent, self.config.driving.widths[-1], weights=self.spec.weights)
        parts = [self._render(state, motions[part]) for part in chunks(len(motions), self.engine)]
        return joined(parts, self.spec.size)

    def _render(self, state: State, motions: Sequence[Latent]) -> Rendering:
        code = np.stack([motion.code for motion in motions])
        out = self._run("render", face=state["face"], place=state["place"], code=code)
        flows = tuple(Flow(grid, self.spec.convention) for grid in out["flow"])
        return Rendering(np.clip(out["planes"], 0.0, 1.0), flows)

    def _run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return run_stage(self.engine, stage, arrays, weights=self.spec.weights)
