"""Blinks of an animated photo: its lids follow the driver's."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

from stillmotion import weights
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method, State
from stillmotion.core.motion import Keypoints, Motion
from stillmotion.prepare.faces import main_face
from stillmotion.prepare.lids import EyeReader, Lids, knows_lids, shutting
from stillmotion.runtime import Bundle, open_engine
from stillmotion.session.faces import open_landmarker

LEAST_OPEN = 0.12
"""Openness of the photo's eyes below which there is nothing to shut."""
STEPS = 16
"""Eyes are shut in so many steps, so that a photo whose lids rest is not painted anew for every frame."""

AnyMotion = TypeVar("AnyMotion", bound=Motion)


@runtime_checkable
class Repaintable(Protocol):
    """A method that can take its pixels from another picture than the one it has encoded."""

    def repainted(self, state: State, picture: Frame) -> State:
        """See `FirstOrder.repainted`."""
        ...


def open_eyes(method: Method) -> EyeReader | None:
    """What says how open eyes are in frames that a method reads; None where its weights do not know where eyes are.

    Raises:
        WeightsError: The shipped weights are missing or damaged.
    """
    if not (isinstance(method, Repaintable) and knows_lids(method.spec.marks)):
        return None
    bundle = Bundle.open(weights.LIDS, method=weights.LIDS.name)
    return EyeReader(open_engine(bundle, threads=1), method.spec.marks)


def seen(eyes: EyeReader | None, motion: AnyMotion, frame: Frame) -> AnyMotion | Keypoints:
    """The motion of a frame, with how open its eyes are where somebody can look."""
    return eyes.see(motion, frame) if eyes is not None and isinstance(motion, Keypoints) else motion


class Blink:
    """Shuts the eyes of an encoded photo.

    Args:
        method: That encoded it.
        state: What it made of it.
        own: The photo's own motion, with `lids`.
        lids: Of the photo.
    """

    def __init__(self, method: Repaintable, state: State, own: Keypoints, lids: Lids) -> None:
        self._method, self._plain, self._own, self._lids = method, state, own, lids
        self._last = (0, 0), state

    def state(self, motion: Motion) -> State:
        """What to render a transferred motion from."""
        if not isinstance(motion, Keypoints) or motion.lids is None or self._own.lids is None:
            return self._plain
        right, left = (round(float(share) * STEPS) for share in shutting(motion.lids, self._own.lids))
        if (right, left) == (0, 0):
            return self._plain
        if (right, left) != self._last[0]:
            picture = self._lids.shut(right / STEPS, left / STEPS)
            self._last = (right, left), self._method.repainted(self._plain, picture)
        return self._last[1]


def open_blink(method: Method, state: State, own: Motion, photo: Frame) -> Blink | None:
    """What shuts the eyes of a photo; None where that cannot be: nobody looked, no face, or eyes that are shut.

    Args:
        method: That encoded the photo.
        state: What it made of it.
        own: The photo's own motion; see `seen`.
        photo: `uint8 (h, w, 3)` of the method's size.

    Raises:
        WeightsError: The shipped weights are missing or damaged.
    """
    if not (isinstance(method, Repaintable) and isinstance(own, Keypoints) and own.lids is not None):
        return None
    if own.lids.mean() < LEAST_OPEN:
        return None
    landmarker = open_landmarker(threads=1)
    face = main_face(landmarker.find(photo))
    return None if face is None else Blink(method, state, own, Lids(photo, landmarker.refine(photo, face)))
