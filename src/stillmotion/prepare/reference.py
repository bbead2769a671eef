"""Which driving frame to take as rest pose, and how well the poses fit."""

from __future__ import annotations

from collections.abc import Iterable

from stillmotion.core.errors import MotionError
from stillmotion.core.motion import Keypoints, pose_distance

POSE_MISMATCH = 0.15
"""`pose_mismatch` above which a warning is due.

In square roots of the keypoints' hull area, so that 0.1 is a tenth of the object. Chosen on
stand-ins, before there were learned keypoints to measure on. YuNet's five points on the first
frames of 15 GRID clips, all frontal: 0.04 between clips in the median, 0.10 at most, which is what
different faces alone amount to. Ten points on a rigid ellipsoid head (300 draws): 0.15 is a roll of
20 degrees, or a turn or nod of somewhat more than 45.
"""


def pose_mismatch(source: Keypoints, reference: Keypoints) -> float:
    """How far the reference's pose is from the source's, whatever place and size: 0 is the same.

    Raises:
        MotionError: The two do not have the same number of keypoints.

    Source:
        `core.motion.pose_distance`.
    """
    if len(source.value) != len(reference.value):
        raise MotionError(
            f"source has {len(source.value)} keypoints, the driving {len(reference.value)}",
            hint="read both with the same weights",
        )
    return pose_distance(source, reference)


def find_reference(source: Keypoints, motions: Iterable[Keypoints]) -> tuple[int, float]:
    """The driving frame whose pose is closest to the source's.

    Args:
        source: Keypoints of the source image.
        motions: Keypoints of the driving frames, in order; streamed, none is kept.

    Returns:
        `(index, distance)`: the first frame of least `pose_mismatch`, and that mismatch.

    Raises:
        MotionError: No motions, or another number of keypoints.

    Source:
        The best-frame search of Siarohin et al. 2019, on learned keypoints in place of facial
        landmarks: it needs no face and cannot fail to find one.
    """
    best = min(((pose_mismatch(source, motion), index) for index, motion in enumerate(motions)), default=None)
    if best is None:
        raise MotionError("cannot find a reference: the driving has no frames", hint="check the clip")
    return best[1], best[0]


def mismatch_warning(source: Keypoints, reference: Keypoints, *, threshold: float = POSE_MISMATCH) -> str | None:
    """One line for the user where the poses are too far apart for relative motion, else None.

    Args:
        source: Keypoints of the source image.
        reference: Keypoints of the driving frame taken as rest pose.
        threshold: Mismatch up to which nothing is said.

    Raises:
        MotionError: The two do not have the same number of keypoints.
    """
    mismatch = pose_mismatch(source, reference)
    if mismatch <= threshold:
        return None
    return (
        f"the driving's reference pose differs from the source's by {mismatch:.2f} (above {threshold:.2f}): "
        "expect distortions; try --reference auto, or a driving whose head is turned like the source's"
    )
