"""Faces and their 68 landmarks, by two small networks of our own.

    picture ──faces──▶ squares ──landmarks──▶ 68 points ──▶ box, openness, the next square

The first network looks for faces in a small copy of the picture; the second follows the outlines
of each and says whether it is a face at all. Both are given as an `Engine` (see
`session.faces.open_landmarker`), so nothing here knows what runs them.

Points are `(x, y)` in pixels of the frame, pixel `i` covering `[i, i + 1]`, in the layout of 300
Faces in-the-Wild, the subject's right first: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes,
48-59 outer and 60-67 inner lips.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.method import Engine
from stillmotion.prepare.faces import Face, main_face
from stillmotion.prepare.resize import resize_frame

WIDE = 1.4
"""Side of the square that the landmark network sees over the longer side of the points' upright box."""

PICTURE = 96
"""Side of the picture that the face-box network sees, pixels."""

CLOSE_UP = 96
"""Side of the picture that the landmark network sees, pixels."""

LEVELS = (1, 2, 4)
"""The picture's longer side over `PICTURE`, the next one, in overlapping tiles, where the last found nothing."""

LEAST_HEAT = 0.25
"""Confidence of the face-box network below which a place is not looked at."""

LEAST_SCORE = 0.9
"""Confidence of the landmark network below which there is no face."""

HOT = 0.5
HOT_SCORE = 0.6
"""Where the face-box network is as sure as `HOT`, or a face was a frame ago, this much of the landmark network
will do: so are faces behind hands found (5 of 37 frames of sign language)."""

SURE = 0.95
"""Confidence at which smaller faces are no longer looked for."""

_RIGHT_TO_LEFT: list[list[int]] = [
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)],
    [*range(45, 41, -1), 47, 46, *range(39, 35, -1), 41, 40],
    [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65],
]
MIRRORED = np.concatenate(_RIGHT_TO_LEFT)
"""`points[MIRRORED]` are the landmarks of the mirrored face, once their x is mirrored too."""

MOST_FACES = 10
"""Places looked at closely at one level."""

PORTRAITS = (0.65, 0.95)
"""Squares in the middle of the picture that are looked at last, over its shorter side."""

PASSES = 3
"""How often the landmark network looks at a face: first roughly, then through the square of its own points."""

BOX = (0.936, 1.386, -0.204)
"""YuNet's box over the longer side of the points' upright box: width, height, and how far its centre lies below.

Medians on 65 frames of 13 GRID clips; standard deviations 0.04, 0.05 and 0.02, between people mostly.
"""


@dataclass(frozen=True)
class Square:
    """Where the landmark network looks.

    Attributes:
        centre: `(x, y)` in pixels.
        side: Pixels, above 0.
        roll: Clockwise turn of the square in the picture, radians.
    """

    centre: tuple[float, float]
    side: float
    roll: float = 0.0

    def matrix(self, size: int) -> np.ndarray:
        """Affine `(2, 3)` from pixels of the picture to pixels of the square, cut out at `size`."""
        scale = size / self.side
        turn = scale * np.array(
            [[math.cos(self.roll), math.sin(self.roll)], [-math.sin(self.roll), math.cos(self.roll)]]
        )
        return np.column_stack([turn, size / 2 - turn @ np.array(self.centre)])

    def cut(self, frame: Frame, size: int) -> Frame:
        """What is in the square, `uint8 (size, size, 3)`; outside the picture its edge is repeated."""
        matrix = self.matrix(size)
        step = max(int(self.side / size / 1.5), 1)  # fewer pixels first: warpAffine does not average
        if step > 1:
            frame = resize_frame(frame, (max(frame.shape[0] // step, 1), max(frame.shape[1] // step, 1)))
            matrix = matrix @ np.diag([step, step, 1.0])
        matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5  # OpenCV counts from pixel centres
        return cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points `(n, 2)` of the square, 0 to 1 along its sides, as pixels of the picture."""
        turn = np.array([[math.cos(self.roll), math.sin(self.roll)], [-math.sin(self.roll), math.cos(self.roll)]])
        return (points - 0.5) * self.side @ turn + np.array(self.centre)


def square_around(points: np.ndarray) -> Square:
    """The upright square in which the landmark network expects a face of these points `(68, 2)`."""
    eyes = points[42:48].mean(0) - points[36:42].mean(0)
    down = points[48:68].mean(0) - points[36:48].mean(0)
    roll = math.atan2(eyes[1] - down[0], eyes[0] + down[1])
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    x, y = turn @ ((low + high) / 2)
    return Square((float(x), float(y)), WIDE * max(float((high - low).max()), 1e-3), roll)


@dataclass(frozen=True)
class Openness:
    """How open mouth and eyes are.

    Attributes:
        mouth: Gap between the lips over the width of the mouth, 0 is shut.
        right_eye: Gap between the lids over the width of the eye, of the subject's right eye.
        left_eye: The same of the left one.
    """

    mouth: float
    right_eye: float
    left_eye: float


def openness(points: np.ndarray) -> Openness:
    """Openness of mouth and eyes.

    Args:
        points: Landmarks `(68, 2)`, any unit.

    Source:
        The aspect ratio of Soukupová and Čech 2016, "Real-Time Eye Blink Detection using Facial
        Landmarks", for eyes and inner lips; the mouth's width is of its outer corners, which also
        a pursed mouth has.
    """

    def gap(upper: list[int], lower: list[int], ends: tuple[int, int]) -> float:
        width = np.linalg.norm(points[ends[0]] - points[ends[1]])
        return float(np.linalg.norm(points[upper] - points[lower], axis=1).mean() / max(float(width), 1e-6))

    return Openness(
        mouth=gap([61, 62, 63], [67, 66, 65], (48, 54)),
        right_eye=gap([37, 38], [41, 40], (36, 39)),
        left_eye=gap([43, 44], [47, 46], (42, 45)),
    )


def five_points(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Right eye, left eye, nose, right and left mouth corner of landmarks `(68, 2)`, as in `Face.points`."""
    rows = (points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54])
    return tuple((float(x), float(y)) for x, y in rows)


def box_around(points: np.ndarray) -> tuple[float, float, float, float]:
    """The face box `(x, y, w, h)` in YuNet's convention, pixels, of landmarks `(68, 2)`."""
    square = square_around(points)
    side = square.side / WIDE
    (x, y), (w, h) = square.centre, (BOX[0] * side, BOX[1] * side)
    x -= math.sin(square.roll) * BOX[2] * side
    y += math.cos(square.roll) * BOX[2] * side
    return (x - w / 2, y - h / 2, w, h)


class Landmarker:
    """Finds faces with their landmarks. A `FaceDetector`: use one per thread.

    Args:
        engine: Runs the stages `faces` and `landmarks` of the face weights.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, frame: Frame) -> list[Face]:
        """All faces in `uint8 (h, w, 3)`, the surest first; empty when there is none.

        Raises:
            ImageError: `frame` is no frame.
        """
        height, width = check_frame(frame).shape[:2]
        faces: list[Face] = []
        for level in LEVELS:
            if level > 1 and max(height, width) < 0.75 * level * PICTURE:
                break
            for heat, square in self._squares(frame, level):
                if any(_is_on(square, face) for face in faces):
                    continue
                face = self._follow(frame, square, least=HOT_SCORE if heat >= HOT else LEAST_SCORE)
                if face is not None and not any(is_same_face(face, other) for other in faces):
                    faces.append(face)
            if any(face.score >= SURE for face in faces):
                break
        return sorted(faces, key=lambda face: -face.score)

    def track(self, frame: Frame, last: Face | None) -> Face | None:
        """The face that was `last` seen in the frame before, or the main one if it is lost.

        Args:
            frame: `uint8 (h, w, 3)`.
            last: What this gave for the frame before; None looks everywhere.
        """
        if last is not None and last.landmarks is not None:
            found = self._follow(check_frame(frame), square_around(last.landmarks), least=HOT_SCORE)
            if found is not None:
                return found
        return main_face(self.find(frame))

    def look(self, frame: Frame, face: Face) -> Face | None:
        """The face that another detector found, with landmarks; None if it does not look like one.

        Args:
            frame: `uint8 (h, w, 3)`.
            face: Its box counts, in YuNet's convention.
        """
        side = WIDE * face.side / BOX[1]
        centre = (face.centre[0], face.centre[1] - BOX[2] / BOX[1] * face.side)
        return self._follow(check_frame(frame), Square(centre, side), least=HOT_SCORE)

    def refine(self, frame: Frame, face: Face) -> np.ndarray:
        """Landmarks `(68, 2)` of a face that was found, looked at many times: the median of squares a little off.

        Steadier than one look, and some 30 ms: for a photo, not for a camera.

        Raises:
            ValueError: The face was found by a detector that gives no landmarks.
        """
        if face.landmarks is None:
            raise ValueError("the face has no landmarks to refine")
        square, looks = square_around(face.landmarks), []
        for x, y, larger in itertools.product((-0.04, 0.0, 0.04), (-0.04, 0.0, 0.04), (0.95, 1.05)):
            centre = (square.centre[0] + x * square.side, square.centre[1] + y * square.side)
            near = Square(centre, larger * square.side, square.roll)
            picture = near.cut(frame, CLOSE_UP)
            for plain in (True, False):
                given = picture if plain else np.ascontiguousarray(picture[:, ::-1])
                points = self._engine.run("landmarks", picture=_plane(given))["points"][0]
                looks.append(near.place(points if plain else _mirrored(points)))
        return np.median(looks, axis=0).astype(np.float32)

    def _squares(self, frame: Frame, level: float) -> list[tuple[float, Square]]:
        """Where the face-box network suspects faces, the surest first, with how sure it is."""
        height, width = frame.shape[:2]
        scale = level * PICTURE / max(height, width)
        small = resize_frame(frame, (max(round(height * scale), 1), max(round(width * scale), 1)))
        found = [
            (heat, (left + x) / scale, (top + y) / scale, side / scale)
            for left, top, tile in _tiles(small)
            for heat, x, y, side in self._peaks(tile)
        ]
        kept: list[tuple[float, float, float, float]] = []
        for heat, x, y, side in sorted(found, reverse=True):
            if all(math.hypot(x - k[1], y - k[2]) > 0.4 * max(side, k[3]) for k in kept):
                kept.append((heat, x, y, side))
        squares = [(heat, Square((x, y), WIDE * side)) for heat, x, y, side in kept[:MOST_FACES]]
        if level == 1:  # where a portrait has its face, if nobody sees it
            squares += [(0.0, Square((width / 2, height / 2), share * min(height, width))) for share in PORTRAITS]
        return squares

    def _peaks(self, tile: Frame) -> list[tuple[float, float, float, float]]:
        """`(heat, x, y, side)` of the places that are hotter than their neighbours."""
        out = self._engine.run("faces", picture=_plane(tile))
        heat, squares = out["heat"][0, 0], out["squares"][0]
        highest = cv2.dilate(heat, np.ones((3, 3), np.uint8))
        rows, columns = np.nonzero((heat >= highest) & (heat >= LEAST_HEAT))
        places = squares[:, rows, columns].T.tolist()
        return [(float(hot), x, y, side) for hot, (x, y, side) in zip(heat[rows, columns], places, strict=True)]

    def _follow(self, frame: Frame, square: Square, *, least: float) -> Face | None:
        """The face in a square, looked at again until it fills its square as it should."""
        for _ in range(PASSES):
            out = self._engine.run("landmarks", picture=_plane(square.cut(frame, CLOSE_UP)))
            last, score = square, float(out["face"][0, 0])
            if score < LEAST_SCORE / 5:  # the first look may be off; this is hopeless
                return None
            points = last.place(out["points"][0])
            square = square_around(points)
        if score < least or not _steady(last, square):
            return None
        points = points.astype(np.float32)
        return Face(box=box_around(points), score=score, points=five_points(points), landmarks=points)


def _mirrored(points: np.ndarray) -> np.ndarray:
    """What was found in the mirrored close-up, as if in the close-up."""
    turned = points[MIRRORED].copy()
    turned[:, 0] = 1 - turned[:, 0]
    return turned


def _plane(picture: Frame) -> np.ndarray:
    """`float32 (1, 3, h, w)` in [0, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)


def _tiles(picture: Frame) -> Iterator[tuple[int, int, Frame]]:
    """`(left, top, tile)`: squares of `PICTURE` that overlap by half, grey where the picture ends."""
    height, width = picture.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            tile = picture[top : top + PICTURE, left : left + PICTURE]
            down, right = PICTURE - tile.shape[0], PICTURE - tile.shape[1]
            yield left, top, cv2.copyMakeBorder(tile, 0, down, 0, right, cv2.BORDER_CONSTANT, value=(128, 128, 128))


def _starts(length: int) -> list[int]:
    steps = max(math.ceil((length - PICTURE) / (PICTURE // 2)), 0)
    return [min(index * PICTURE // 2, max(length - PICTURE, 0)) for index in range(steps + 1)]


def _steady(last: Square, square: Square) -> bool:
    """Whether two looks agree: what is no face leads the network on and on."""
    way = math.dist(last.centre, square.centre)
    return way < 0.06 * last.side and abs(math.log(square.side / last.side)) < 0.1


def _is_on(square: Square, face: Face) -> bool:
    """Whether a square to look at lies on a face that was found already."""
    return math.dist(square.centre, face.centre) < 0.35 * face.side and square.side < 2 * face.side


def is_same_face(face: Face, other: Face) -> bool:
    """Whether two boxes are about the same face."""
    return math.dist(face.centre, other.centre) < 0.4 * max(face.side, other.side)
