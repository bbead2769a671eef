"""Faces as the package finds them: its own networks, opened when the first picture is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stillmotion import weights
from stillmotion.core.frame import Frame
from stillmotion.prepare.faces import FACE_MODEL_VARIABLE, Face, FaceDetector, Haar, YuNet, main_face
from stillmotion.prepare.landmarks import Landmarker
from stillmotion.runtime import Bundle, RuntimeName, open_engine

HAAR = "haar"
"""What to give in place of a YuNet file for OpenCV's cascades."""


CERTAIN = 0.95
"""Confidence of the landmark network that needs no word of Haar's; what are no faces had up to 0.94."""


def open_landmarker(engine: RuntimeName = "auto", *, threads: int | None = None) -> Landmarker:
    """The shipped face and landmark networks.

    Args:
        engine: See `runtime.open_engine`.
        threads: Cap on processor threads; None leaves it to the runtime.

    Raises:
        WeightsError: The shipped weights are missing or damaged.
        MissingExtraError: The engine is not installed.
    """
    return Landmarker(open_engine(Bundle.open(weights.FACE, method=weights.FACE.name), engine, threads=threads))


def landmarks68(*, threads: int | None = None) -> Callable[[Frame], np.ndarray | None]:
    """A function from a frame `uint8 (h, w, 3)` to the main face's landmarks.

    They are `float32 (68, 2)`, `(x, y)` in pixels, pixel `i` covering `[i, i + 1]`; None where there
    is no face. The function keeps nothing from one frame to the next.

    Args:
        threads: Cap on processor threads; None leaves it to the runtime.

    Raises:
        WeightsError: The shipped weights are missing or damaged.
    """
    landmarker = open_landmarker(threads=threads)

    def find(frame: Frame) -> np.ndarray | None:
        face = main_face(landmarker.find(frame))
        return face.landmarks if face is not None else None

    return find


class ShippedFaces:
    """The default `FaceDetector`: Haar's boxes, checked and completed by the shipped networks.

    Haar's box of an upright face is the steadier one, so it stands wherever the landmark network
    agrees that there is a face, and gets that face's landmarks. Where it does not agree, or Haar sees
    nothing (tilted heads, mostly), the networks look for themselves; if they are not certain, Haar's
    word stands. docs/face-network.md has the numbers. All load at the first picture.
    """

    def __init__(self) -> None:
        self._landmarker: Landmarker | None = None
        self._haar: Haar | None = None

    def find(self, frame: Frame) -> list[Face]:
        """See `FaceDetector.find`."""
        self._landmarker = self._landmarker or open_landmarker()
        self._haar = self._haar or Haar()
        suspected = self._haar.find(frame)
        confirmed = [
            replace(face, points=seen.points, landmarks=seen.landmarks)
            for face in suspected
            if (seen := self._landmarker.look(frame, face)) is not None
        ]
        if confirmed:
            return confirmed
        found = self._landmarker.find(frame)
        return [face for face in found if face.score >= CERTAIN] or suspected


def face_detector(model: str | Path | None = None) -> FaceDetector:
    """What finds faces for automatic crops.

    Args:
        model: A YuNet file; the word `haar` for OpenCV's cascades; None for what the environment
            variable `STILLMOTION_FACE_MODEL` names (either of them), or else the shipped networks.

    Raises:
        WeightsError: The file cannot be used; nothing else is silently put in its place.
    """
    return _named(model) or ShippedFaces()


def quick_face_detector(model: str | Path | None = None) -> FaceDetector:
    """What finds faces in a running camera, on one thread.

    As `face_detector`, but the default is the shipped networks alone: 7 ms a look instead of 35, and
    a crop that follows a head need not be the best one of that head.

    Args:
        model: See `face_detector`.

    Raises:
        WeightsError: See `face_detector`.
    """
    return _named(model) or open_landmarker(threads=1)


def _named(model: str | Path | None) -> FaceDetector | None:
    """The detector that was asked for, by the argument or the environment."""
    chosen = str(model or os.environ.get(FACE_MODEL_VARIABLE) or "")
    if not chosen:
        return None
    return Haar() if chosen == HAAR else YuNet(chosen)
