"""Driving X2Face by head pose or by sound: linear maps on the driving vector, fitted, nothing retrained.

Source: Wiles, Koepke, Zisserman, ECCV 2018, sections 4.2 and 4.3, and the released demos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillmotion.core.errors import MotionError
from stillmotion.core.motion import Latent


@dataclass(frozen=True, eq=False)
class LinearMap:
    """`weight @ x + bias`: `weight (m, n)`, `bias (m,)`."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """`(n,)` to `(m,)`."""
        return self.weight @ np.asarray(x, dtype=np.float64) + self.bias

    @classmethod
    def fit(cls, inputs: np.ndarray, outputs: np.ndarray, *, ridge: float = 1e-3) -> LinearMap:
        """Ridge regression of `outputs (s, m)` on `inputs (s, n)`; the bias is not shrunk.

        Raises:
            MotionError: Another number of inputs than outputs, or fewer than two.
        """
        inputs, outputs = (np.asarray(a, dtype=np.float64) for a in (inputs, outputs))
        if len(inputs) != len(outputs) or len(inputs) < 2:
            raise MotionError(f"{len(inputs)} inputs and {len(outputs)} outputs do not make pairs to fit a map on")
        centre, aim = inputs.mean(axis=0), outputs.mean(axis=0)
        x, y = inputs - centre, outputs - aim
        scale = ridge * max(float(np.trace(x.T @ x)) / x.shape[1], 1e-12)
        weight = np.linalg.solve(x.T @ x + scale * np.eye(x.shape[1]), x.T @ y).T
        return cls(weight, aim - weight @ centre)


@dataclass(frozen=True, eq=False)
class PoseEdit:
    """Sets the head pose of a driving vector and leaves the rest of it.

    Attributes:
        read: Driving vector to pose: three angles in radians.
        write: Pose to driving vector.
    """

    read: LinearMap
    write: LinearMap

    @classmethod
    def fit(cls, codes: np.ndarray, poses: np.ndarray) -> PoseEdit:
        """From driving vectors `(s, c)` and the head poses `(s, 3)` in radians of the same frames."""
        return cls(LinearMap.fit(codes, poses), LinearMap.fit(poses, codes))

    def __call__(self, motion: Latent, pose: np.ndarray) -> Latent:
        """The motion in another pose `(3,)`: `v − B(P(v)) + B(p)`. Its own pose leaves it as it is."""
        code = motion.code.astype(np.float64)
        return Latent(code - self.write(self.read(code)) + self.write(pose))


@dataclass(frozen=True, eq=False)
class AudioEdit:
    """Moves the mouth of a picture to a sound.

    Attributes:
        hear: Audio features of a moment to driving vector.
        pose: Keeps the head where it is; None lets the sound move it.
    """

    hear: LinearMap
    pose: PoseEdit | None = None

    def __call__(self, source: Latent, first: np.ndarray, now: np.ndarray) -> Latent:
        """The source's vector at this moment.

        Args:
            source: Driving vector of the source picture.
            first: Features of the sound that belongs to it.
            now: Features of the present sound; the same as `first` leave the source as it is.
        """
        moved = source.code + self.hear(now) - self.hear(first)
        if self.pose is None:
            return Latent(moved)
        own, other = self.pose.read(source.code), self.pose.read(moved)
        return Latent(moved + self.pose.write(own) - self.pose.write(other))
