"""The first-order method's verbs, in numpy, around three stages that an engine runs.

Source: Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from stillmotion.core.errors import MotionError
from stillmotion.core.flow import Flow
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import About, Engine, MethodSpec, Rendering, State
from stillmotion.core.motion import Keypoints
from stillmotion.core.verbs import check_batch, check_motion, check_sources, chunks, frozen, joined, run_stage
from stillmotion.methods.firstorder.config import FirstOrderConfig

NAME = "first-order"


class FirstOrder:
    """One first-order network, loaded.

    Args:
        engine: Runs the stages `encode`, `read` and `render`.
        config: What was built.
        **about: Facts about the weights: `weights`, their name, and `crop`, `margin`, `checksum`.
    """

    config_type = FirstOrderConfig

    def __init__(self, engine: Engine, *, config: FirstOrderConfig, **about: Unpack[About]) -> None:
        self.engine = engine
        self.config = config
        self.spec = MethodSpec.of(config, name=NAME, motion="keypoints", modes=("relative", "absolute"), **about)

    def encode(self, sources: Sequence[Frame]) -> State:
        """What depends on the source alone, its keypoints included.

        Args:
            sources: One frame `uint8 (h, w, 3)` of `spec.size`.

        Returns:
            `features (1, c, h', w')`, `small (1, 3, h'', w'')`, `source_value (1, k, 2)`,
            `source_jacobian (1, k, 2, 2)` for a first-order network, and `source (1, 3, h, w)` for
            a compositing one; all float32 and read-only.

        Raises:
            ImageError: Not one frame, or not of `spec.size`.
            EngineError: The network returned NaN or infinity.
        """
        planes = to_planes(check_sources(sources, self.spec))
        state = dict(self._run("encode", source=planes))
        state |= {f"source_{name}": array for name, array in self._run("read", image=planes).items()}
        if self.config.generator.composite:
            state["source"] = planes
        return frozen(state)

    def repainted(self, state: State, picture: Frame) -> State:
        """The same source, but a compositing network takes its pixels from another picture.

        Args:
            state: From `encode`.
            picture: `uint8 (h, w, 3)` of `spec.size`: the source with a small change, such as shut eyes.
        """
        if not self.config.generator.composite:
            return state
        return frozen(dict(state, source=to_planes(check_sources([picture], self.spec))))

    def source_motion(self, state: State) -> Keypoints:
        """Keypoints of the source, as `encode` read them."""
        jacobian = state.get("source_jacobian")
        return Keypoints(state["source_value"][0], None if jacobian is None else jacobian[0])

    def read(self, frames: np.ndarray) -> list[Keypoints]:
        """Keypoints of each frame.

        Args:
            frames: `uint8 (n, h, w, 3)` of `spec.size`.

        Raises:
            ImageError: Another shape or type.
            EngineError: The network returned NaN or infinity.
        """
        frames = check_batch(frames, self.spec)
        found: list[Keypoints] = []
        for part in chunks(len(frames), self.engine):
            out = self._run("read", image=to_planes(frames[part]))
            jacobians = out.get("jacobian")
            for i, value in enumerate(out["value"]):
                found.append(Keypoints(value, None if jacobians is None else jacobians[i]))
        return found

    def render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        """The source performing each motion.

        Args:
            state: From `encode`.
            motions: Transferred keypoints, with Jacobians if the network has them.

        Returns:
            Planes `(n, 3, h, w)` in [0, 1], and each frame's flow with the grid convention of the
            weights and the occlusion map where there is one.

        Raises:
            MotionError: Another number of keypoints, or no Jacobians where they are needed.
            EngineError: The network returned NaN or infinity.
        """
        for motion in motions:
            self._check_motion(motion)
        parts = [self._render(state, motions[part]) for part in chunks(len(motions), self.engine)]
        return joined(parts, self.spec.size)

    def _render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        arrays = dict(state, value=np.stack([m.value for m in motions]))
        if self.config.keypoints.jacobian:
            arrays["jacobian"] = np.stack([m.jacobian for m in motions if m.jacobian is not None])
        out = self._run("render", **arrays)
        occlusion = out.get("occlusion")
        flows = tuple(
            Flow(grid, self.spec.convention, None if occlusion is None else occlusion[i, 0])
            for i, grid in enumerate(out["flow"])
        )
        return Rendering(np.clip(out["planes"], 0.0, 1.0), flows)

    def _run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return run_stage(self.engine, stage, arrays, weights=self.spec.weights)

    def _check_motion(self, motion: Keypoints) -> None:
        check_motion(motion, Keypoints, self.config.keypoints.count, weights=self.spec.weights)
        if self.config.keypoints.jacobian != (motion.jacobian is not None):
            need, has = ("needs", "without") if self.config.keypoints.jacobian else ("takes no", "with")
            raise MotionError(
                f"{self.spec.weights} {need} Jacobians, but the motion comes {has} them",
                hint="read the motion with the same weights",
            )
