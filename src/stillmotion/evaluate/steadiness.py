"""How steady a clip is: whether what moved with the truth looks the same a frame later.

Jitter of landmarks is `scores.shake`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.core.frame import Frame

_FORWARD_BACKWARD = (0.01, 0.5)
"""A flow is trusted where going there and back ends closer than share² · length² + 0.5 pixels²."""

_NONE = np.empty(0, np.float32)
"""OpenCV's second map, where the first holds both coordinates."""


@dataclass(frozen=True, eq=False)
class Step:
    """Motion of the true clip from one frame to the next.

    Attributes:
        back: For each pixel of the later frame, where it was in the earlier one, `float32 (h, w, 2)`, pixels
            from pixel centres.
        kept: Where that can be trusted, `bool (h, w)`.
    """

    back: np.ndarray
    kept: np.ndarray


class StepFinder:
    """Finds steps by OpenCV's dense inverse search, both ways, keeping what both agree on."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def find(self, earlier: Frame, later: Frame) -> Step:
        """The step between two true frames `uint8 (h, w, 3)`, 16 pixels a side at least.

        Raises:
            DataError: The frames are smaller or of different sizes.
        """
        if earlier.shape != later.shape or min(earlier.shape[:2]) < 16:
            raise DataError(f"no flow between frames of {earlier.shape} and {later.shape}", hint="16 pixels or more")
        grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in (earlier, later)]
        back, forth = self._flow(grey[1], grey[0]), self._flow(grey[0], grey[1])
        places = back + _pixels(back.shape[:2])
        returned = cv2.remap(forth, places, _NONE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        gap = ((back + returned) ** 2).sum(-1)
        length = (back**2).sum(-1) + (returned**2).sum(-1)
        share, least = _FORWARD_BACKWARD
        height, width = back.shape[:2]
        inside = ((places >= 0) & (places <= [width - 1, height - 1])).all(-1)
        return Step(places, (gap <= share * length + least) & inside)

    def _flow(self, there: np.ndarray, here: np.ndarray) -> np.ndarray:
        return np.asarray(self._search.calc(there, here, np.zeros((*there.shape, 2), np.float32)))


def _pixels(size: tuple[int, ...]) -> np.ndarray:
    height, width = size[0], size[1]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def warping_error(earlier: Frame, later: Frame, step: Step) -> float:
    """Mean squared difference between a frame and the one before it moved there, colours in [0, 1].

    The motion is that of the true clip, so that an answer that stands still does not pass.

    Args:
        earlier: `uint8 (h, w, 3)`.
        later: The next one.
        step: Between the true frames.

    Returns:
        0 is steady; not a number where the flow is trusted nowhere.

    Source:
        Lai et al. 2018, equation 7; their flow network is replaced by dense inverse search, so that
        values compare within a table alone.
    """
    if not step.kept.any():
        return float("nan")
    moved = cv2.remap(earlier, step.back, _NONE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap = (moved.astype(np.float32) - later) / np.float32(255)
    return float((gap[step.kept] ** 2).mean())
