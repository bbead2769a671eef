"""When the face is lost: hold, then fade to rest, and come back without a jump."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from stillmotion.core.motion import Keypoints, Landmarks, Latent

HOLD = 0.6
"""Seconds for which the last motion is held once the face is lost."""
FADE = 1.2
"""Seconds from there to the source's own pose."""
RETURN = 0.4
"""Seconds to come back to the driver."""

MotionType = TypeVar("MotionType", Keypoints, Landmarks, Latent)


def blend(a: MotionType, b: MotionType, share: float) -> MotionType:
    """The motion that is `share` of the way from `a` to `b`, both of the same kind.

    Source: linear in coordinates and Jacobians; poses a short way apart need no more.
    """
    if share <= 0.0 or share >= 1.0:
        return b if share > 0.0 else a
    mixed = {}
    for field in fields(b):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(other, np.ndarray) and isinstance(one, np.ndarray):
            mixed[field.name] = one + (other - one) * np.float32(share)
    return replace(b, **mixed)


class Hold:
    """Decides what is performed at each moment.

    Args:
        rest: What is faded to, such as the motion of the source itself.
        is_following: Begin with the driver, not with a way from rest to it.
    """

    def __init__(self, rest: Keypoints | Landmarks | Latent, *, is_following: bool = False) -> None:
        self._rest = rest
        self._shown = rest
        self._from = rest
        self._since = float("-inf") if is_following else 0.0
        self._is_following = is_following

    @property
    def is_following(self) -> bool:
        """Whether the driver is followed, rather than held or faded."""
        return self._is_following

    def step(self, wanted: Keypoints | Landmarks | Latent | None, time: float) -> Keypoints | Landmarks | Latent:
        """What to perform now.

        Args:
            wanted: What the driver asks for; None while there is no driver to be seen.
            time: Seconds, rising.
        """
        if (wanted is not None) != self._is_following:
            self.restart(time)
            self._is_following = wanted is not None
        spent = time - self._since
        if wanted is not None:
            self._shown = blend(self._from, wanted, spent / RETURN)  # type: ignore[type-var]
        else:
            self._shown = blend(self._from, self._rest, (spent - HOLD) / FADE)  # type: ignore[type-var]
        return self._shown

    def restart(self, time: float) -> None:
        """Go on from what is shown now: after a change of reference or mode, so that nothing jumps."""
        self._from, self._since = self._shown, time
