"""The three-network generator's verbs, in numpy, around three stages that an engine runs.

Source: source text 002 of this project's requirements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import About, Engine, MethodSpec, Rendering, State
from stillmotion.core.motion import Latent
from stillmotion.core.verbs import check_batch, check_motion, check_sources, chunks, frozen, joined, run_stage
from stillmotion.methods.trinet.config import TriNetConfig

NAME = "trinet"


class TriNet:
    """One three-network generator, loaded.

    Args:
        engine: Runs the stages `encode`, `read` and `render`.
        config: What was built.
        **about: Facts about the weights: `weights`, their name, and `crop`, `margin`, `checksum`.
    """

    config_type = TriNetConfig

    def __init__(self, engine: Engine, *, config: TriNetConfig, **about: Unpack[About]) -> None:
        self.engine = engine
        self.config = config
        self.spec = MethodSpec.of(
            config, name=NAME, motion="latent", modes=("absolute",), max_sources=config.max_sources, **about
        )

    def encode(self, sources: Sequence[Frame]) -> State:
        """Who it is: the mean identity vector of one or several pictures.

        Args:
            sources: Frames `uint8 (h, w, 3)` of `spec.size`; their order does not matter.

        Returns:
            `identity (1, c)`, and `source_code (1, c')`, the first source's own driving vector.

        Raises:
            ImageError: None, too many, or not of `spec.size`.
            EngineError: The network returned NaN or infinity.
        """
        planes = to_planes(check_sources(sources, self.spec))
        seen = [self._run("encode", source=one[None])["identity"] for one in planes]
        identity = np.stack(seen).mean(axis=0, dtype=np.float64).astype(np.float32)
        code = self._run("read", image=planes[:1])["code"]
        return frozen({"identity": identity, "source_code": code})

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
        """The person at each driving vector; painted, not moved, so there are no flows.

        Raises:
            MotionError: No driving vectors of these weights.
            EngineError: The network returned NaN or infinity.
        """
        for motion in motions:
            check_motion(motion, Latent, self.config.network.driving, weights=self.spec.weights)
        parts = [self._render(state, motions[part]) for part in chunks(len(motions), self.engine)]
        return joined(parts, self.spec.size)

    def _render(self, state: State, motions: Sequence[Latent]) -> Rendering:
        code = np.stack([motion.code for motion in motions])
        out = self._run("render", identity=state["identity"], code=code)
        return Rendering(np.clip(out["planes"], 0.0, 1.0), ())

    def _run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return run_stage(self.engine, stage, arrays, weights=self.spec.weights)
