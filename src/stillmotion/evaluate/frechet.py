"""Fréchet distance between two sets of features, each taken as one Gaussian."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stillmotion.core.errors import DataError

DRAWS = 200
"""Resamplings of the clips for an interval."""
WIDEST = 512
"""Features wider than this get no interval: each resampling would take seconds."""


def frechet(found: np.ndarray, truth: np.ndarray) -> float:
    """Squared Fréchet distance of two Gaussians fitted to features.

    The root's trace is the sum of the singular values of the product of both centred feature
    matrices: the same number as by the root of the covariances' product, and never complex.

    Args:
        found: Features of the answers, `(n, d)`, n at least 2.
        truth: Features of the true frames, `(m, d)`.

    Raises:
        DataError: Another width, or fewer than two rows.

    Source:
        Dowson & Landau 1982; Heusel et al. 2017 for features of pictures.
    """
    if found.ndim != 2 or truth.ndim != 2 or found.shape[1] != truth.shape[1]:
        raise DataError(f"features {found.shape} and {truth.shape} are not of one network", hint="use one for both")
    if min(len(found), len(truth)) < 2:
        raise DataError("a Fréchet distance needs two frames or more", hint="score longer clips")
    centred = [_centred(side) for side in (found, truth)]
    offset = np.asarray(found, np.float64).mean(0) - truth.mean(0)
    spread = sum(float((side**2).sum()) for side in centred)
    product = _product(*centred)
    return float(max(offset @ offset + spread - 2 * np.linalg.svd(product, compute_uv=False).sum(), 0.0))


def _centred(features: np.ndarray) -> np.ndarray:
    rows = np.asarray(features, np.float64)
    out: np.ndarray = (rows - rows.mean(0)) / np.sqrt(len(rows) - 1)
    return out


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A matrix with the singular values of `a bᵀ`, no side longer than the features are wide."""
    return _shortened(a) @ _shortened(b).T


def _shortened(rows: np.ndarray) -> np.ndarray:
    """The triangular factor where there are more rows than columns."""
    out: np.ndarray = np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > rows.shape[1] else rows
    return out


def frechet_interval(found: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> tuple[float, float, float] | None:
    """The distance over all clips with its 95 % bootstrap interval, clips drawn in pairs.

    Args:
        found: Features of the answers, `(n_i, d)` a clip.
        truth: Those of the same clips' true frames.

    Returns:
        Value and ends; the ends are not a number for one clip or features wider than `WIDEST`.
        None for no clips. The distance is biased upwards for few frames, and so are resamplings.
    """
    if not found:
        return None
    value = frechet(np.concatenate(found), np.concatenate(truth))
    if len(found) < 2 or found[0].shape[1] > WIDEST:
        return value, float("nan"), float("nan")
    draws = np.random.default_rng(0).integers(0, len(found), (DRAWS, len(found)))
    values = [
        frechet(np.concatenate([found[i] for i in pick]), np.concatenate([truth[i] for i in pick])) for pick in draws
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return value, float(low), float(high)
