"""Eyes that shut: how open they are in a frame, and a photo with its lids drawn down.

A blink moves the lids by about a pixel of what the motion networks see: too little for them to draw skin
over the eye. So it is handled apart. A small network looks at both eyes of the driving frame, where the
keypoints say they are, at full size; and the photo itself is changed before its pixels are moved: the
skin above each eye is drawn down over it, as far as the driver's eyes are shut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np

from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import Engine
from stillmotion.core.motion import Keypoints

EYES = (("right upper lid", "right lower lid"), ("left upper lid", "left lower lid"))
"""Marks of the subject's right and left eye."""
CORNERS = ("right mouth corner", "left mouth corner")
NEEDED = frozenset(name for pair in (*EYES, CORNERS) for name in pair)
"""Marks without which nothing is known of the lids."""

PATCH = (32, 40)
"""Height and width of the close-up of an eye that the lid network sees, pixels."""
REACH = 0.66
"""Width of that close-up, in sizes of the face."""
SPARE = 0.12
"""How far beyond its outline an eye is covered, as a share of its opening."""
SKIN = 1.2
"""Height of the skin that is drawn down, in openings of the eye."""
FINE = 4
"""Copies of an eye are made this many times larger, so that the edge of the lid is not jagged."""


OPEN, SHUT = 0.8, 0.35
"""Openness against the photo's own: above the first nothing shuts, below the second all does. Of held-out rendered
people 95 % of the frames with open eyes are judged above the first, with shut eyes 95 % below the second."""


def knows_lids(marks: Mapping[str, int]) -> bool:
    """Whether keypoints with these marks tell how open the eyes are."""
    return set(marks) >= NEEDED


def eye_patches(frame: Frame, motion: Keypoints, marks: Mapping[str, int]) -> np.ndarray:
    """Close-ups `uint8 (2, *PATCH, 3)` of the subject's right eye and, mirrored, the left one.

    Upright along the line of the eyes, and as large as the face is: the larger one of eye to eye and eyes
    to mouth, for turns shorten the one and nods the other.

    Args:
        frame: `uint8 (h, w, 3)` that `motion` was read from.
        motion: Its keypoints.
        marks: Index of keypoints by what they mark; see `knows_lids`.
    """
    height, width = frame.shape[:2]

    def point(name: str) -> np.ndarray:
        return (motion.value[marks[name]].astype(np.float64) + 1) / 2 * [width, height]

    eyes = [(point(upper) + point(lower)) / 2 for upper, lower in EYES]
    mouth = (point(CORNERS[0]) + point(CORNERS[1])) / 2
    across = eyes[1] - eyes[0]
    size = max(float(np.linalg.norm(across)), float(np.linalg.norm((eyes[0] + eyes[1]) / 2 - mouth)), 1.0)
    along = across / max(float(np.linalg.norm(across)), 1e-6)
    scale = PATCH[1] / (REACH * size)
    turn = scale * np.array([[along[0], along[1]], [-along[1], along[0]]])
    return np.stack([_cut(frame, turn, eyes[0]), _cut(frame, turn, eyes[1])[:, ::-1]])


def _cut(frame: Frame, turn: np.ndarray, centre: np.ndarray) -> Frame:
    matrix = np.column_stack([turn, np.array(PATCH[::-1]) / 2 - turn @ centre])
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5  # OpenCV counts from pixel centres
    return cv2.warpAffine(frame, matrix, PATCH[::-1], flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


class EyeReader:
    """Says how open eyes are.

    Args:
        engine: Runs the stage `lids`: close-ups `(2, 3, *PATCH)` in [0, 1] to `openness (2,)`.
        marks: Index of keypoints by what they mark; see `knows_lids`.
    """

    def __init__(self, engine: Engine, marks: Mapping[str, int]) -> None:
        self._engine, self._marks = engine, marks

    def see(self, motion: Keypoints, frame: Frame) -> Keypoints:
        """The motion with its `lids`.

        Args:
            motion: Read from `frame`.
            frame: `uint8 (h, w, 3)`.
        """
        found = self._engine.run("lids", eyes=to_planes(eye_patches(frame, motion, self._marks)))
        return replace(motion, lids=np.clip(found["openness"], 0, 1))


def shutting(lids: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How far eyes are to be shut `(2,)`, from 0, as in the photo, to 1.

    Args:
        lids: How open they should be `(2,)`.
        own: How open they are in the photo.
    """
    share = lids / np.maximum(own, 1e-6)
    share = (share + share.mean()) / 2  # eyes mostly shut together, and two are judged more surely than one
    shut: np.ndarray = np.clip((OPEN - share) / (OPEN - SHUT), 0, 1)
    return shut


class Lids:
    """The eyes of a photo, to be shut.

    Args:
        photo: `uint8 (h, w, 3)`.
        landmarks: `(68, 2)` in its pixels, pixel `i` covering `[i, i + 1]`; see `prepare.landmarks`.
    """

    def __init__(self, photo: Frame, landmarks: np.ndarray) -> None:
        self._photo = photo
        self._eyes = landmarks[36:42].astype(np.float64), landmarks[42:48].astype(np.float64)

    def shut(self, right: float, left: float) -> Frame:
        """The photo with its eyes shut this far, from 0 to 1."""
        frame = self._photo.copy()
        for eye, share in zip(self._eyes, (right, left), strict=True):
            if share > 0:
                _shut(frame, eye, share)
        return frame


def _shut(frame: Frame, eye: np.ndarray, share: float) -> None:
    """Shut one eye `(6, 2)` in place."""
    reach = 0.9 * np.ptp(eye, axis=0).max()
    low = np.floor(np.clip(eye.mean(0) - reach, 0, None)).astype(int)
    high = np.ceil(np.clip(eye.mean(0) + reach, None, frame.shape[1::-1])).astype(int)
    if (high - low < 2).any():  # outside the picture
        return
    part = frame[low[1] : high[1], low[0] : high[0]]
    large = cv2.resize(part, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_CUBIC)
    drawn, is_moved = _draw_down(large, (eye - low) * FINE - 0.5, share)
    drawn, moved = (cv2.resize(plane, part.shape[1::-1], interpolation=cv2.INTER_AREA) for plane in (drawn, is_moved))
    part[moved > 0] = drawn[moved > 0]  # what has not moved has not been resampled either


def _draw_down(picture: Frame, eye: np.ndarray, share: float) -> tuple[Frame, np.ndarray]:
    """The skin between brow and eye stretched down over it, and where that is; `eye` in pixel centres.

    In coordinates along the eye and across it, each column of skin from `top` to the lid's edge is
    stretched to end at the edge's new place; what lies below stays.
    """
    along = eye[3] - eye[0] if eye[3, 0] > eye[0, 0] else eye[0] - eye[3]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    down, middle = np.array([-along[1], along[0]]), (eye[0] + eye[3]) / 2
    outline = np.stack([(eye - middle) @ along, (eye - middle) @ down], axis=1)
    x, y = np.meshgrid(np.arange(picture.shape[1]) - middle[0], np.arange(picture.shape[0]) - middle[1])
    u, v = x * along[0] + y * along[1], x * down[0] + y * down[1]
    upper, lower = (_through(outline[rows], u) for rows in ([0, 1, 2, 3], [0, 5, 4, 3]))
    inside = (u > outline[:, 0].min()) & (u < outline[:, 0].max())
    opening = np.where(inside, np.maximum(lower - upper, 0), 0)
    edge, opening = upper - SPARE * opening, (1 + 2 * SPARE) * opening
    top, moved = edge - SKIN * opening.max(), edge + share * opening
    height = np.maximum(moved - top, 1e-3)
    taken = np.where((v >= top) & (v < moved), top + (v - top) / height * (edge - top), v) - v
    columns = (np.arange(picture.shape[1]) + taken * down[0]).astype(np.float32)
    rows = (np.arange(picture.shape[0])[:, None] + taken * down[1]).astype(np.float32)
    drawn = cv2.remap(picture, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return drawn, (taken != 0).astype(np.float32)


def _through(points: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The parabola nearest to `points (n, 2)`, at `u`."""
    curve: np.ndarray = np.polyval(np.polyfit(points[:, 0], points[:, 1], 2), u)
    return curve
