"""AKD, MKR and AED, each in two forms that are never mixed.

`paper` is what the published scripts compute, with their quirks; `exact` is what their names say:
Euclidean distances, and every detection that is missing counted. Numbers of papers can only be
compared with `paper`.

Points are `float (t, k, 2)` in pixels, not a number where nothing was detected. Every function
returns one value per frame or point, so that means can be taken over any number of clips.

Source: the formulas of Siarohin et al. 2019, section 4.1, and their published scripts, read as
text: AKD of faces averages |dx| and |dy| over coordinates and passes over frames without a face in
the answer; AKD of bodies does so over the joints present in both; AED is a squared distance.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from stillmotion.core.errors import DataError

Kind: TypeAlias = Literal["faces", "bodies"]
"""Which of the published scripts: `faces` have all their points or none, `bodies` may lack some."""


def check_pair(found: np.ndarray, truth: np.ndarray, *, what: str) -> None:
    """See that two clips can be compared frame by frame.

    Raises:
        DataError: They have different lengths, or another number of values a frame.
    """
    if len(found) != len(truth):
        raise DataError(
            f"{what}: {len(found)} frames cannot be scored against {len(truth)}",
            hint="give clips of the same frames; nothing is cut to fit",
            seen=(len(found), len(truth)),
        )
    if found.shape[1:] != truth.shape[1:]:
        raise DataError(
            f"{what}: {found.shape[1:]} values a frame cannot be scored against {truth.shape[1:]}",
            hint="use one detector and one embedder for both",
            seen=(found.shape, truth.shape),
        )


def present(points: np.ndarray) -> np.ndarray:
    """Which points were detected, `bool (t, k)`."""
    out: np.ndarray = np.isfinite(points).all(-1)
    return out


def akd_paper(found: np.ndarray, truth: np.ndarray, *, kind: Kind = "faces") -> np.ndarray:
    """Mean |difference| per coordinate of the frames that the published script looks at.

    Args:
        found: Points in the answer, `(t, k, 2)`.
        truth: Points in the true frames.
        kind: Which script.

    Returns:
        `(n,)`, at most `t`: frames without a common point are passed over.

    Raises:
        DataError: Other lengths or layouts, or `faces` and a true frame without a face, where that
            script stops.
    """
    check_pair(found, truth, what="AKD")
    if kind == "faces" and not present(truth).all():
        frame = int(np.flatnonzero(~present(truth).all(1))[0])
        raise DataError(
            f"the true frame {frame} shows no face, where the published script stops",
            hint="the exact form counts such frames",
            frame=frame,
        )
    both = present(found) & present(truth)
    gap = np.abs(np.where(both[..., None], found - truth, 0)).mean(-1)
    used = both.any(1)
    out: np.ndarray = gap.sum(1)[used] / both.sum(1)[used]
    return out


def akd_exact(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distances of all points detected in both, `(n,)` pixels.

    What was not detected is counted by `mkr_exact`, which belongs beside it.

    Args:
        found: Points in the answer, `(t, k, 2)`.
        truth: Points in the true frames.

    Raises:
        DataError: Other lengths or layouts.
    """
    check_pair(found, truth, what="AKD")
    both = present(found) & present(truth)
    out: np.ndarray = np.linalg.norm(found[both] - truth[both], axis=-1)
    return out


def mkr_paper(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of a true frame's points that the answer lacks, `(n,)` for the frames that have any.

    Args:
        found: Points in the answer, `(t, k, 2)`.
        truth: Points in the true frames.

    Raises:
        DataError: Other lengths or layouts.
    """
    check_pair(found, truth, what="MKR")
    there = present(truth)
    used = there.any(1)
    missing = there & ~present(found)
    out: np.ndarray = missing.sum(1)[used] / there.sum(1)[used]
    return out


def mkr_exact(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether the answer lacks it, for each true point, `float (n,)`: every point counts alike.

    Args:
        found: Points in the answer, `(t, k, 2)`.
        truth: Points in the true frames.

    Raises:
        DataError: Other lengths or layouts.
    """
    check_pair(found, truth, what="MKR")
    out: np.ndarray = (~present(found))[present(truth)].astype(np.float64)
    return out


def aed_paper(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared distance of embeddings `(t, d)`, frame by frame, no square root: `(t,)`.

    Raises:
        DataError: Other lengths or another embedder.
    """
    check_pair(found, truth, what="AED")
    out: np.ndarray = ((np.asarray(found, np.float64) - truth) ** 2).sum(1)
    return out


def aed_exact(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distance of embeddings `(t, d)`, frame by frame: `(t,)`; raises as `aed_paper`."""
    return np.sqrt(aed_paper(found, truth))
