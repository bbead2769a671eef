"""The faces in a driving as it passes by: for the report, and for the search of a rest pose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from stillmotion.core.frame import Frame
from stillmotion.core.motion import Keypoints
from stillmotion.prepare.faces import Face, main_face
from stillmotion.prepare.landmarks import Landmarker, openness
from stillmotion.prepare.reference import find_reference

LEAST_SEEN = 0.5
"""Share of a driving's frames that must show a face for its landmarks to choose the rest pose."""


class Pictured(Protocol):
    """What has a picture, such as a `Moment`."""

    @property
    def picture(self) -> Frame | None: ...


Item = TypeVar("Item", bound=Pictured)


@dataclass(frozen=True)
class Opening:
    """How open something is over a clip, as `prepare.landmarks.openness` measures it.

    Attributes:
        least: In the frame where it is the most shut.
        median: Of all frames with a face.
        most: In the frame where it is the most open.
    """

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Opening:
        """Of one value per frame, at least one, rounded to what can be measured."""
        least, median, most = (round(float(np.quantile(values, share)), 3) for share in (0.0, 0.5, 1.0))
        return cls(least, median, most)


class FaceWatch:
    """Looks at the faces of moments that pass by.

    Args:
        landmarker: Finds them.

    Attributes:
        marks: Landmarks `(68, 2)` of each moment so far, None where it has no picture or no face.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        self.marks: list[np.ndarray | None] = []
        self._landmarker = landmarker

    def watch(self, moments: Iterable[Item]) -> Iterator[Item]:
        """The moments themselves."""
        face: Face | None = None
        for moment in moments:
            face = self._landmarker.track(moment.picture, face) if moment.picture is not None else None
            self.marks.append(face.landmarks if face is not None else None)
            yield moment

    def facts(self) -> dict[str, Any]:
        """`mouth` and `eyes` as a `Report` takes them; empty where no face was seen."""
        seen = [openness(points) for points in self.marks if points is not None]
        if not seen:
            return {}
        eyes = [(one.right_eye + one.left_eye) / 2 for one in seen]
        return {"mouth": Opening.of([one.mouth for one in seen]), "eyes": Opening.of(eyes)}

    def closest(self, picture: Frame) -> int | None:
        """The moment whose face is turned most like the one in `picture`; None where faces are missing."""
        face = main_face(self._landmarker.find(picture))
        seen = [(index, points) for index, points in enumerate(self.marks) if points is not None]
        if face is None or face.landmarks is None or len(seen) < LEAST_SEEN * max(len(self.marks), 1):
            return None
        best, _ = find_reference(_as_keypoints(face.landmarks), (_as_keypoints(points) for _, points in seen))
        return seen[best][0]


def _as_keypoints(points: np.ndarray) -> Keypoints:
    """Landmarks in a unit of no matter: only their shape is compared."""
    return Keypoints(value=np.asarray(points / 128 - 1, dtype=np.float32))
