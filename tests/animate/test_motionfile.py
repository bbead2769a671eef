"""Motion files: numbers that drive as the clip did, and only for the weights that read it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stillmotion import Keypoints, MotionError, OutputError, load
from stillmotion.animate import animate
from stillmotion.core.method import MethodSpec
from stillmotion.session.motionfile import MotionClip
from stillmotion.session.recording import read_motion
from tests.scene import NTSC, Scene, pictures

SPEC = MethodSpec("first-order", "toy", (32, 32), "keypoints", ("relative",), 1, "centers", checksum="abc")


def make_clip(rng: np.random.Generator, *, count: int = 3, jacobian: bool = True) -> MotionClip:
    motions = [
        Keypoints(rng.normal(size=(4, 2)), rng.normal(size=(4, 2, 2)) if jacobian else None) for _ in range(count)
    ]
    times = [index / NTSC for index in range(count)]
    return MotionClip.of(motions, times, fps=NTSC, spec=SPEC, crop="1,2,30,30")


@pytest.mark.parametrize("jacobian", [True, False])
def test_round_trip_is_exact(tmp_path: Path, rng, jacobian: bool) -> None:
    clip = make_clip(rng, jacobian=jacobian)
    back = MotionClip.open(clip.save(tmp_path / "m.safetensors"))
    assert back.times == clip.times
    assert back.fps == NTSC
    assert (back.method, back.weights, back.checksum, back.crop) == ("first-order", "toy", "abc", "1,2,30,30")
    assert back.arrays.keys() == clip.arrays.keys()
    for name, array in clip.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
    np.testing.assert_array_equal(back[1].value, clip[1].value)
    assert len(list(back)) == 3


def test_six_floats_a_keypoint_and_no_pictures(tmp_path: Path, rng) -> None:
    path = make_clip(rng, count=100).save(tmp_path / "m.safetensors")
    assert set(load_file(path)) == {"value", "jacobian", "times"}
    assert path.stat().st_size < 100 * (4 * 6 * 4 + 16) + 1000


@pytest.mark.parametrize("options", [{}, {"reference": "auto"}, {"reference": 2}, {"smooth": True}])
def test_a_motion_file_gives_the_frames_of_its_clip_bit_for_bit(
    tmp_path: Path, tiny_bundle: Path, scene: Scene, options: dict
) -> None:
    method = load(tiny_bundle)
    read_motion(scene.clip, tmp_path / "m.safetensors", method=method)
    for driving, name in ((scene.clip, "a"), (tmp_path / "m.safetensors", "b")):
        animate(scene.picture, driving, tmp_path / name, method=method, **options)
    ours, theirs = sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir())
    assert [path.name for path in ours] == [path.name for path in theirs]
    assert len(ours) == len(scene.frames)
    for a, b in zip(ours, theirs, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_it_keeps_rate_and_times(tmp_path: Path, tiny_bundle: Path, scene: Scene) -> None:
    report = read_motion(scene.clip, tmp_path / "m.safetensors", weights=tiny_bundle)
    assert (report.frames, report.fps, report.size) == (6, NTSC, None)
    clip = MotionClip.open(tmp_path / "m.safetensors")
    assert clip.times == tuple(index / NTSC for index in range(6))
    done = animate(scene.picture, clip, tmp_path / "out.mp4", weights=tiny_bundle)
    assert done.fps == NTSC
    assert done.audio == "none"
    assert len(pictures(tmp_path / "out.mp4")) == 6


def test_other_weights_refuse_it(tmp_path: Path, tiny_bundle: Path, compact_bundle: Path, scene: Scene) -> None:
    read_motion(scene.clip, tmp_path / "m.safetensors", weights=tiny_bundle)
    with pytest.raises(
        MotionError, match=r"was read by the weights tiny \(first-order\), not by tiny-compact"
    ) as caught:
        animate(scene.picture, tmp_path / "m.safetensors", tmp_path / "out.mp4", weights=compact_bundle)
    assert "stillmotion read" in caught.value.hint
    assert not (tmp_path / "out.mp4").exists()


def test_same_name_with_other_tensors_is_refused(rng) -> None:
    clip = make_clip(rng)
    other = MethodSpec("first-order", "toy", (32, 32), "keypoints", ("relative",), 1, "centers", checksum="xyz")
    with pytest.raises(MotionError, match="another version of the weights toy"):
        clip.check_weights(other)
    clip.check_weights(SPEC)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"", "not a readable motion file"),
        (b"<html>not found</html>" * 20, "not a readable motion file"),
        (None, "there is no file"),
    ],
)
def test_damaged_files(tmp_path: Path, damage: bytes | None, message: str) -> None:
    path = tmp_path / "m.safetensors"
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(MotionError, match=message) as caught:
        MotionClip.open(path)
    assert caught.value.hint


def test_a_file_that_was_cut_short(tmp_path: Path, rng) -> None:
    path = make_clip(rng).save(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MotionError, match="not a readable motion file"):
        MotionClip.open(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "is a safetensors file, but not a motion file"),
        ({"format": "stillmotion.motion", "version": "2"}, "motion file of version 2; this stillmotion reads up to 1"),
        ({"format": "stillmotion.motion", "version": "x"}, "of version x"),
        ({"format": "stillmotion.motion", "version": "1"}, "damaged motion file"),
    ],
)
def test_headers_of_other_files_and_versions(tmp_path: Path, header: dict[str, str], message: str) -> None:
    arrays = {"value": np.zeros((1, 2, 2), np.float32), "times": np.array([[0, 1]])}
    save_file(arrays, tmp_path / "m.safetensors", header or None)
    with pytest.raises(MotionError, match=message):
        MotionClip.open(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": np.full((3, 4, 2), np.nan, np.float32)}, "NaN"),
        ({"value": np.zeros((2, 4, 2), np.float32)}, "do not fit together"),
        ({"jacobian": np.zeros((3, 5, 2, 2), np.float32)}, "do not fit together"),
        ({"times": np.array([[0, 1], [2, 1], [1, 1]])}, "do not rise"),
        ({"times": np.array([[0, 1], [1, 0], [2, 1]])}, "damaged"),
        ({"times": np.zeros((0, 2), np.int64)}, "no frames"),
    ],
)
def test_contents_that_make_no_sense(tmp_path: Path, rng, changes: dict[str, np.ndarray], message: str) -> None:
    path = make_clip(rng).save(tmp_path / "m.safetensors")
    header = dict(zip(("method", "weights", "checksum", "convention", "crop"), "abcde", strict=True))
    header |= {"format": "stillmotion.motion", "version": "1", "fps": "25"}
    save_file({**load_file(path), **changes}, path, header)
    with pytest.raises(MotionError, match=message):
        MotionClip.open(path)


def test_names_of_motion_files(tmp_path: Path, rng) -> None:
    with pytest.raises(OutputError, match=r"must end in \.safetensors, not \.mp4"):
        make_clip(rng).save(tmp_path / "m.mp4")
    with pytest.raises(OutputError, match="does not exist"):
        make_clip(rng).save(tmp_path / "nowhere" / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_nothing_is_no_motion() -> None:
    with pytest.raises(MotionError, match="no frames"):
        MotionClip.of([], [], fps=Fraction(25), spec=SPEC, crop="")
