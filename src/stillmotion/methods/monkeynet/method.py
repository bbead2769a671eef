"""Monkey-Net's verbs, in numpy, around stages that an engine runs.

Source: Siarohin et al., "Animating Arbitrary Objects via Deep Motion Transfer", CVPR 2019.
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
from stillmotion.methods.monkeynet.config import MonkeyNetConfig

NAME = "monkey-net"


class MonkeyNet:
    """One Monkey-Net, loaded.

    Args:
        engine: Runs the stages `encode`, `read`, `render` and, where it was trained, `predict`.
        config: What was built.
        **about: Facts about the weights: `weights`, their name, and `crop`, `margin`, `checksum`.
    """

    config_type = MonkeyNetConfig

    def __init__(self, engine: Engine, *, config: MonkeyNetConfig, **about: Unpack[About]) -> None:
        self.engine = engine
        self.config = config
        self.spec = MethodSpec.of(config, name=NAME, motion="keypoints", modes=("relative", "absolute"), **about)

    def encode(self, sources: Sequence[Frame]) -> State:
        """What depends on the source alone, its keypoints included.

        Args:
            sources: One frame `uint8 (h, w, 3)` of `spec.size`.

        Returns:
            `source (1, 3, h, w)`, the encoder's `level1`, `level2`, …, `source_value (1, k, 2)` and
            `source_covariance (1, k, 2, 2)`; float32 and read-only.

        Raises:
            ImageError: Not one frame, or not of `spec.size`.
            EngineError: The network returned NaN or infinity.
        """
        planes = to_planes(check_sources(sources, self.spec))
        found = self._run("read", image=planes)
        state = {"source": planes} | self._run("encode", source=planes)
        return frozen(state | {f"source_{name}": array for name, array in found.items()})

    def source_motion(self, state: State) -> Keypoints:
        """Keypoints of the source, as `encode` read them."""
        return Keypoints(state["source_value"][0], covariance=state["source_covariance"][0])

    def read(self, frames: np.ndarray) -> list[Keypoints]:
        """Keypoints with covariance of each frame.

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
            pairs = zip(out["value"], out["covariance"], strict=True)
            found += [Keypoints(value, covariance=covariance) for value, covariance in pairs]
        return found

    def render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        """The source performing each motion.

        Args:
            state: From `encode`.
            motions: Transferred keypoints with covariances.

        Raises:
            MotionError: Another number of keypoints, or no covariances.
            EngineError: The network returned NaN or infinity.
        """
        for motion in motions:
            check_motion(motion, Keypoints, self.config.keypoints.count, weights=self.spec.weights)
            if motion.covariance is None:
                has = "with Jacobians" if motion.jacobian is not None else "without them"
                raise MotionError(
                    f"{self.spec.weights} needs covariances, but the motion comes {has}",
                    hint="read the motion with the same weights",
                )
        parts = [self._render(state, motions[part]) for part in chunks(len(motions), self.engine)]
        return joined(parts, self.spec.size)

    def predict(self, motion: Keypoints) -> list[Keypoints]:
        """A motion that could follow from one picture's keypoints: the still image comes alive undriven.

        Args:
            motion: Of the picture, such as `source_motion`.

        Returns:
            Keypoints of `config.prediction.frames` frames, the first as it was given.

        Raises:
            MotionError: These weights were not trained to predict.
            EngineError: The network returned NaN or infinity.
        """
        settings = self.config.prediction
        if not settings.enabled or motion.covariance is None:
            raise MotionError(
                f"{self.spec.weights} cannot predict motion",
                hint="train it first: --set prediction.enabled=true training.stage=prediction --start CHECKPOINT",
            )
        value, covariance = motion.value[None], motion.covariance[None]
        hidden = np.zeros((1, settings.features), np.float32)
        found = [motion]
        for _ in range(settings.frames):
            out = self._run("predict", value=value, covariance=covariance, hidden=hidden)
            hidden = out["next_hidden"]
            spread = out["next_covariance"][0] if settings.predict_covariance else motion.covariance
            found.append(Keypoints(out["next_value"][0], covariance=spread))
            value, covariance = np.zeros_like(value), np.zeros_like(covariance)  # from now on it sees nothing
        return [motion, *found[2:]]  # its word for the frame it was shown is not needed

    def _render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        value = np.stack([m.value for m in motions])
        covariance = np.stack([m.covariance for m in motions if m.covariance is not None])
        out = self._run("render", **state, value=value, covariance=covariance)
        flows = tuple(Flow(grid, self.spec.convention) for grid in out["flow"])
        return Rendering(np.clip(out["planes"], 0.0, 1.0), flows)

    def _run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return run_stage(self.engine, stage, arrays, weights=self.spec.weights)
