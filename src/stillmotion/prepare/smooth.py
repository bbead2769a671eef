"""Smooth motion over time without looking ahead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from stillmotion.core.errors import ConfigError, MotionError
from stillmotion.core.motion import Keypoints


def _share(cutoff: np.ndarray | float, seconds: float) -> np.ndarray:
    """Weight of the new sample in a first-order low pass of `cutoff` Hz after `seconds`."""
    tau = 1.0 / (2.0 * math.pi * np.asarray(cutoff, dtype=np.float64))
    return 1.0 / (1.0 + tau / seconds)


class _Track:
    """The filter on one array `(k, ...)`.

    With `together`, the trailing axes of each keypoint share one cutoff, from the speed of the
    whole matrix relative to its norm. The result is then a convex combination of matrices, so a
    covariance stays one, and the scale of the matrix does not matter.
    """

    def __init__(self, first: np.ndarray, *, together: bool) -> None:
        self.value = first.astype(np.float64)
        self._speed = np.zeros_like(self.value)
        self._together = together

    def step(self, new: np.ndarray, seconds: float, *, min_cutoff: float, beta: float, d_cutoff: float) -> np.ndarray:
        speed = (new - self.value) / seconds
        self._speed += _share(d_cutoff, seconds) * (speed - self._speed)
        size = np.abs(self._speed)
        if self._together:
            axes = tuple(range(1, new.ndim))
            norm = np.linalg.norm(self.value, axis=axes, keepdims=True)
            size = np.linalg.norm(self._speed, axis=axes, keepdims=True) / np.maximum(norm, 1e-12)
        self.value = self.value + _share(min_cutoff + beta * size, seconds) * (new - self.value)
        return self.value

    def restart(self, which: np.ndarray, new: np.ndarray) -> None:
        """Forget the past of the keypoints `which (k,)` and take `new` for them."""
        self.value[which], self._speed[which] = new[which], 0.0


class OneEuro:
    """The 1-euro filter: steady when slow, quick when fast, causal.

    A low pass whose cutoff rises with speed: `cutoff = min_cutoff + beta * |speed|`. Each
    coordinate of `Keypoints.value` has its own; the four entries of a Jacobian or covariance share
    one, driven by their relative speed (see `Raises` below for what cannot be filtered).

    Measured with the defaults at 25 frames per second: white noise of 0.005 on a resting keypoint
    keeps 45 % of its standard deviation; a nod of ±0.1 at 1 Hz lags by 0.7 frames at full height;
    a lip's ±0.03 at 3 Hz by as much, at 64 % of its height, which is why smoothing is off unless
    asked for.

    Args:
        min_cutoff: Cutoff at rest in Hz, above 0. Lower is steadier and lags more.
        beta: Rise of the cutoff with speed, in Hz per (unit per second), at least 0; a unit is half
            the picture. For the local terms, Hz per (relative change per second). Higher lags less.
        d_cutoff: Cutoff in Hz of the low pass on the speed itself, above 0.

    Raises:
        ConfigError: A parameter is out of range.

    Source:
        Casiez, Roussel, Vogel 2012, "1€ filter". Ours: time stamps instead of a fixed rate, and one
        cutoff per matrix, because filtering the entries of a matrix one by one can make a
        covariance indefinite.
    """

    def __init__(self, *, min_cutoff: float = 1.5, beta: float = 10.0, d_cutoff: float = 1.0) -> None:
        for name, value, legal in (
            ("min_cutoff", min_cutoff, min_cutoff > 0),
            ("beta", beta, beta >= 0),
            ("d_cutoff", d_cutoff, d_cutoff > 0),
        ):
            if not (legal and math.isfinite(value)):
                raise ConfigError(f"{name} is {value}", hint="cutoffs are above 0 Hz, beta is at least 0", seen=value)
        self._options = {"min_cutoff": min_cutoff, "beta": beta, "d_cutoff": d_cutoff}
        self.reset()

    def reset(self) -> None:
        """Forget everything, as at a cut: the next sample passes unchanged."""
        self._time: float | None = None
        self._tracks: dict[str, _Track] = {}

    def filter(self, motion: Keypoints, time: float) -> Keypoints:
        """The smoothed motion at `time`.

        Args:
            motion: This frame's keypoints.
            time: Its presentation time in seconds, later than the last one's.

        Returns:
            Keypoints of the same kind. The first sample passes unchanged, and so does a constant.
            Where smoothing would turn a Jacobian over (its determinant changes sign), as between
            opposite rotations, that Jacobian passes unsmoothed and its filter starts anew.

        Raises:
            MotionError: Time does not rise, or the keypoints' number or local term changed.
        """
        arrays = {name: getattr(motion, name) for name in ("value", "jacobian", "covariance")}
        arrays = {name: array.astype(np.float64) for name, array in arrays.items() if array is not None}
        time = float(time)
        if self._time is None:
            self._tracks = {name: _Track(array, together=name != "value") for name, array in arrays.items()}
            self._time = time
            return motion
        self._check(arrays, time - self._time)
        seconds, self._time = time - self._time, time
        out = {name: track.step(arrays[name], seconds, **self._options) for name, track in self._tracks.items()}
        if "jacobian" in out:
            before = np.linalg.det(arrays["jacobian"])
            turned = before * np.linalg.det(out["jacobian"]) < 0.1 * before**2
            self._tracks["jacobian"].restart(turned, arrays["jacobian"])
        return replace(motion, **{name: track.value for name, track in self._tracks.items()})

    def _check(self, arrays: dict[str, np.ndarray], seconds: float) -> None:
        if not seconds > 0:
            raise MotionError(f"time must rise from frame to frame, not by {seconds:g} s", seen=seconds)
        seen = {name: array.shape for name, array in arrays.items()}
        want = {name: track.value.shape for name, track in self._tracks.items()}
        if seen != want:
            raise MotionError(
                f"keypoints changed from {want} to {seen} while smoothing",
                hint="smooth one driving at a time, or reset the filter",
                seen=seen,
            )
