"""The story end to end: files in, file out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import stillmotion
from stillmotion import ConfigError, CropError, MotionError, OutputError, VideoError
from stillmotion.animate import animate
from stillmotion.video.stream import FrameStream
from tests.scene import NTSC, Scene, make_frame, pictures, sound_packets, write_clip


@pytest.fixture(scope="module")
def method(tiny_bundle: Path) -> stillmotion.Method:
    return stillmotion.load(tiny_bundle)


def test_as_many_frames_at_the_same_rate_with_the_same_sound(tmp_path: Path, method, scene: Scene) -> None:
    report = stillmotion.animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == NTSC
        assert sum(1 for _ in container.decode(video=0)) == len(scene.frames)
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(scene.clip)
    assert (report.frames, report.fps, report.size, report.audio) == (6, NTSC, (32, 32), "copied")
    assert (report.method, report.weights, report.engine) == ("first-order", "tiny", "openvino")
    assert (report.reference, report.motion) == (0, "relative")
    assert report.crop_driving == "8,0,48,48"
    assert report.seconds > 0
    assert report.speed > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_the_report_is_json(tmp_path: Path, method, scene: Scene) -> None:
    report = animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method)
    read = json.loads(report.to_json())
    assert read["fps"] == "30000/1001"
    assert read["frames"] == 6
    assert read["size"] == [32, 32]
    assert isinstance(read["mismatch"], float)


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path, method, scene: Scene) -> None:
    stamps = [0, 1, 4, 5, 9, 10]
    clip = write_clip(tmp_path / "variable.mp4", scene.frames, fps=Fraction(25), stamps=stamps)
    animate(scene.picture, clip, tmp_path / "out.mp4", method=method)
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(stamp, 25) for stamp in stamps]


def test_auto_reference_finds_the_planted_frame(tmp_path: Path, method, scene: Scene) -> None:
    source = make_frame(9, size=(32, 32))
    frames = [make_frame(index, size=(32, 32)) for index in (0, 3, 9, 5)]
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index}.png")
    report = animate(source, folder, tmp_path / "out", method=method, reference="auto")
    assert report.reference == 2
    assert report.mismatch == pytest.approx(0, abs=1e-6)
    assert report.warnings == ()
    written = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").iterdir())]
    reference = method.read(source[None])[0]
    expected = list(stillmotion.Animator(method, source, reference=reference).animate(frames))
    for got, want in zip(written, expected, strict=True):
        assert np.abs(got.astype(int) - want).max() <= 1


def test_a_reference_by_number(tmp_path: Path, method, scene: Scene) -> None:
    report = animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method, reference=3)
    assert report.reference == 3
    for number in (6, -1):
        with pytest.raises(ConfigError, match=f"no frame {number} to take as reference") as caught:
            animate(scene.picture, scene.clip, tmp_path / "none.mp4", method=method, reference=number)
        assert "--reference first" in caught.value.hint
    with pytest.raises(ConfigError, match="unknown reference 'best'"):
        animate(scene.picture, scene.clip, tmp_path / "none.mp4", method=method, reference="best")
    assert not (tmp_path / "none.mp4").exists()


def test_a_bad_pose_is_said_with_a_number(tmp_path: Path, method, scene: Scene) -> None:
    report = animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method)
    if report.mismatch > 0.15:
        assert any(f"differs from the source's by {report.mismatch:.2f}" in line for line in report.warnings)
    absolute = animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method, motion="absolute")
    assert not any("pose" in line for line in absolute.warnings)


def test_paste_back_keeps_the_full_picture(tmp_path: Path, method, scene: Scene) -> None:
    report = animate(
        scene.picture, scene.clip, tmp_path / "out", method=method, paste_back=True, crop_source="20,20,40,40"
    )
    assert report.size == (80, 96)
    assert report.crop_source == "20,20,40,40"
    picture = np.asarray(Image.open(scene.picture))
    frame = np.asarray(Image.open(tmp_path / "out" / "000004.png"))
    outside = np.ones((80, 96), bool)
    outside[20:60, 20:60] = False
    np.testing.assert_array_equal(frame[outside], picture[outside])
    assert np.abs(frame[30:50, 30:50].astype(int) - picture[30:50, 30:50]).max() > 0


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"side_by_side": True}, (32, 96)),
        ({"show": "flow"}, (32, 64)),
        ({"show": "occlusion"}, (32, 64)),
        ({"show": "keypoints"}, (32, 32)),
        ({"side_by_side": True, "show": "flow"}, (32, 128)),
        ({"side_by_side": True, "show": "flow", "paste_back": True}, (80, 96 * 2 + 80 * 2)),
    ],
)
def test_panels(tmp_path: Path, method, scene: Scene, options: dict, size: tuple[int, int]) -> None:
    report = animate(scene.picture, scene.clip, tmp_path / "out", method=method, **options)
    assert report.size == size
    assert np.asarray(Image.open(tmp_path / "out" / "000003.png")).shape == (*size, 3)


def test_side_by_side_shows_source_driving_and_result(tmp_path: Path, method, scene: Scene) -> None:
    animate(scene.picture, scene.clip, tmp_path / "plain", method=method, reference="auto")
    animate(scene.picture, scene.clip, tmp_path / "beside", method=method, reference="auto", side_by_side=True)
    plain = np.asarray(Image.open(tmp_path / "plain" / "000002.png"))
    source, driving, result = np.split(np.asarray(Image.open(tmp_path / "beside" / "000002.png")), 3, axis=1)
    np.testing.assert_array_equal(result, plain)
    np.testing.assert_array_equal(source, _fitted(np.asarray(Image.open(scene.picture))))
    assert np.abs(driving.astype(int) - _fitted(scene.frames[2])).mean() < 8


def _fitted(frame: np.ndarray) -> np.ndarray:
    from stillmotion.prepare.crop import whole_crop

    return whole_crop(frame.shape[:2], (32, 32)).apply(frame, (32, 32))


def test_side_by_side_with_a_motion_file_has_no_driving_panel(tmp_path: Path, method, scene: Scene) -> None:
    stillmotion.read_motion(scene.clip, tmp_path / "m.safetensors", method=method)
    report = animate(scene.picture, tmp_path / "m.safetensors", tmp_path / "o.mp4", method=method, side_by_side=True)
    assert report.size == (32, 64)


def test_gif_and_folders_in_and_out(tmp_path: Path, method, scene: Scene) -> None:
    first = animate(scene.picture, scene.clip, tmp_path / "a.gif", method=method)
    assert first.audio == "no sound: GIF cannot hold any"
    second = animate(scene.picture, tmp_path / "a.gif", tmp_path / "b", method=method)
    third = animate(scene.picture, tmp_path / "b", tmp_path / "c.webm", method=method, fps=Fraction(24000, 1001))
    assert first.frames == second.frames == third.frames == 6
    assert third.fps == Fraction(24000, 1001)


def test_no_occlusion_to_show(tmp_path: Path, compact_bundle: Path, scene: Scene) -> None:
    with pytest.raises(MotionError, match="no occlusion map"):
        animate(scene.picture, scene.clip, tmp_path / "o.mp4", weights=compact_bundle, show="occlusion")
    with pytest.raises(ConfigError, match="cannot show 'depth'"):
        animate(scene.picture, scene.clip, tmp_path / "o.mp4", weights=compact_bundle, show="depth")
    assert not list(tmp_path.iterdir())


def test_progress_counts_frames_and_speed(tmp_path: Path, method, scene: Scene) -> None:
    seen: list[tuple[int, int | None, float]] = []
    animate(scene.picture, scene.clip, tmp_path / "o.mp4", method=method, progress=lambda *args: seen.append(args))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in seen} == {6}
    assert all(speed > 0 for _, _, speed in seen)


def test_ctrl_c_keeps_what_was_done(tmp_path: Path, method, scene: Scene) -> None:
    def stop(done: int, total: int | None, speed: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial.mp4"]
    assert len(pictures(tmp_path / "out.partial.mp4")) == 3
    assert "out.partial.mp4" in caught.value.__notes__[0]


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path, method, scene: Scene, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stillmotion.Animator, "render", stop)
    with pytest.raises(KeyboardInterrupt):
        animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method)
    assert not list(tmp_path.iterdir())


def test_a_failure_midway_leaves_nothing_and_keeps_an_older_file(
    tmp_path: Path, method, scene: Scene, monkeypatch
) -> None:
    (tmp_path / "out.mp4").write_bytes(b"older")
    calls = iter(range(10))
    render = stillmotion.Animator.render

    def fail(animator: stillmotion.Animator, motion: stillmotion.Keypoints) -> stillmotion.Rendering:
        if next(calls) == 2:
            raise MotionError("planted")
        return render(animator, motion)

    monkeypatch.setattr(stillmotion.Animator, "render", fail)
    with pytest.raises(MotionError, match="planted"):
        animate(scene.picture, scene.clip, tmp_path / "out.mp4", method=method)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"older"


def test_inputs_are_never_overwritten(tmp_path: Path, method, scene: Scene) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(scene.clip.read_bytes())
    with pytest.raises(OutputError, match="is an input and would be overwritten"):
        animate(scene.picture, clip, clip, method=method)
    assert clip.read_bytes() == scene.clip.read_bytes()


def test_crops_are_read_from_text_and_checked(tmp_path: Path, method, scene: Scene) -> None:
    with pytest.raises(CropError, match="neither auto, none nor x,y,w,h"):
        animate(scene.picture, scene.clip, tmp_path / "o.mp4", method=method, crop_source="left")
    with pytest.raises(CropError, match="lies outside"):
        animate(scene.picture, scene.clip, tmp_path / "o.mp4", method=method, crop_driving="500,0,40,40")


@pytest.mark.parametrize("options", [{}, {"reference": "auto", "side_by_side": True, "smooth": True}])
def test_nothing_holds_a_whole_video(tmp_path: Path, method, monkeypatch, options: dict) -> None:
    clip = write_clip(tmp_path / "long.mp4", [make_frame(index) for index in range(30)])
    alive: list[weakref.ref[np.ndarray]] = []
    most = []
    timed = FrameStream.timed

    def watched(stream: FrameStream) -> Iterator[tuple[Fraction, np.ndarray]]:
        for time, frame in timed(stream):
            alive.append(weakref.ref(frame))
            most.append(sum(ref() is not None for ref in alive))
            yield time, frame

    monkeypatch.setattr(FrameStream, "timed", watched)
    animate(make_frame(3), clip, tmp_path / "out.mp4", method=method, **options)
    assert len(most) >= 30
    assert max(most) <= 3


def test_one_frame_is_no_driving(tmp_path: Path, method, scene: Scene) -> None:
    with pytest.raises(VideoError, match="has one frame, so nothing moves"):
        animate(scene.picture, scene.picture, tmp_path / "o.mp4", method=method)
    with pytest.raises(VideoError, match="has one frame, so nothing moves"):
        stillmotion.read_motion(scene.picture, tmp_path / "o.safetensors", method=method)
    assert not list(tmp_path.iterdir())


FRESH = """
import builtins, socket, sys

real = builtins.__import__
def refuse(name, *args, **kwargs):
    if name.partition(".")[0] in ("torch", "onnxruntime"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, *args, **kwargs)
builtins.__import__ = refuse

def no_network(*args, **kwargs):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = no_network
sys.addaudithook(lambda event, args: no_network() if event in ("socket.connect", "socket.getaddrinfo") else None)

import stillmotion
weights, source, driving, output = sys.argv[1:]
report = stillmotion.animate(source, driving, output, weights=weights)
assert report.frames == 3, report
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "onnxruntime", "requests", "urllib3"}, loaded
"""


def test_a_fresh_interpreter_without_torch_animates_three_frames_and_opens_no_socket(
    tmp_path: Path, tiny_bundle: Path, scene: Scene
) -> None:
    clip = write_clip(tmp_path / "three.mp4", scene.frames[:3])
    words = [str(path) for path in (tiny_bundle, scene.picture, clip, tmp_path / "out.mp4")]
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(FRESH), *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert len(pictures(tmp_path / "out.mp4")) == 3
    assert not list((tmp_path / "home").rglob("*")), "something was written into the home folder"


def test_motion_has_its_own_frame_rate(tmp_path: Path, method, scene: Scene) -> None:
    stillmotion.read_motion(scene.clip, tmp_path / "m.safetensors", method=method)
    with pytest.raises(ConfigError, match=r"m\.safetensors has its own frame rate"):
        stillmotion.animate(scene.picture, tmp_path / "m.safetensors", tmp_path / "o.mp4", method=method, fps=12)
    assert not (tmp_path / "o.mp4").exists()
