"""Tracks: smooth, within the limits, deterministic, and the geometry that performs them."""

from __future__ import annotations

import numpy as np
import pytest

from stillmotion.data.worlds.figure import Camera, angles_of, rotation
from stillmotion.data.worlds.motion import SHAPES, Track, make_faces, make_track


@pytest.mark.parametrize("seed", range(12))
def test_tracks_stay_within_what_a_head_can_do(seed: int) -> None:
    track = make_track(seed, 100)
    assert (np.abs(track.head) <= np.radians([40, 25, 20]) + 1e-6).all()
    assert (track.shapes >= 0).all()
    assert (track.shapes <= 1).all()
    assert (np.abs(track.gaze) <= np.radians([28, 16]) + 1e-6).all()
    # No jumps: a head turns less than 400 degrees a second.
    assert np.abs(np.diff(track.head, axis=0)).max() * track.fps < np.radians(400)


def test_tracks_differ_and_speak_and_blink() -> None:
    tracks = [make_track(seed, 250) for seed in range(10)]
    assert len({track.head.tobytes() for track in tracks}) == 10
    lids = SHAPES.index("LeyeClose_h")
    assert sum(bool(track.shapes[:, lids].max() > 0.8) for track in tracks) >= 7
    mouth = [SHAPES.index(name) for name in ("AE_AA_h", "MouthOpen_h", "AO_a_h", "UW_U_h", "MPB_Up_h")]
    assert sum(bool((track.shapes[:, mouth].max(0) > 0.2).sum() >= 3) for track in tracks) >= 5


def test_faces_show_and_hide_teeth_and_keep_eyes_shut() -> None:
    tracks = [make_faces(seed, 16, fps=4.0) for seed in range(60)]
    shapes = np.concatenate([track.shapes for track in tracks])
    assert (shapes >= 0).all()
    assert (shapes <= 1).all()
    smile, lids = SHAPES.index("RsmileOpen_h"), [SHAPES.index(f"{side}eyeClose_h") for side in "LR"]
    reach = np.array([np.ptp(track.shapes[:, smile]) for track in tracks])
    assert (reach > 0.4).mean() > 0.35, "in many clips a smile with teeth comes or goes"
    assert 0.1 < (shapes[:, lids].min(1) > 0.9).mean() < 0.5, "eyes are shut in a good part of the frames"
    plain = np.concatenate([make_track(seed, 16, fps=4.0).shapes for seed in range(60)])
    assert (plain[:, smile] > 0.4).mean() < 0.5 * (shapes[:, smile] > 0.4).mean()
    np.testing.assert_array_equal(tracks[3].head, make_track(3, 16, fps=4.0).head)


def test_most_poses_are_moderate_and_some_are_wide() -> None:
    yaw = np.degrees(np.concatenate([make_track(seed, 50, fps=5).head[:, 0] for seed in range(60)]))
    assert np.median(np.abs(yaw)) < 15
    assert np.abs(yaw).max() > 32


def test_a_track_is_a_function_of_its_seed() -> None:
    first, second = make_track(3, 20), make_track(3, 20)
    for name in Track.arrays():
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert len(first[4:9]) == 5


def test_angles_and_rotations_are_inverses(rng: np.random.Generator) -> None:
    angles = rng.uniform(-1, 1, (50, 3)) * [1.2, 1.2, 1.2]
    np.testing.assert_allclose(angles_of(rotation(angles)), angles, atol=1e-9)


def test_positive_yaw_turns_the_nose_to_the_right_of_the_picture() -> None:
    nose = rotation(np.array([[0.3, 0.0, 0.0]]))[0] @ [0.0, 0.0, 1.0]
    assert nose[0] > 0.2


def test_the_camera_projects_y_down_with_the_corners_at_one() -> None:
    camera = Camera((0.1, 0.2), 0.4, 1.0)
    points = np.array([[[0.1, 0.2, 0.0], [0.3, 0.4, 0.0], [-0.1, 0.0, 0.0]]])
    out = camera.project(points, np.zeros((1, 4)))[0]
    np.testing.assert_allclose(out[:, :2], [[0, 0], [1, -1], [-1, 1]], atol=1e-6)
