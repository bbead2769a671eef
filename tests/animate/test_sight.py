"""A driver's face that goes out of sight: held, faded, said, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import stillmotion
from stillmotion.core.motion import Keypoints
from stillmotion.prepare.crop import Crop
from stillmotion.session.driving import Filmed
from stillmotion.session.faces import open_landmarker
from stillmotion.session.hold import FADE, HOLD
from stillmotion.session.inputs import example_photo
from stillmotion.session.sight import Sight

FACE = np.ascontiguousarray(stillmotion.read_image(example_photo())[:300:2, :300:2])
WALL = np.full_like(FACE, 120)
POINTS = np.random.default_rng(1).uniform(-0.5, 0.5, (10, 2)).astype(np.float32)
NOISE = np.random.default_rng(2).uniform(-0.5, 0.5, (10, 2)).astype(np.float32)


def pose(value: np.ndarray) -> Keypoints:
    return Keypoints(value=value.astype(np.float32))


@pytest.fixture(scope="module")
def networks():
    found = open_landmarker(threads=1)
    assert found.find(FACE)
    assert not found.find(WALL)
    return lambda: found


def test_noise_read_where_no_face_is_gives_way_to_the_last_pose_and_then_to_rest(networks) -> None:
    sight = Sight(networks)
    moved = pose(POINTS * np.float32(1.02) + np.float32(0.05))
    assert sight.see(pose(POINTS), FACE, Fraction(0)).value == pytest.approx(POINTS)
    assert sight.see(moved, FACE, Fraction(1, 25)) is moved
    held = sight.see(pose(NOISE), WALL, Fraction(2, 25))
    assert held.value == pytest.approx(moved.value)
    faded = sight.see(pose(NOISE), WALL, Fraction(2, 25) + Fraction(HOLD + FADE + 0.1))
    assert faded.value == pytest.approx(POINTS)
    assert len(sight.lost) == 2
    assert "out of sight in 2 frames, first at 0.08 s" in sight.warnings[0]


def test_a_leap_with_the_face_in_sight_is_followed(networks) -> None:
    sight = Sight(networks)
    leap = pose(POINTS + np.float32(0.1) * NOISE)
    sight.see(pose(POINTS), FACE, Fraction(0))
    assert sight.see(leap, FACE, Fraction(1, 25)) is leap
    assert sight.warnings == ()


def test_a_cut_to_something_else_is_not_followed(networks) -> None:
    sight = Sight(networks)
    sight.see(pose(POINTS), FACE, Fraction(0))
    assert sight.see(pose(NOISE), FACE, Fraction(1, 25)).value == pytest.approx(POINTS)
    assert "in 1 frame, first at 0.04 s" in sight.warnings[0]


def test_a_driver_in_whom_no_face_is_seen_is_never_held(networks) -> None:
    sight = Sight(networks)
    noise = pose(NOISE)
    sight.see(pose(POINTS), WALL, Fraction(0))
    assert sight.see(noise, WALL, Fraction(1, 25)) is noise
    assert sight.warnings == ()


def test_ordinary_motion_opens_no_network() -> None:
    def refuse() -> None:
        raise AssertionError("looked at a picture for nothing")

    sight = Sight(refuse)  # type: ignore[arg-type]
    for index in range(20):
        motion = pose(POINTS * np.float32(1 + 0.001 * index))
        assert sight.see(motion, WALL, Fraction(index, 25)) is motion


class Clip:
    """A face in the first frames, then a wall."""

    fps, length, path, has_audio, damaged = Fraction(25), 6, None, False, 0

    def timed(self):
        for index in range(6):
            yield Fraction(index, 25), FACE if index < 3 else WALL


class Reader:
    """Reads the same pose in every face, and noise in the wall."""

    def __init__(self, spec) -> None:
        self.spec = spec

    def read(self, frames: np.ndarray) -> list[Keypoints]:
        return [pose(NOISE if np.ptp(frame) == 0 else POINTS) for frame in frames]


@pytest.mark.parametrize(("contract", "count"), [("face", 1), ("whole", 0)])
def test_a_filmed_clip_holds_what_it_lost_and_records_it_so(tiny_bundle, contract: str, count: int) -> None:
    spec = replace(stillmotion.load(tiny_bundle).spec, crop=contract, size=FACE.shape[:2])
    filmed = Filmed(Clip(), Reader(spec), crop=Crop(0, 0, 150, 150))  # type: ignore[arg-type]
    clip = filmed.record()
    assert len(filmed.warnings) == count
    last = POINTS if count else NOISE
    assert clip[5].value == pytest.approx(last)
    assert [moment.motion.value for moment in filmed][5] == pytest.approx(last)
    assert len(filmed.warnings) == count
