"""Motion: what one driving frame says, independent of the source, and how it is transferred.

`transfer` is a pure function, here and nowhere else: every command, and every method whose motion
is keypoints, calls it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from stillmotion.core.errors import MotionError

BARELY_OPEN = 0.12
"""Least openness of eyes at rest, so that a driver who rests with shut eyes opens nothing that is open already."""

Mode: TypeAlias = Literal["relative", "absolute"]


def _checked(name: str, array: np.ndarray, tail: tuple[int | None, ...]) -> np.ndarray:
    out = np.asarray(array, dtype=np.float32)
    if out.ndim != len(tail) or any(want not in (None, got) for want, got in zip(tail, out.shape, strict=True)):
        want = tuple("k" if n is None else n for n in tail)
        raise MotionError(f"{name} must have shape {want}, not {out.shape}", seen=out.shape)
    if not np.isfinite(out).all():
        raise MotionError(f"{name} holds NaN or infinity", hint="the weights or the input may be damaged")
    out = out.copy()
    out.setflags(write=False)
    return out


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Learned keypoints with at most one local term.

    Attributes:
        value: `float32 (k, 2)`, `(x, y)`, nominally in [-1, 1]; transferred points may leave it.
        jacobian: `float32 (k, 2, 2)` local affine map (first order), or None.
        covariance: `float32 (k, 2, 2)` spread of each keypoint (Monkey-Net), or None.
        lids: `float32 (2,)` how open the subject's right and left eye are, gap over width, 0 is shut; None where
            nobody looked. See `prepare.lids`.

    Raises:
        MotionError: Wrong shape, not finite, or both local terms at once.
    """

    value: np.ndarray
    jacobian: np.ndarray | None = None
    covariance: np.ndarray | None = None
    lids: np.ndarray | None = None

    def __post_init__(self) -> None:
        value = _checked("keypoints.value", self.value, (None, 2))
        object.__setattr__(self, "value", value)
        if self.jacobian is not None and self.covariance is not None:
            raise MotionError("keypoints carry a jacobian or a covariance, not both")
        for name in ("jacobian", "covariance"):
            term = getattr(self, name)
            if term is not None:
                object.__setattr__(self, name, _checked(f"keypoints.{name}", term, (len(value), 2, 2)))
        if self.lids is not None:
            object.__setattr__(self, "lids", _checked("keypoints.lids", self.lids, (2,)))


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Named points on a face or body: `value (k, 2)` in [-1, 1], `visible (k,)` in [0, 1] or None."""

    value: np.ndarray
    visible: np.ndarray | None = None

    def __post_init__(self) -> None:
        value = _checked("landmarks.value", self.value, (None, 2))
        object.__setattr__(self, "value", value)
        if self.visible is not None:
            object.__setattr__(self, "visible", _checked("landmarks.visible", self.visible, (len(value),)))


@dataclass(frozen=True, eq=False)
class Latent:
    """A learned code without coordinates: `code (n,)`."""

    code: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", _checked("latent.code", self.code, (None,)))


Motion: TypeAlias = Keypoints | Landmarks | Latent


def hull_area(points: np.ndarray) -> float:
    """Area of the convex hull of `(k, 2)` points; 0 for fewer than three or collinear ones.

    Source: Andrew's monotone chain (1979) and the shoelace formula.
    """
    ordered = sorted(map(tuple, np.asarray(points, dtype=np.float64).tolist()))
    if len(ordered) < 3:
        return 0.0

    def half(sequence: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
        chain: list[tuple[float, ...]] = []
        for p in sequence:
            while len(chain) >= 2:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 0:
                    break
                chain.pop()
            chain.append(p)
        return chain[:-1]

    hull = np.array(half(ordered) + half(ordered[::-1]))
    x, y = hull[:, 0], hull[:, 1]
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def movement_scale(source: Keypoints, reference: Keypoints) -> float:
    """How much larger the source is than the driver: square root of the ratio of hull areas.

    Returns 1 when either hull is degenerate.

    Source: the published animation script of Siarohin et al. 2019 ("adapt movement scale").
    """
    ours, theirs = hull_area(source.value), hull_area(reference.value)
    if min(ours, theirs) < 1e-8:
        return 1.0
    return float(np.sqrt(ours) / np.sqrt(theirs))


def pose_distance(a: Keypoints, b: Keypoints) -> float:
    """How far two poses are apart, whatever their place and size: 0 is the same pose.

    Mean distance between keypoints after removing the mean and dividing by the square root of the
    hull area. Source: the published best-frame search of Siarohin et al. 2019, on learned
    keypoints instead of facial landmarks, so that it works for any category.
    """

    def normalised(motion: Keypoints) -> np.ndarray:
        centred = motion.value - motion.value.mean(axis=0)
        return centred / max(np.sqrt(hull_area(centred)), 1e-4)

    return float(np.linalg.norm(normalised(a) - normalised(b), axis=1).mean())


def _regular(matrices: np.ndarray) -> np.ndarray:
    """Push near-singular 2×2 matrices off singularity, so that their inverse stays finite."""
    det = np.linalg.det(matrices)
    bad = np.abs(det) < 1e-6
    if not bad.any():
        return matrices
    return np.where(bad[:, None, None], matrices + 1e-3 * np.eye(2), matrices)


def _times_inverse(driving: np.ndarray, reference: np.ndarray, source: np.ndarray) -> np.ndarray:
    d, r, s = (a.astype(np.float64) for a in (driving, reference, source))
    return d @ np.linalg.inv(_regular(r)) @ s


def transfer(
    source: Motion,
    driving: Motion,
    reference: Motion,
    *,
    mode: Mode = "relative",
    scale: float | None = None,
) -> Motion:
    """The motion that the source should perform.

    Args:
        source: Motion of the source image.
        driving: Motion of the current driving frame.
        reference: Motion of the driving frame taken as rest pose.
        mode: `absolute` copies the driving motion; `relative` adds its change since the
            reference to the source's own: `value = (d - r) · scale + s`, `jacobian = J_d J_r⁻¹ J_s`
            (for a covariance, the same product, symmetrised). Eyes shut by the share by which the driver's
            do. A latent code has no coordinates to move in, so it can only be copied.
        scale: Factor on the change of `value`; None takes `movement_scale(source, reference)`.

    Raises:
        MotionError: The three do not have the same number of keypoints or the same local term, or
            latent codes were to be moved relatively.

    Source:
        Siarohin et al. 2019, section 3.3 and the published animation script. Singular reference
        Jacobians are nudged off singularity rather than inverted to infinity.
    """
    _check_alike(source, driving, reference)
    if mode == "absolute":
        return driving
    if mode != "relative":
        raise MotionError(f"unknown transfer mode {mode!r}", hint="use relative or absolute")
    if driving is reference:  # the rest pose itself: exactly the source, no rounding
        return source
    if isinstance(source, Keypoints) and isinstance(driving, Keypoints) and isinstance(reference, Keypoints):
        return _moved(source, driving, reference, movement_scale(source, reference) if scale is None else scale)
    if isinstance(source, Landmarks) and isinstance(driving, Landmarks) and isinstance(reference, Landmarks):
        plain = [Keypoints(m.value) for m in (source, driving, reference)]
        factor = movement_scale(plain[0], plain[2]) if scale is None else scale
        return Landmarks(_moved(plain[0], plain[1], plain[2], factor).value, driving.visible)
    raise MotionError("a latent code cannot be moved relative to another", hint="use absolute motion")


def _check_alike(*parts: Motion) -> None:
    """Three motions of one kind, size and local term."""
    if len({type(part) for part in parts}) != 1:
        seen = ", ".join(type(part).__name__ for part in parts)
        raise MotionError(
            f"source, driving and reference are motion of different kinds: {seen}",
            hint="read all three with the same weights",
        )
    shapes = [(part.code if isinstance(part, Latent) else part.value).shape for part in parts]
    terms = {(p.jacobian is None, p.covariance is None) for p in parts if isinstance(p, Keypoints)}
    if len(set(shapes)) != 1 or len(terms) > 1:
        word = {Keypoints: "keypoints", Landmarks: "landmarks", Latent: "codes"}[type(parts[0])]
        raise MotionError(
            f"source, driving and reference {word} do not match: " + ", ".join(f"{s[0]} {word}" for s in shapes),
            hint="read all three with the same weights",
        )


def _moved(source: Keypoints, driving: Keypoints, reference: Keypoints, factor: float) -> Keypoints:
    value = (driving.value - reference.value) * np.float32(factor) + source.value
    out = replace(source, value=value)
    if source.lids is not None and driving.lids is not None and reference.lids is not None:
        share = driving.lids / np.maximum(reference.lids, BARELY_OPEN)
        out = replace(out, lids=source.lids * np.clip(share, 0, 1))
    if source.jacobian is not None and driving.jacobian is not None and reference.jacobian is not None:
        return replace(out, jacobian=_times_inverse(driving.jacobian, reference.jacobian, source.jacobian))
    if source.covariance is not None and driving.covariance is not None and reference.covariance is not None:
        product = _times_inverse(driving.covariance, reference.covariance, source.covariance)
        symmetric = (product + np.swapaxes(product, 1, 2)) / 2
        values, vectors = np.linalg.eigh(symmetric)
        clamped = (vectors * np.maximum(values, 1e-6)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        return replace(out, covariance=clamped)
    return out
