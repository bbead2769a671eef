"""Few-shot talking heads' verbs, in numpy, around stages that an engine runs.

Source: Zakharov et al., "Few-Shot Adversarial Learning of Realistic Neural Talking Head Models", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from stillmotion.core.errors import MotionError, NoFaceError
from stillmotion.core.flow import to_normalised
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import About, Engine, MethodSpec, Rendering, State
from stillmotion.core.motion import Keypoints, Landmarks
from stillmotion.core.verbs import check_batch, check_motion, check_sources, chunks, frozen, joined, run_stage
from stillmotion.methods.fewshot.config import FewShotConfig
from stillmotion.methods.fewshot.drawing import Reader, draw_batch, open_reader

NAME = "few-shot"


class FewShot:
    """One few-shot network, loaded.

    Args:
        engine: Runs the stages `encode` and `render`, and `read` where the points are learned keypoints.
        config: What was built.
        **about: Facts about the weights: `weights`, their name, and `crop`, `margin`, `checksum`.

    Attributes:
        reader: Finds landmarks in a frame, where the points are landmarks; None opens our own
            network when the first frame is read.
    """

    config_type = FewShotConfig

    def __init__(self, engine: Engine, *, config: FewShotConfig, **about: Unpack[About]) -> None:
        self.engine = engine
        self.config = config
        self.reader: Reader | None = None
        self.spec = MethodSpec.of(
            config,
            name=NAME,
            motion=config.points.kind,
            modes=("relative", "absolute"),
            max_sources=config.max_sources,
            **about,
        )

    def encode(self, sources: Sequence[Frame]) -> State:
        """The style of one or several pictures of a person.

        Args:
            sources: Frames `uint8 (h, w, 3)` of `spec.size`; their order does not matter.

        Returns:
            `source_value (1, k, 2)`, the first source's points; and `style (1, s)`, the mean over the
            sources, unless the weights are one person's.

        Raises:
            ImageError: None, too many, or not of `spec.size`.
            NoFaceError: A source shows no face, and the points are landmarks.
            EngineError: The network returned NaN or infinity.
        """
        frames = check_sources(sources, self.spec)
        motions = self.read(frames)
        state: State = {"source_value": motions[0].value[None].copy()}
        if not self.config.network.is_personal:
            drawings = self._drawings(motions)
            styles = [
                self._run("encode", source=to_planes(frame[None]), drawing=drawing[None])["style"]
                for frame, drawing in zip(frames, drawings, strict=True)
            ]
            state["style"] = np.stack(styles).mean(axis=0, dtype=np.float64).astype(np.float32)
        return frozen(state)

    def source_motion(self, state: State) -> Keypoints | Landmarks:
        """Points of the (first) source, as `encode` read them."""
        return self._kind(state["source_value"][0])

    def read(self, frames: np.ndarray) -> list[Keypoints] | list[Landmarks]:
        """Points of each frame.

        Args:
            frames: `uint8 (n, h, w, 3)` of `spec.size`.

        Raises:
            ImageError: Another shape or type.
            NoFaceError: A frame shows no face, and the points are landmarks.
            EngineError: The network returned NaN or infinity.
        """
        frames = check_batch(frames, self.spec)
        if self.config.points.kind == "landmarks":
            return [Landmarks(self._landmarks(frame)) for frame in frames]
        parts = chunks(len(frames), self.engine)
        return [Keypoints(v) for part in parts for v in self._run("read", image=to_planes(frames[part]))["value"]]

    def render(self, state: State, motions: Sequence[Keypoints | Landmarks]) -> Rendering:
        """The person with each set of points; painted, not moved, so there are no flows.

        Raises:
            MotionError: Another number or kind of points.
            EngineError: The network returned NaN or infinity.
        """
        for motion in motions:
            check_motion(motion, self._kind, self.config.points.count, weights=self.spec.weights)
            if isinstance(motion, Keypoints) and (motion.jacobian is not None or motion.covariance is not None):
                raise MotionError(
                    f"{self.spec.weights} takes no Jacobians, but the motion comes with them",
                    hint="read the motion with the same weights",
                )
        parts = [self._render(state, motions[part]) for part in chunks(len(motions), self.engine)]
        return joined(parts, self.spec.size)

    @property
    def _kind(self) -> type[Keypoints] | type[Landmarks]:
        return Landmarks if self.config.points.kind == "landmarks" else Keypoints

    def _render(self, state: State, motions: Sequence[Keypoints | Landmarks]) -> Rendering:
        style = {} if self.config.network.is_personal else {"style": state["style"]}
        out = self._run("render", drawing=self._drawings(motions), **style)
        return Rendering(np.clip(out["planes"], 0.0, 1.0), ())

    def _drawings(self, motions: Sequence[Keypoints | Landmarks]) -> np.ndarray:
        values = np.stack([motion.value for motion in motions])
        return draw_batch(values, self.config.size, convention=self.config.convention)

    def _landmarks(self, frame: Frame) -> np.ndarray:
        if self.reader is None:
            self.reader = open_reader()
        found = self.reader(frame)
        if found is None:
            raise NoFaceError(
                f"{self.spec.weights} needs a face, and none was found in a frame",
                hint="crop the picture closer to the face, or use a method that needs no landmarks",
            )
        return np.clip(to_normalised(np.asarray(found) - 0.5, self.spec.size, self.config.convention), -1, 1)

    def _run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return run_stage(self.engine, stage, arrays, weights=self.spec.weights)
