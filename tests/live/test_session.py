"""Live without any page: the mailbox, the numbers, holding and fading, calibration, cameras real and virtual."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

import stillmotion
from stillmotion.cli import main
from stillmotion.core.errors import MissingExtraError, OutputError, VideoError
from stillmotion.core.method import Method
from stillmotion.core.motion import Keypoints
from stillmotion.prepare.faces import Face
from stillmotion.session.hold import FADE, HOLD, RETURN, Hold, blend
from stillmotion.session.latest import Latest, Rhythm
from stillmotion.session.live import JUMPS, LiveSession, Settings
from stillmotion.session.pump import Pump, Seen
from stillmotion.session.stamp import STRIP, add_stamp, read_stamp
from stillmotion.video.camera import FAILURES, Camera, open_virtual_camera
from tests.scene import Scene, make_frame, pictures


@pytest.fixture
def method(tiny_bundle: Path) -> Method:
    return stillmotion.load(tiny_bundle, threads=1)


def points(x: float) -> Keypoints:
    value = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], np.float32) + np.float32(x)
    return Keypoints(value, jacobian=np.tile(np.eye(2, dtype=np.float32), (4, 1, 1)))


def test_the_newest_item_wins_and_the_others_are_counted() -> None:
    box: Latest[int] = Latest()
    for number in range(5):
        box.put(number)
    assert box.take() == 4
    assert (box.put_count, box.dropped) == (5, 4)
    assert box.take(0.01) is None
    waiting = threading.Thread(target=box.take)
    waiting.start()
    box.close()
    waiting.join(2)
    assert not waiting.is_alive()
    assert box.is_closed


def test_rate_and_delays() -> None:
    rhythm = Rhythm(count=100)
    assert rhythm.rate == 0.0
    assert rhythm.delay(0.5) is None
    for index in range(101):
        rhythm.beat(index / 1000, now=index / 25)
    assert rhythm.rate == pytest.approx(25)
    assert rhythm.delay(0.5) == pytest.approx(0.051)
    assert rhythm.delay(0.95) == pytest.approx(0.096)


def test_a_lost_face_is_held_then_faded_and_comes_back_without_a_jump() -> None:
    hold, seen = Hold(points(0.0)), []

    def step(wanted: Keypoints | None, now: float) -> float:
        shown = hold.step(wanted, now)
        assert isinstance(shown, Keypoints)
        seen.append(float(shown.value[0, 0]))
        return seen[-1] + 0.5

    clock = np.arange(0, 1, 0.02)
    for now in clock:
        step(points(0.4), now)
    assert step(points(0.4), 1.0) == pytest.approx(0.4)
    for now in clock:
        step(None, 1.0 + now * (HOLD + FADE))
        if now * (HOLD + FADE) < HOLD - 0.1:
            assert seen[-1] + 0.5 == pytest.approx(0.4)
    assert step(None, 1.0 + HOLD + FADE + 0.1) == pytest.approx(0.0)
    assert not hold.is_following
    for now in clock:
        step(points(0.4), 4.0 + now * (RETURN + 0.1))
    assert seen[-1] + 0.5 == pytest.approx(0.4)
    assert np.abs(np.diff(seen)).max() < 0.05


def test_blending_ends_where_it_should() -> None:
    assert blend(points(0), points(1), 0.0).value[0, 0] == -0.5
    assert blend(points(0), points(1), 0.5).value[0, 0] == pytest.approx(0.0)
    assert blend(points(0), points(1), 3.0).value[0, 0] == 0.5


def test_a_stamp_survives_a_codec() -> None:
    frame = np.ascontiguousarray(cv2.resize(make_frame(2), (256, 256)))
    for number in (0, 1, 1234, 4095, 4096):
        stamped = add_stamp(frame, number)
        assert (stamped[:-STRIP] == frame).all()
        picture = av.VideoFrame.from_ndarray(stamped, format="rgb24").reformat(format="yuv420p")
        codec = av.CodecContext.create("libvpx", "w")
        assert isinstance(codec, av.VideoCodecContext)
        codec.width, codec.height, codec.pix_fmt, codec.time_base = 256, 264, "yuv420p", Fraction(1, 25)
        codec.bit_rate = 300_000
        picture.pts = 0
        packets = [*codec.encode(picture), *codec.encode(None)]
        decoder = av.CodecContext.create("vp8", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoded = [out for packet in packets for out in decoder.decode(packet)] + decoder.decode(None)
        assert read_stamp(decoded[0].to_ndarray(format="rgb24")) == number % 4096
    assert read_stamp(np.full((264, 256, 3), 128, np.uint8)) is None


def test_settings_take_what_makes_sense_and_nothing_else() -> None:
    changed = Settings().changed(mode="absolute", zoom=9, mirror="yes", overlay=True, nonsense=1, label=1)
    assert changed == replace(Settings(), mode="absolute", zoom=2.0, overlay=True)


def test_calibration_moves_the_rest_pose(method: Method, scene: Scene) -> None:
    session = LiveSession(
        method, make_frame(1, size=(32, 32)), settings=Settings(mirror=False, auto=False, smooth=False)
    )
    still = session.idle(0.0)
    for index in range(8):
        session.step(scene.frames[0], 1.0 + index)
    assert session.status == "live"
    assert np.abs(session.step(scene.frames[0], 10.0).astype(int) - still).max() <= 1, "the rest pose is the source's"
    moved = session.step(scene.frames[5], 11.0)
    session.calibrate()
    session.step(scene.frames[5], 12.0)
    calibrated = session.step(scene.frames[5], 13.0)
    assert np.abs(calibrated.astype(int) - still).max() <= 1
    assert np.abs(moved.astype(int) - still).mean() >= np.abs(calibrated.astype(int) - still).mean()


def test_the_reference_moves_by_itself_to_a_closer_pose(method: Method, scene: Scene) -> None:
    for auto in (True, False):
        session = LiveSession(method, make_frame(1, size=(32, 32)), settings=Settings(smooth=False, auto=auto))
        session.step(scene.frames[5], 0.0)
        first, mine = session._animator.reference, session._animator.source
        session.mismatch = 0.5
        session._move_reference(mine, 1.0)
        assert session._animator.reference is (mine if auto else first)
        assert session.mismatch == (0.0 if auto else 0.5)
        session.close()


def test_mirror_zoom_overlay_label_mode_and_source_change_while_it_runs(method: Method, scene: Scene) -> None:
    session = LiveSession(method, make_frame(1, size=(32, 32)))
    session.step(scene.frames[0], 0.0)
    for number, change in enumerate(
        ({"mirror": False}, {"zoom": 1.5}, {"overlay": True}, {"label": True}, {"mode": "absolute"}, {"smooth": False})
    ):
        session.change(**change)
        assert session.step(scene.frames[number % 6], 1.0 + number).shape == (32, 32, 3)
    session.change(overlay=False, label=False)
    before = session.step(scene.frames[3], 20.0)
    session.swap(np.full((32, 32, 3), 200, np.uint8))
    assert np.abs(session.step(scene.frames[3], 21.0).astype(int) - before).mean() > 1


class FakeDetector:
    """A face in the middle, or none."""

    def __init__(self) -> None:
        self.is_there = True

    def find(self, frame: np.ndarray) -> list[Face]:
        return [Face(box=(20.0, 12.0, 20.0, 24.0), score=1.0)] if self.is_there else []


def test_a_face_that_leaves_is_said_and_held(method: Method, scene: Scene) -> None:
    method.spec = replace(method.spec, crop="face", margin=1.5)
    detector = FakeDetector()
    session = LiveSession(method, make_frame(1, size=(32, 32)), settings=Settings(mirror=False), detector=detector)
    rest = session.idle(0.0)
    assert session.step(scene.frames[0], 0.1).shape == (32, 32, 3)

    def until(status: str, begin: float) -> float:
        for tick in range(400):
            begin += 0.5
            session.step(scene.frames[tick % 2], begin)
            if session.status == status:
                return begin
            time.sleep(0.005)
        raise AssertionError(session.status)

    now = until("live", 1.0)
    detector.is_there = False
    now = until("no face to be seen", now)
    for _ in range(8):
        now += 0.5
        out = session.step(scene.frames[0], now)
    assert np.abs(out.astype(int) - rest).max() <= 1, "after the fade the source rests"
    detector.is_there = True
    until("live", now)
    session.close()


def test_a_reading_that_jumps_is_not_believed_at_once(method: Method, scene: Scene) -> None:
    session = LiveSession(method, make_frame(1, size=(32, 32)), settings=Settings(mirror=False, smooth=False))
    session.step(scene.frames[0], 0.0)
    far = Keypoints(points(0).value * np.array([[1, 0.01]], np.float32), jacobian=points(0).jacobian)
    believed = [not session._is_jump(far) for _ in range(JUMPS + 1)]
    assert believed == [False] * JUMPS + [True]


def test_the_pump_drops_what_it_cannot_keep_up_with(method: Method, scene: Scene) -> None:
    shown: list[Any] = []

    def slow(frame: np.ndarray, seen: Seen | None) -> None:
        time.sleep(0.02)
        shown.append(seen)

    pump = Pump(LiveSession(method, make_frame(1, size=(32, 32))), slow)
    for _ in range(40):
        pump.camera.put(Seen(lambda: scene.frames[0], arrived=time.perf_counter()))
        time.sleep(0.002)
    time.sleep(0.2)
    facts = pump.facts()
    pump.close()
    assert facts["seen"] == 40
    assert facts["dropped"] > 0
    assert len([seen for seen in shown if seen is not None]) + facts["dropped"] == 40
    assert facts["p50"] is not None
    assert facts["p95"] >= facts["p50"]


def test_a_camera_that_gives_nothing_lets_the_source_rest(method: Method) -> None:
    came = threading.Event()
    pump = Pump(LiveSession(method, make_frame(1, size=(32, 32))), lambda frame, seen: came.set())
    assert came.wait(10)
    assert pump.facts()["status"] == "the camera gives no pictures"
    pump.close()


class FakeCapture:
    """OpenCV's camera, with three frames in it."""

    def __init__(self, number: int) -> None:
        self.left, self.number = 3, number

    def isOpened(self) -> bool:
        return self.number == 0

    def set(self, name: int, value: float) -> None:
        return None

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.array([[[1, 2, 3]]], np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.number = -1


def test_a_camera_that_is_not_there_and_one_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with pytest.raises(VideoError, match="camera 7 cannot be opened") as caught, Camera(7):
        pass
    assert "plugged in" in caught.value.hint
    with Camera(0) as camera:
        frames = iter(camera)
        assert [next(frames).tolist() for _ in range(3)] == [[[[3, 2, 1]]]] * 3
        with pytest.raises(VideoError, match="camera 0 has stopped"):
            next(frames)
    assert FAILURES > 3


def test_a_virtual_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="a virtual camera needs the extra camera")
    sent: list[np.ndarray] = []
    with pytest.raises(OutputError, match="no virtual camera"), open_virtual_camera((48, 64), fps=25):
        pass

    class Backend(pyvirtualcam.Backend):  # type: ignore[name-defined,misc]
        def __init__(self, *, width: int, height: int, fps: float, **rest: object) -> None:
            self.size = (height, width)

        def close(self) -> None:
            return None

        def send(self, frame: np.ndarray) -> None:
            sent.append(frame.copy())

        def device(self) -> str:
            return "fake"

        def native_fourcc(self) -> None:
            return None

    pyvirtualcam.register_backend("fake", Backend)
    with open_virtual_camera((48, 64), fps=25, backend="fake") as camera:
        camera.send(make_frame(0))
    assert sent[0].reshape(-1).tolist() == make_frame(0).reshape(-1).tolist()
    monkeypatch.setitem(__import__("sys").modules, "pyvirtualcam", None)
    with pytest.raises(MissingExtraError, match="needs pyvirtualcam"), open_virtual_camera((48, 64), fps=25):
        pass


def test_a_dry_run_on_the_command_line(
    tmp_path: Path, scene: Scene, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "live.mp4"
    words = ["live", str(scene.picture), "--crop", "none", "--weights", str(tiny_bundle), "--json"]
    assert main([*words, "--input", str(scene.clip), "--seconds", "1", "-o", str(output)]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["seen"] > 10
    assert facts["status"] == "live"
    assert len(pictures(output)) > 3
    assert "Only animate people who agreed to it" in captured.err
    assert main(["live", "--virtual-camera"]) == 1
    assert "add --camera 0" in capsys.readouterr().err
    assert main(["live", "--camera", "0", "--input", "x.mp4"]) == 1
    assert "both give a driver" in capsys.readouterr().err


def test_ticks_become_moments_of_the_sender_s_clock() -> None:
    import asyncio

    from stillmotion.live.clock import CaptureClock

    seen: list[str] = []

    async def rtp(packet: Any, **rest: Any) -> None:
        seen.append("rtp")

    async def rtcp(packet: Any) -> None:
        seen.append("rtcp")

    receiver = SimpleNamespace(_handle_rtp_packet=rtp, _handle_rtcp_packet=rtcp)
    clock = CaptureClock(receiver)
    assert clock.captured(0) is None
    near_the_end = (1 << 32) - 9000

    async def packets() -> None:
        await receiver._handle_rtp_packet(SimpleNamespace(payload=b"", ssrc=7, timestamp=0), arrival_time_ms=0)
        for tick in (near_the_end, near_the_end + 3000):
            packet = SimpleNamespace(payload=b"x", ssrc=7, timestamp=tick)
            await receiver._handle_rtp_packet(packet, arrival_time_ms=0)
        moment = (2_208_988_800 + 1000) << 32
        sender = SimpleNamespace(rtp_timestamp=81_000, ntp_timestamp=moment)  # 90000 ticks later, past the wrap
        await receiver._handle_rtcp_packet(SimpleNamespace(ssrc=7, sender_info=sender))

    asyncio.run(packets())
    assert seen == ["rtp", "rtp", "rtp", "rtcp"]
    assert clock.captured(0) == pytest.approx(999.0)
    assert clock.captured(45_000) == pytest.approx(999.5)
