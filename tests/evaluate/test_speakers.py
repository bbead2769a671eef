"""Real clips: boxes from a detector, one crop, scores of copying."""

from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import DataError
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import MethodSpec, Rendering
from stillmotion.evaluate.speakers import copy_first, face_boxes, read_speaker, rebuild, score_speaker
from stillmotion.prepare.faces import Face
from tests.scene import Scene


class Fixed:
    """Finds the same face in every picture, or none."""

    def __init__(self, face: Face | None) -> None:
        self.face = face

    def find(self, frame: Frame) -> list[Face]:
        return [self.face] if self.face else []


POINTS = ((20.0, 20.0), (40.0, 20.0), (30.0, 30.0), (24.0, 44.0), (36.0, 44.0))
FACE = Face((10.0, 5.0, 40.0, 50.0), 0.9, POINTS)


class Method:
    """Paints what it reads: the driving frame itself."""

    spec = MethodSpec("echo", "echo", (32, 32), "keypoints", ("absolute",), 1, "edges", crop="face", margin=1.8)

    def encode(self, sources: list[Frame]) -> dict[str, np.ndarray]:
        return {}

    def read(self, frames: np.ndarray) -> list[Frame]:
        return list(frames)

    def render(self, state: dict[str, np.ndarray], motions: list[Frame]) -> Rendering:
        return Rendering(to_planes(np.stack(motions)), ())


def test_boxes_lie_about_mouth_and_eyes() -> None:
    boxes = face_boxes(np.zeros((2, 64, 64, 3), np.uint8), Fixed(FACE))
    assert boxes[1] == {"l1_mouth": (slice(36, 54), slice(18, 42)), "l1_eyes": (slice(14, 26), slice(12, 48))}


@pytest.mark.parametrize("face", [None, Face((0.0, 0.0, 9.0, 9.0), 1.0)])
def test_no_points_no_boxes(face: Face | None) -> None:
    with pytest.raises(DataError, match="no face with its points in frame 0"):
        face_boxes(np.zeros((1, 64, 64, 3), np.uint8), Fixed(face))


def test_only_the_moving_mouth_is_missed_by_copying() -> None:
    frames = np.full((4, 64, 64, 3), 90, np.uint8)
    frames[2:, 40:50, 25:35] = 200
    boxes = face_boxes(frames, Fixed(FACE))
    got = score_speaker(copy_first(frames), frames, boxes)
    assert got["l1_eyes"] == 0
    assert got["l1_mouth"] == pytest.approx(110 / 255 * 100 / (18 * 24) / 2, rel=1e-5)
    assert score_speaker(to_planes(frames), frames, boxes)["l1"] == 0


def test_a_clip_is_cropped_once_and_thinned(scene: Scene) -> None:
    method = Method()
    frames = read_speaker(scene.clip, method, Fixed(FACE))  # type: ignore[arg-type]
    assert frames.shape[1:] == (32, 32, 3)
    assert np.array_equal(rebuild(method, frames), to_planes(frames))  # type: ignore[arg-type]
