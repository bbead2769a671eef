"""Where the face is: two detectors, one convention for the box.

All boxes follow YuNet's convention: from the hairline to the chin and from temple to temple, so
that the same margin means the same crop whichever detector found the face.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from cv2.data import haarcascades

from stillmotion.core.errors import WeightsError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.prepare.resize import resize_frame

FACE_MODEL_VARIABLE = "STILLMOTION_FACE_MODEL"
"""Environment variable with the path of the YuNet file, in place of what is the default."""

YUNET_SIDES = (640, 1280, 320)
"""Longer side, in pixels, at which YuNet looks; the next one only where the last found nothing.

640 suits faces of a tenth to nine tenths of the picture. 1280 is for small faces in large
pictures, 320 for faces that fill the picture. Pictures are never enlarged. Measured on GRID and
the astronaut portrait: the height of the box varies by ±6 % with the side, without a trend.
"""

HAAR_SIDES = (480, 1280)
"""Longer sides at which Haar looks, in pixels: all passes at the first, then the surest one, for
small faces in large pictures, at the second. Its cost grows with the area."""

HAAR_LEAST = 256
"""Pictures with a shorter side below this are enlarged for Haar, whose window is 20 to 24 pixels."""


@dataclass(frozen=True)
class Face:
    """One face found in a frame.

    Attributes:
        box: `(x, y, w, h)` in pixels of the frame, YuNet's convention; may leave the picture.
        score: Confidence in [0, 1]; comparable within a detector only.
        points: `(x, y)` in pixels of right eye, left eye, nose, right and left mouth corner
            (right and left as the person has them), or None where the detector has none.
        landmarks: `float32 (68, 2)` in pixels (see `landmarks`), or None where the detector has none.
    """

    box: tuple[float, float, float, float]
    score: float
    points: tuple[tuple[float, float], ...] | None = None
    landmarks: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def side(self) -> float:
        """The longer side of the box, in pixels: what a crop's margin multiplies."""
        return max(self.box[2:])

    @property
    def centre(self) -> tuple[float, float]:
        """Centre `(x, y)` of the box, in pixels."""
        x, y, w, h = self.box
        return x + w / 2, y + h / 2


class FaceDetector(Protocol):
    """Finds faces. Detectors keep buffers: use one per thread."""

    def find(self, frame: Frame) -> list[Face]:
        """All faces in `uint8 (h, w, 3)`, in no particular order; empty when there is none.

        Raises:
            ImageError: `frame` is no frame.
        """
        ...


def prominence(face: Face) -> float:
    """How much a picture is about a face: its area, in square pixels, times its score."""
    return face.score * face.box[2] * face.box[3]


def main_face(faces: Sequence[Face]) -> Face | None:
    """The face that a picture is about, the most prominent one; None for no faces."""
    return max(faces, key=prominence, default=None)


def _scaled(face: Face, factor: float) -> Face:
    points = face.points and tuple((x * factor, y * factor) for x, y in face.points)
    x, y, w, h = face.box
    return replace(face, box=(x * factor, y * factor, w * factor, h * factor), points=points)


def _shrunk(frame: Frame, side: int) -> tuple[Frame, float]:
    """`frame` with its longer side at most `side`, and the scale that did it."""
    height, width = frame.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resize_frame(frame, (max(round(height * scale), 1), max(round(width * scale), 1))), scale


class YuNet:
    """YuNet, a small convolutional detector that also finds five points.

    Args:
        path: The ONNX file with a fixed input size (`yunet_n_640_640.onnx` of
            libfacedetection.train, or `face_detection_yunet_*.onnx` of OpenCV Zoo). It is run at
            any picture size all the same. The export with dynamic input cannot be read by OpenCV 4.
        least_score: Faces below this confidence are dropped.

    Raises:
        WeightsError: No such file, or OpenCV cannot read it.

    Source:
        Wu, Peng, Yu 2023, "YuNet: a tiny millisecond-level face detector".
    """

    def __init__(self, path: str | Path, *, least_score: float = 0.6) -> None:
        if not Path(path).is_file():
            raise WeightsError(
                f"face model {path} does not exist",
                hint=f"correct the path or unset {FACE_MODEL_VARIABLE}; without it another detector is used",
                path=str(path),
            )
        level = cv2.utils.logging.setLogLevel(0)  # OpenCV prints its own lines about a broken file; ours says it once
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), least_score, 0.3, 50)
            self._network.detect(np.zeros((320, 320, 3), dtype=np.uint8))
        except cv2.error as error:
            raise WeightsError(
                f"face model {path} cannot be read as YuNet",
                hint="use the export with a fixed input, yunet_n_640_640.onnx; OpenCV 4 cannot read the dynamic one",
                path=str(path),
            ) from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def find(self, frame: Frame) -> list[Face]:
        """See `FaceDetector.find`."""
        largest, first = _shrunk(check_frame(frame), max(YUNET_SIDES))
        for side in dict.fromkeys(min(side, max(largest.shape)) for side in YUNET_SIDES):
            small, second = _shrunk(largest, side)
            found = [_scaled(face, 1 / (first * second)) for face in self._find(small)]
            if found:
                return found
        return []

    def _find(self, frame: Frame) -> list[Face]:
        self._network.setInputSize((frame.shape[1], frame.shape[0]))
        rows = self._network.detect(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1]
        return [] if rows is None else [_from_row(row) for row in rows]


def _from_row(row: np.ndarray) -> Face:
    x, y, w, h = map(float, row[:4])
    points = tuple((float(px), float(py)) for px, py in row[4:14].reshape(5, 2))
    return Face(box=(x, y, w, h), score=float(row[14]), points=points)


@dataclass(frozen=True)
class _Pass:
    """One try of `Haar`: a cascade, how sure it must be, and how its box maps to YuNet's.

    Attributes:
        cascade: File in `haarcascades`, the folder that comes with OpenCV.
        neighbours: Least number of overlapping windows.
        score: Confidence given to a face with very many of them.
        ratio: YuNet's `(w, h)` divided by the side of the cascade's square.
        down: YuNet's centre minus the cascade's, in y, divided by that side.
        equalised: Spread the grey levels first; helps in the dark, hurts elsewhere.
        mirrored: Look at the mirrored picture as well.
    """

    cascade: str
    neighbours: int
    score: float
    ratio: tuple[float, float]
    down: float
    equalised: bool = False
    mirrored: bool = False


# Ratios and offsets are medians of YuNet's box over the cascade's on 150 frames (15 GRID clips,
# every 15th frame, each also mirrored), both detectors at the clip's 360x288. Standard deviations:
# alt2 0.03, 0.04 and 0.015, default 0.02, 0.04 and 0.014. The shift in x was -0.018 plain and
# +0.002 mirrored: none. Elsewhere the height is 1.0 to 1.2 (astronaut portrait, sign-language clips).
_ALT2, _DEFAULT = (0.76, 1.11), (0.74, 1.09)
# Seen by the profile cascade, GRID's nearly frontal faces gave 0.76, 1.08 and a real profile
# (scikit-image's cameraman) 0.50, 0.68: this is the middle, a rough box for want of better.
_PROFILE = (0.63, 0.9)

# In order; the first pass that finds anything wins. 95 % of GRID's faces had 32 neighbours or more
# (alt2) and 38 (default). False alarms had up to 5 (alt2) and 10 (alt2 equalised) on the
# sign-language clips, and 12 (default) on scikit-image's coins.
_PASSES = (
    _Pass("haarcascade_frontalface_alt2.xml", 8, 1.0, _ALT2, 0.015),
    _Pass("haarcascade_frontalface_default.xml", 13, 0.9, _DEFAULT, 0.014),
    _Pass("haarcascade_frontalface_alt2.xml", 11, 0.8, _ALT2, 0.015, equalised=True),
    _Pass("haarcascade_profileface.xml", 5, 0.6, _PROFILE, 0.04, mirrored=True),
    _Pass("haarcascade_frontalface_alt2.xml", 4, 0.5, _ALT2, 0.015),
)
# Larger pictures hold more windows, hence more false alarms: 9 neighbours on a motorcycle.
_FAR = replace(_PASSES[0], neighbours=13)


class Haar:
    """The cascades that come with OpenCV: offline, no points, upright faces only.

    Frontal cascades first, then a profile one both ways round, then a lenient retry. It found the
    face in all frames of GRID; it misses heads rolled by more than about 20 degrees, and a frame
    without a face costs it ten to twenty times as much as one with, since all passes are tried.

    Source:
        Viola and Jones 2001; Lienhart and Maydt 2002.
    """

    def __init__(self) -> None:
        names = {step.cascade for step in _PASSES}
        self._cascades = {name: cv2.CascadeClassifier(haarcascades + name) for name in names}

    def find(self, frame: Frame) -> list[Face]:
        """See `FaceDetector.find`."""
        height, width = check_frame(frame).shape[:2]
        enlarged = max(1.0, HAAR_LEAST / min(height, width))
        scales = [min(side / max(height, width), enlarged) for side in HAAR_SIDES]
        frame, _ = _shrunk(frame, max(HAAR_SIDES))
        tries = [(scales[0], step) for step in _PASSES]
        if scales[1] > scales[0]:
            tries.append((scales[1], _FAR))
        for scale, step in tries:
            size = (max(round(height * scale), 1), max(round(width * scale), 1))
            grey = cv2.cvtColor(resize_frame(frame, size), cv2.COLOR_RGB2GRAY)
            found = [_scaled(face, 1 / scale) for face in self._try(grey, step)]
            if found:
                return found
        return []

    def _try(self, grey: np.ndarray, step: _Pass) -> Iterator[Face]:
        picture = cv2.equalizeHist(grey) if step.equalised else grey
        yield from self._squares(picture, step)
        if step.mirrored:
            for face in self._squares(np.ascontiguousarray(picture[:, ::-1]), step):
                x, y, w, h = face.box
                yield replace(face, box=(grey.shape[1] - x - w, y, w, h))

    def _squares(self, grey: np.ndarray, step: _Pass) -> Iterator[Face]:
        least = max(28, min(grey.shape) // 32)
        squares, counts = self._cascades[step.cascade].detectMultiScale2(
            grey, 1.1, step.neighbours, minSize=(least, least)
        )
        for (x, y, side, _), count in zip(squares, counts, strict=True):
            w, h = step.ratio[0] * side, step.ratio[1] * side
            box = (float(x + (side - w) / 2), float(y + side / 2 + step.down * side - h / 2), float(w), float(h))
            yield Face(box=box, score=step.score * float(count) / (float(count) + 5.0))


def default_detector(path: str | Path | None = None) -> FaceDetector:
    """YuNet where its file is given, Haar otherwise.

    Args:
        path: The YuNet file; None looks into the environment variable `STILLMOTION_FACE_MODEL`.

    Raises:
        WeightsError: A file was given and cannot be used; it is not silently replaced by Haar.
    """
    chosen = path or os.environ.get(FACE_MODEL_VARIABLE)
    return YuNet(chosen) if chosen else Haar()
