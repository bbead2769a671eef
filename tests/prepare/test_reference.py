from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import MotionError
from stillmotion.core.motion import Keypoints
from stillmotion.prepare import POSE_MISMATCH, YuNet, find_reference, main_face, mismatch_warning, pose_mismatch


def turned(points: np.ndarray, degrees: float) -> Keypoints:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return Keypoints(points @ np.array([[c, s], [-s, c]]))


@pytest.fixture
def points(rng):
    return rng.uniform(-0.6, 0.6, (10, 2))


def test_the_closest_pose_is_found_in_a_stream(points):
    index, distance = find_reference(Keypoints(points), (turned(points, a) for a in (40, 20, 5, -30)))
    assert index == 2
    assert distance == pytest.approx(pose_mismatch(Keypoints(points), turned(points, 5)))


def test_place_and_size_do_not_count(points):
    index, distance = find_reference(Keypoints(points), [turned(points, 10), Keypoints(points * 0.4 + 0.3)])
    assert index == 1
    assert distance == pytest.approx(0, abs=1e-5)


def test_of_equals_the_first_wins(points):
    assert find_reference(Keypoints(points), [Keypoints(points)] * 3)[0] == 0


def test_nothing_to_search_is_an_error(points):
    with pytest.raises(MotionError, match="the driving has no frames"):
        find_reference(Keypoints(points), [])
    with pytest.raises(MotionError, match="source has 10 keypoints, the driving 5"):
        find_reference(Keypoints(points), [Keypoints(points[:5])])


def test_the_warning_carries_the_number(points):
    source = Keypoints(points)
    assert mismatch_warning(source, turned(points, 5)) is None
    text = mismatch_warning(source, turned(points, 60))
    assert text is not None
    assert f"{pose_mismatch(source, turned(points, 60)):.2f}" in text
    assert f"{POSE_MISMATCH:.2f}" in text
    assert "--reference auto" in text
    assert mismatch_warning(source, turned(points, 60), threshold=10.0) is None


def test_frontal_faces_of_different_people_do_not_warn(face_model, grid_clips):
    detector = YuNet(face_model)
    poses = [Keypoints(np.array(main_face(detector.find(f[0])).points) / 180 - 1) for f in grid_clips.values()]
    mismatches = [pose_mismatch(a, b) for a in poses for b in poses if a is not b]
    assert max(mismatches) < POSE_MISMATCH
