from __future__ import annotations

import math

import numpy as np
import pytest

from stillmotion.core.errors import ImageError
from stillmotion.prepare.landmarks import (
    CLOSE_UP,
    MIRRORED,
    PICTURE,
    WIDE,
    Landmarker,
    Square,
    box_around,
    five_points,
    openness,
    square_around,
)


def a_face(*, centre=(100.0, 80.0), side=50.0, roll=0.0, mouth=0.0) -> np.ndarray:
    """Landmarks of a symmetric face made of arcs; `mouth` is the gap between the lips in sides."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 * np.cos(turn), -0.2 + 0.7 * np.sin(turn)], 1)
    brow = np.stack([np.linspace(-0.4, -0.1, 5), np.full(5, -0.4)], 1)
    bridge = np.stack([np.zeros(4), np.linspace(-0.25, 0.05, 4)], 1)
    base = np.stack([np.linspace(-0.1, 0.1, 5), np.full(5, 0.1)], 1)
    eye = np.array([(-0.1, 0), (-0.04, -0.03), (0.04, -0.03), (0.1, 0), (0.04, 0.03), (-0.04, 0.03)])
    upper = np.stack([np.linspace(-0.2, 0.2, 7), 0.27 - 0.03 * np.sin(np.linspace(0, np.pi, 7)) - mouth / 2], 1)
    lower = np.stack([np.linspace(0.15, -0.15, 5), np.full(5, 0.31 + mouth / 2)], 1)
    inner = np.array([(-0.16, 0.28), (-0.08, 0.28), (0, 0.28), (0.08, 0.28), (0.16, 0.28)])
    under = np.array([(0.08, 0.28), (0, 0.28), (-0.08, 0.28)])
    inner[1:4, 1] -= mouth / 2
    under[:, 1] += mouth / 2
    right, left = (eye + np.array([x, -0.25]) for x in (-0.25, 0.25))
    parts = [jaw, brow, (brow * [-1, 1])[::-1], bridge, base, right, left, upper, lower, inner, under]
    points = np.concatenate(parts)
    points -= (points.min(0) + points.max(0)) / 2
    points /= np.ptp(points, axis=0).max()
    turned = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    return points * side @ turned + np.array(centre)


class ToldEngine:
    """Sees the faces that it was told of, wherever it is made to look."""

    name, max_batch = "told", 1

    def __init__(self, *faces: np.ndarray) -> None:
        self.faces, self.looks = faces, 0

    def run(self, stage: str, *, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Red is the column and green the row of the pixel: so it knows where it looks."""
        assert picture.dtype == np.float32
        corner, step = self._place(picture[0])
        if stage == "landmarks":
            self.looks += 1
            return self._landmarks(corner, step)
        heat, squares = np.zeros((1, 1, 12, 12), np.float32), np.zeros((1, 3, 12, 12), np.float32)
        for points in self.faces:
            square = square_around(points)
            x, y = (np.array(square.centre) - corner) / step
            if 0 <= x < PICTURE and 0 <= y < PICTURE:
                heat[0, 0, int(y / 8), int(x / 8)] = 0.9
                squares[0, :, int(y / 8), int(x / 8)] = x, y, square.side / WIDE / step
        return {"heat": heat, "squares": squares}

    def _place(self, plane: np.ndarray) -> tuple[np.ndarray, float]:
        middle = plane[:2, 40:56, 40:56] * 255
        step = float((middle[0, :, -1] - middle[0, :, 0]).mean() / 15)
        return middle.mean((1, 2)) + 0.5 - step * 48, step

    def _landmarks(self, corner: np.ndarray, step: float) -> dict[str, np.ndarray]:
        side = step * CLOSE_UP
        near = [p for p in self.faces if np.linalg.norm(p.mean(0) - corner - side / 2) < 0.3 * side]
        points = (near[0] - corner) / side if near else np.full((68, 2), 0.5)
        score = np.array([[0.95 if near else 0.01]], np.float32)
        return {"points": points[None].astype(np.float32), "visible": np.ones((1, 68), np.float32), "face": score}


def test_mirroring_twice_changes_nothing_and_keeps_a_symmetric_face():
    points = a_face(centre=(0.0, 0.0))
    np.testing.assert_array_equal(MIRRORED[MIRRORED], np.arange(68))
    np.testing.assert_allclose((points * [-1, 1])[MIRRORED], points, atol=1e-9)


@pytest.mark.parametrize("roll", [-0.5, 0.0, 0.4])
def test_a_square_follows_place_size_and_roll(roll):
    square = square_around(a_face(centre=(31.0, 47.0), side=20.0, roll=roll))
    assert square.centre == pytest.approx((31.0, 47.0))
    assert square.side == pytest.approx(WIDE * 20)
    assert square.roll == pytest.approx(roll)


def test_a_square_places_points_where_its_matrix_takes_them_from():
    square = Square((30.0, 40.0), 25.0, roll=0.3)
    points = np.array([(25.0, 35.0), (33.0, 52.0)])
    matrix = square.matrix(96)
    inside = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(square.place(inside / 96), points)


@pytest.mark.parametrize("side", [48.0, 96.0, 192.0])
def test_a_square_cuts_out_what_it_says(coordinates, side):
    picture = Square((128.0, 100.0), side).cut(coordinates(200, 256), 96)
    columns = 128 - side / 2 + (np.arange(96) + 0.5) * side / 96 - 0.5
    np.testing.assert_allclose(picture[48, :, 0][8:-8], columns[8:-8], atol=1.5)
    assert float(picture[48, 48, 1]) == pytest.approx(100, abs=1.5)


def test_openness_grows_with_the_gap():
    shut, ajar, wide = (openness(a_face(mouth=gap)).mouth for gap in (0.0, 0.05, 0.2))
    assert shut == pytest.approx(0.0, abs=1e-9)
    assert 0.05 < ajar < wide
    eyes = openness(a_face())
    assert eyes.right_eye == pytest.approx(eyes.left_eye) == pytest.approx(0.3)


def test_the_box_is_higher_than_wide_and_holds_the_five_points():
    points = a_face()
    x, y, w, h = box_around(points)
    assert w < h
    assert x + w / 2 == pytest.approx(100.0)
    for px, py in five_points(points):
        assert x < px < x + w
        assert y < py < y + h
    right, left = five_points(points)[:2]
    assert right[0] < left[0], "the subject's right eye is on the picture's left"


def test_faces_are_found_where_they_are(coordinates):
    points = a_face(centre=(120.0, 90.0), side=70.0)
    (face,) = Landmarker(ToldEngine(points)).find(coordinates(200, 250))
    np.testing.assert_allclose(face.landmarks, points, atol=3)
    assert face.landmarks.dtype == np.float32
    assert face.points == five_points(face.landmarks)
    assert face.score == pytest.approx(0.95)


def test_two_faces_are_two_and_each_is_one(coordinates):
    told = a_face(centre=(60.0, 70.0), side=50.0), a_face(centre=(180.0, 120.0), side=60.0)
    faces = Landmarker(ToldEngine(*told)).find(coordinates(200, 250))
    assert sorted(round(face.centre[0], -1) for face in faces) == [60.0, 180.0]


def test_no_face_is_an_empty_list_after_a_bounded_number_of_looks(coordinates):
    engine = ToldEngine()
    assert Landmarker(engine).find(coordinates(200, 250)) == []
    assert engine.looks < 10


def test_tracking_needs_no_search_and_finds_a_lost_face_again(coordinates):
    here, there = a_face(centre=(60.0, 70.0)), a_face(centre=(190.0, 140.0))
    picture = coordinates(200, 250)
    last = Landmarker(ToldEngine(here)).track(picture, None)
    engine = ToldEngine(here)
    Landmarker(engine).track(picture, last)
    assert engine.looks == 3
    found = Landmarker(ToldEngine(there)).track(picture, last)
    assert found is not None
    assert found.centre[0] == pytest.approx(190, abs=3)
    assert Landmarker(ToldEngine()).track(picture, last) is None


def test_a_landmarker_wants_a_frame():
    with pytest.raises(ImageError, match="must be uint8"):
        Landmarker(ToldEngine()).find(np.zeros((4, 4)))
