"""Reading clips: sizes, rates, times, the last frames, damage, and what is refused."""

from __future__ import annotations

import gc
import os
import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from stillmotion.core.errors import VideoError
from stillmotion.core.frame import Video
from stillmotion.video import open_video
from stillmotion.video import read as read_module


def levels(frames) -> list[int]:
    """Which index each frame of `Clips.frame` carries, read from its grey level."""
    return [round((float(frame[-8:, -8:].mean()) - 16) / 4) for frame in frames]


def test_keeps_the_protocol_and_reads_twice(clips) -> None:
    path = clips.clip("a.mp4", clips.frames(12), sound="aac")
    with open_video(path) as video:
        assert isinstance(video, Video)
        assert (video.size, video.fps, video.length, video.has_audio) == ((48, 64), 25, 12, True)
        first, second = list(video), list(video)
    assert levels(first) == levels(second) == list(range(12))
    assert first[0].dtype == np.uint8
    assert first[0].flags.c_contiguous


def test_two_passes_at_once_do_not_disturb_each_other(clips) -> None:
    with open_video(clips.clip("a.mp4", clips.frames(6))) as video:
        pairs = list(zip(video, video, strict=True))
    assert levels([a for a, _ in pairs]) == levels([b for _, b in pairs]) == list(range(6))


def test_frames_that_the_decoder_holds_back_are_not_lost(clips) -> None:
    path = clips.clip("b.mp4", clips.frames(40), options={"bf": "3", "preset": "slow"})
    with open_video(path) as video:
        assert levels(video) == list(range(40))
        assert video.damaged == 0


@pytest.mark.parametrize("suffix", [".avi", ".flv", ".ts", ".h264", ".mov"])
def test_containers_with_poor_clocks_give_every_frame_its_time(clips, suffix: str) -> None:
    path = clips.clip(f"b{suffix}", clips.frames(40), options={"bf": "3"})
    with open_video(path) as video:
        timed = list(video.timed())
    assert levels([frame for _, frame in timed]) == list(range(40))
    assert [time for time, _ in timed] == [Fraction(i, 25) for i in range(40)]


@pytest.mark.parametrize("fps", [(30000, 1001), (24000, 1001), (60000, 1001), (25, 1), (25, 2)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_rates_are_exact(clips, fps: tuple[int, int], suffix: str) -> None:
    rate = Fraction(*fps)
    with open_video(clips.clip(f"r{suffix}", clips.frames(30), fps=rate)) as video:
        assert video.fps == rate
        assert [time for time, _ in video.timed()] == [i / rate for i in range(30)]


def test_variable_rate_keeps_its_stamps_and_a_late_start_counts_from_zero(clips) -> None:
    stamps = [0, 1, 2, 5, 6, 11, 12]
    path = clips.clip("v.mp4", clips.frames(7), stamps=stamps, base=Fraction(1, 25), start=50)
    with open_video(path) as video:
        assert [time for time, _ in video.timed()] == [Fraction(stamp, 25) for stamp in stamps]


@pytest.mark.parametrize(
    ("rotation", "mirrored", "size", "corner"),
    [
        (90, False, (64, 48), (-1, 0)),
        (-90, False, (64, 48), (0, -1)),
        (180, False, (48, 64), (-1, -1)),
        (0, True, (48, 64), (0, -1)),
    ],
)
def test_display_matrix_is_obeyed(clips, rotation: int, mirrored: bool, size, corner) -> None:
    path = clips.clip("t.mp4", clips.frames(3), rotation=rotation, mirrored=mirrored)
    with open_video(path) as video:
        assert video.size == size
        frame = next(iter(video))
    bright = {(y, x) for y in (0, -1) for x in (0, -1) if frame[y, x].mean() > 200}
    assert bright == {corner}


@pytest.mark.parametrize(("aspect", "size"), [((2, 1), (48, 128)), ((1, 2), (96, 64)), ((1, 1), (48, 64))])
def test_square_pixels(clips, aspect: tuple[int, int], size: tuple[int, int]) -> None:
    with open_video(clips.clip("s.mp4", clips.frames(2), aspect=Fraction(*aspect))) as video:
        assert video.size == size
        assert next(iter(video)).shape == (*size, 3)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "size"),
    [
        ("libx264", "yuv420p10le", ".mp4", (48, 64)),
        ("libx264", "yuv444p", ".mkv", (49, 63)),
        ("mpeg4", "yuv420p", ".avi", (48, 64)),
        ("mpeg2video", "yuv420p", ".mpg", (48, 64)),
        ("libvpx-vp9", "yuv420p", ".webm", (49, 63)),
        ("ffv1", "gray16le", ".mkv", (48, 64)),
        ("ffv1", "bgr0", ".mkv", (48, 64)),
    ],
)
def test_codecs_and_pixel_formats(clips, codec: str, pix_fmt: str, suffix: str, size) -> None:
    frames = clips.frames(10, size=size)
    with open_video(clips.clip(f"c{suffix}", frames, codec=codec, pix_fmt=pix_fmt)) as video:
        assert video.size == size
        got = list(video)
    assert len(got) == 10
    assert abs(float(got[5][-8:, -8:].mean()) - float(frames[5][-8:, -8:].mean())) < 5


def test_alpha_is_composited_on_white(clips) -> None:
    path = clips.folder / "alpha.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=64, height=48)
        stream.pix_fmt = "yuva420p"
        clear = av.VideoFrame.from_ndarray(np.zeros((48, 64, 4), np.uint8), format="rgba").reformat(format="yuva420p")
        container.mux(stream.encode(clear))
        container.mux(stream.encode(None))
    with open_video(path) as video:
        assert next(iter(video)).min() >= 254


def test_a_changed_size_midway_is_scaled_to_the_first(clips) -> None:
    first = clips.clip("one.ts", clips.frames(5), options={"preset": "ultrafast"})
    second = clips.clip("two.ts", clips.frames(5, size=(96, 128)), options={"preset": "ultrafast"})
    joined = clips.folder / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with open_video(joined) as video:
        shapes = {frame.shape for frame in video}
        times = [time for time, _ in video.timed()]
    assert shapes == {(48, 64, 3)}
    assert all(later > earlier for earlier, later in pairwise(times))


def test_a_clip_of_one_frame_works(clips) -> None:
    with open_video(clips.clip("one.mp4", clips.frames(1))) as video:
        assert [(time, frame.shape) for time, frame in video.timed()] == [(0, (48, 64, 3))]


def test_damage_in_the_middle_is_skipped_and_counted(clips, rng: np.random.Generator) -> None:
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(30)]
    path = clips.clip("m.mkv", noise, codec="mpeg4", options={"g": "1"})
    with av.open(str(path)) as container:
        victims = [packet for packet in container.demux(video=0) if packet.size][12:14]
        spans = [(packet.pos, packet.size) for packet in victims]
    data = bytearray(path.read_bytes())
    for position, size in spans:
        data[position + 8 : position + size] = bytes(size - 8)
    path.write_bytes(bytes(data))
    with open_video(path) as video:
        count = len(list(video))
        assert video.damaged >= 1
        damaged = video.damaged
        assert len(list(video)) == count
        assert video.damaged == damaged, "a second pass must count anew"
    assert 26 <= count <= 30


def test_a_file_cut_short_gives_what_is_left(clips) -> None:
    path = clips.clip("cut.mkv", clips.frames(60))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with open_video(path) as video:
        assert 1 <= len(list(video)) < 60


def test_closing_ends_a_pass_and_refuses_another(clips) -> None:
    with open_video(clips.clip("a.mp4", clips.frames(6))) as video:
        running = video.timed()
        next(running)
    assert list(running) == []
    with pytest.raises(VideoError, match="was closed"):
        video.timed()


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counting open files needs /proc")
def test_no_file_stays_open(clips) -> None:
    path = clips.clip("a.mp4", clips.frames(6))
    before = open_files()
    with open_video(path) as video:
        next(video.timed())

    def fail() -> None:
        with open_video(path) as video:
            for _ in video:
                raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    list(open_video(path))
    assert open_files() == before


def test_a_name_with_a_colon_is_a_file(clips) -> None:
    path = clips.clip("a.mp4", clips.frames(2)).rename(clips.folder / "take:1.mp4")
    with open_video(path) as video:
        assert len(list(video)) == 2


BROKEN = {
    "text.mp4": (b"this is a text file, not a video\n" * 50, "is not a video that can be read"),
    "notes.txt": (b"just some notes\n" * 50, "is not a video that can be read"),
    "empty.mp4": (b"", "is empty \\(0 bytes\\)"),
    "list.mp4": (b"#EXTM3U\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n", "is not a video that can be read"),
    "page.mp4": (b"<!DOCTYPE html><html><body>404</body></html>" * 9, "is not a video that can be read"),
    "zeros.mp4": (bytes(5000), "is not a video that can be read"),
    "broken.gif": (b"GIF89a" + bytes(3), "can be decoded"),
    "broken.png": (b"\x89PNG\r\n\x1a\n" + bytes(30), "can be decoded"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_no_video_is_refused_with_a_hint(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(tmp_path / name)
    assert caught.value.hint
    assert name in caught.value.message


def test_missing_and_remote(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="there is no file or folder"):
        open_video(tmp_path / "nothing.mp4")
    with pytest.raises(VideoError, match="is a web address"):
        open_video("https://example.org/clip.mp4")
    with pytest.raises(VideoError, match="neither a file nor a folder"):
        open_video(os.devnull)


def test_permission_denied(clips, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.clip("a.mp4", clips.frames(2))

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VideoError, match="no permission to read"):
        open_video(path)


def test_only_sound(clips) -> None:
    path = clips.folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48000)
        container.mux(track.encode(clips.tone(seconds=Fraction(1))))
        container.mux(track.encode(None))
    with pytest.raises(VideoError, match="holds only sound"):
        open_video(path)


def test_no_frame_that_decodes(clips) -> None:
    path = clips.clip("z.mp4", clips.frames(5))
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in spans:
        data[position : position + size] = bytes(size)
    path.write_bytes(bytes(data))
    with pytest.raises(VideoError, match="holds no frame that can be decoded"):
        open_video(path)


def test_a_rate_is_refused_where_the_file_has_its_own(clips) -> None:
    with pytest.raises(VideoError, match="has its own frame rate"):
        open_video(clips.clip("a.mp4", clips.frames(2)), fps=10)
    with pytest.raises(VideoError, match="makes no sense"):
        open_video(clips.folder, fps=0)


def resident() -> int:
    """Memory of this process, bytes: FFmpeg's own is in it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="measuring memory needs /proc")
def test_streaming_does_not_grow(clips) -> None:
    path = clips.clip("long.mp4", [clips.frame(i % 40) for i in range(2000)], options={"preset": "ultrafast"})
    tracemalloc.start()
    try:
        with open_video(path) as video:
            for index, _ in enumerate(video):
                if index == 100:
                    early, before = tracemalloc.get_traced_memory()[0], resident()
                    tracemalloc.reset_peak()
            peak = tracemalloc.get_traced_memory()[1]
            after = resident()
    finally:
        tracemalloc.stop()
    assert index == 1999
    assert peak - early < 300_000
    assert after - before < 8_000_000


def test_patience_ends_a_hopeless_file(clips, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.clip("a.mp4", clips.frames(10))
    monkeypatch.setattr(read_module, "_PATIENCE", 0)
    with pytest.raises(VideoError, match="holds no frame"):
        open_video(path)


def test_real_clips_give_every_frame(shared: Path) -> None:
    paths = sorted((shared / "clips" / "grid").glob("*.mpg"))[:2] + sorted((shared / "clips" / "asl").glob("*.mkv"))[:2]
    if not paths:
        pytest.skip("the shared material holds no clips")
    for path in paths:
        with av.open(str(path)) as container:
            expected = sum(1 for _ in container.decode(video=0))
        with open_video(path) as video:
            times = [time for time, _ in video.timed()]
            assert times == [i / video.fps for i in range(expected)]
            assert video.damaged == 0
