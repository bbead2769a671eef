"""How far mouth and eyes open in a driving, for the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillmotion.prepare.faces import Face
from stillmotion.prepare.landmarks import Landmarker, openness
from stillmotion.session.driving import Moment


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


class ExpressionWatch:
    """Looks at the faces of moments that pass by.

    Args:
        landmarker: Finds them.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker
        self._mouth: list[float] = []
        self._eyes: list[float] = []

    def watch(self, moments: Iterable[Moment]) -> Iterator[Moment]:
        """The moments themselves; those without a picture or a face are not counted."""
        face: Face | None = None
        for moment in moments:
            if moment.picture is not None:
                face = self._landmarker.track(moment.picture, face)
                if face is not None and face.landmarks is not None:
                    seen = openness(face.landmarks)
                    self._mouth.append(seen.mouth)
                    self._eyes.append((seen.right_eye + seen.left_eye) / 2)
            yield moment

    def facts(self) -> dict[str, Any]:
        """`mouth` and `eyes` as a `Report` takes them; empty where no face was seen."""
        if not self._mouth:
            return {}
        return {"mouth": Opening.of(self._mouth), "eyes": Opening.of(self._eyes)}
