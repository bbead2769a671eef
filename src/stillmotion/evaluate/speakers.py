"""Real talking heads, which have no truth: rebuilt from their first frame, scored whole and around mouth and eyes.

Speakers barely move, so copying the source is strong; the boxes say whether the mouth follows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.core.frame import to_planes
from stillmotion.core.method import Method
from stillmotion.evaluate.protocol import BATCH
from stillmotion.prepare.crop import crop_driving
from stillmotion.prepare.faces import FaceDetector, main_face
from stillmotion.video.read import open_video

EVERY = 3
"""Each third frame of a 25 fps clip is scored."""

# Boxes about the middle of two of the detector's points, in distances of the eyes: left, right, up, down.
_MOUTH = (0.6, 0.6, 0.4, 0.5)
_EYES = (0.9, 0.9, 0.3, 0.3)


def read_speaker(path: str | Path, method: Method, detector: FaceDetector) -> np.ndarray:
    """Every third frame of a clip, cropped once by the contract of the weights.

    Returns:
        `uint8 (t, h, w, 3)`.

    Raises:
        VideoError: The clip cannot be read.
        NoFaceError: No face is found in it.
    """
    with open_video(path) as video:
        frames = list(video)
    crop = crop_driving(frames, method.spec, detector=detector)
    return np.stack([crop.apply(frame, method.spec.size) for frame in frames[::EVERY]])


def face_boxes(frames: np.ndarray, detector: FaceDetector) -> list[dict[str, tuple[slice, slice]]]:
    """Rows and columns of the boxes around mouth and eyes, frame by frame.

    Raises:
        DataError: The detector gives no points, or a frame shows no face.
    """
    boxes = []
    for number, frame in enumerate(frames):
        face = main_face(detector.find(frame))
        if face is None or face.points is None:
            raise DataError(f"no face with its points in frame {number}", hint="use a detector with points (YuNet)")
        points = np.array(face.points)
        unit = float(np.linalg.norm(points[0] - points[1]))
        mouth, eyes = points[3:5].mean(0), points[:2].mean(0)
        size = (frame.shape[0], frame.shape[1])
        boxes.append({"l1_mouth": _box(mouth, unit, _MOUTH, size), "l1_eyes": _box(eyes, unit, _EYES, size)})
    return boxes


def _box(
    middle: np.ndarray, unit: float, reach: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[slice, slice]:
    left, right, up, down = (unit * value for value in reach)
    x, y = (float(value) for value in middle)
    return (
        slice(max(int(y - up), 0), min(max(int(y + down), 1), size[0])),
        slice(max(int(x - left), 0), min(max(int(x + right), 1), size[1])),
    )


def rebuild(method: Method, frames: np.ndarray) -> np.ndarray:
    """Every frame from the first one: `float32 (t, 3, h, w)`."""
    state = method.encode([frames[0]])
    parts = [frames[start : start + BATCH] for start in range(0, len(frames), BATCH)]
    return np.concatenate([method.render(state, method.read(part)).planes for part in parts])


def score_speaker(
    planes: np.ndarray, frames: np.ndarray, boxes: list[dict[str, tuple[slice, slice]]]
) -> dict[str, float]:
    """L1 whole, around the mouth, around the eyes.

    Args:
        planes: `float32 (t, 3, h, w)`, what to score.
        frames: `uint8 (t, h, w, 3)`, what it should be.
        boxes: From `face_boxes`.
    """
    error = np.abs(planes - to_planes(frames)).mean(1)
    out = {"l1": float(error.mean())}
    for name in ("l1_mouth", "l1_eyes"):
        out[name] = float(np.mean([frame[box[name]].mean() for frame, box in zip(error, boxes, strict=True)]))
    return out


def copy_first(frames: np.ndarray) -> np.ndarray:
    """The first frame as the answer to all: `float32 (t, 3, h, w)`."""
    return np.repeat(to_planes(frames[:1]), len(frames), 0)
