"""Close-ups of eyes, how far they are to be shut, and a photo with its lids drawn down."""

from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.motion import Keypoints
from stillmotion.prepare import lids
from stillmotion.prepare.lids import PATCH, EyeReader, Lids, eye_patches, knows_lids, shutting

MARKS = {name: index for index, name in enumerate(sorted(lids.NEEDED))}
SKIN, EYE, LASH = (200, 160, 140), (20, 30, 90), (60, 30, 20)


def face(*, turn: float = 0.0, size: int = 256) -> tuple[np.ndarray, np.ndarray, Keypoints]:
    """A flat face with two dark eyes, its landmarks (only those of the eyes count), and its keypoints."""
    y, x = np.mgrid[0:size, 0:size] + 0.5
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = size / 2
    points = np.zeros((68, 2))
    frame = np.full((size, size, 3), SKIN, np.uint8)
    places = {}
    for side, start, way in (("right", 36, -1), ("left", 42, 1)):
        middle = rotation @ [way * 40, -20] + centre
        u = (x - middle[0]) * np.cos(turn) + (y - middle[1]) * np.sin(turn)
        v = -(x - middle[0]) * np.sin(turn) + (y - middle[1]) * np.cos(turn)
        height = 6 * (1 - (u / 14) ** 2)
        frame[np.abs(v) < height + 1.5] = LASH
        frame[np.abs(v) < height] = EYE
        outline = [(-14, 0), (-5, -5.2), (5, -5.2), (14, 0), (5, 5.2), (-5, 5.2)]
        points[start : start + 6] = np.array(outline) @ rotation.T + middle
        places[f"{side} upper lid"] = rotation @ [way * 40, -25] + centre
        places[f"{side} lower lid"] = rotation @ [way * 40, -15] + centre
        places[f"{side} mouth corner"] = rotation @ [way * 20, 50] + centre
    value = np.array([places[name] for name in MARKS]) / size * 2 - 1
    return frame, points, Keypoints(value)


def dark(frame: np.ndarray) -> int:
    """Pixels that show an eye."""
    return int((np.abs(frame.astype(int) - EYE).sum(-1) < 60).sum())


@pytest.mark.parametrize("turn", [0.0, 0.4, -0.7])
def test_shut_eyes_show_no_eye_and_nothing_far_from_them_changes(turn: float) -> None:
    frame, points, _ = face(turn=turn)
    photo = Lids(frame, points)
    assert np.array_equal(photo.shut(0, 0), frame)
    shares = [dark(photo.shut(share, share)) / dark(frame) for share in (0.25, 0.5, 0.75, 1.0)]
    assert all(a > b for a, b in zip([1.0, *shares], shares, strict=False)), shares
    assert shares[-1] < 0.02
    changed = np.argwhere((photo.shut(1, 1) != frame).any(-1))[:, ::-1] + 0.5
    nearest = np.linalg.norm(changed[:, None] - points[None, 36:48], axis=-1).min(1)
    assert nearest.max() < 17


def test_a_wink_shuts_one_eye() -> None:
    frame, points, _ = face()
    photo = Lids(frame, points)
    assert np.array_equal(photo.shut(1, 0)[:, 128:], frame[:, 128:])
    assert np.array_equal(photo.shut(0, 1)[:, :128], frame[:, :128])
    assert dark(photo.shut(1, 0)) == pytest.approx(dark(frame) / 2, rel=0.1)


def test_eyes_at_the_edge_and_outside_the_picture_do_no_harm() -> None:
    frame, points, _ = face()
    for away in ((-100, 0), (0, -120), (-400, 400)):
        assert Lids(frame, points + away).shut(1, 1).shape == frame.shape


@pytest.mark.parametrize("turn", [0.0, 0.5])
def test_close_ups_are_upright_and_both_eyes_look_alike(turn: float) -> None:
    frame, _, motion = face(turn=turn)
    right, left = eye_patches(frame, motion, MARKS)
    assert right.shape == (*PATCH, 3)
    assert np.abs(right.astype(int) - left).mean() < 12, "the face is symmetric"
    plain = eye_patches(*face()[::2], MARKS)[0]
    assert np.abs(right.astype(int) - plain).mean() < 12, "a tilted head is set upright"
    assert dark(right) > 30


def test_close_ups_grow_with_the_face() -> None:
    small, _, motion = face()
    large = np.repeat(np.repeat(small, 2, 0), 2, 1)
    pairs = zip(eye_patches(small, motion, MARKS), eye_patches(large, motion, MARKS), strict=True)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in pairs) < 10


class Brightness:
    """An engine that finds an eye as open as its close-up is bright."""

    name, max_batch = "test", 1

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        assert stage == "lids"
        assert arrays["eyes"].shape == (2, 3, *PATCH)
        return {"openness": arrays["eyes"].mean((1, 2, 3)) * 2 - 0.5}


def test_the_reader_adds_lids_and_leaves_the_keypoints() -> None:
    frame, _, motion = face()
    found = EyeReader(Brightness(), MARKS).see(motion, frame)
    assert found.value is motion.value or np.array_equal(found.value, motion.value)
    assert found.lids is not None
    assert found.lids.shape == (2,)
    assert EyeReader(Brightness(), MARKS).see(motion, np.zeros_like(frame)).lids.tolist() == [0, 0]  # type: ignore[union-attr]


def test_how_far_eyes_shut() -> None:
    own = np.array([0.3, 0.3])
    assert shutting(own, own).tolist() == [0, 0]
    assert shutting(own * 2, own).tolist() == [0, 0], "wider than in the photo they do not get"
    assert shutting(own * 0, own).tolist() == [1, 1]
    assert 0.2 < shutting(own * 0.6, own)[0] < 0.8
    right, left = shutting(own * [0.1, 1.0], own)
    assert right > 0.6, "a wink"
    assert left < 0.6


def test_which_marks_are_needed() -> None:
    assert knows_lids(MARKS)
    assert not knows_lids({})
    assert not knows_lids({name: index for name, index in MARKS.items() if "mouth" not in name})
