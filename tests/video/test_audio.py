"""Sound: copied bit for bit, in sync, and never lost silently."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stillmotion.core.errors import VideoError
from stillmotion.video import VideoWriter, open_video


def carry(source: Path, target: Path, *, audio_from: Path | None = None, **options) -> VideoWriter:
    """Copy the pictures of `source`, with sound."""
    with (
        open_video(source) as video,
        VideoWriter(target, fps=video.fps, size=video.size, audio_from=audio_from or source, **options) as writer,
    ):
        for time, frame in video.timed():
            writer.write(frame, time)
    return writer


def loudness(path: Path, *, begin: float, end: float) -> float:
    """Root mean square of the decoded sound between two times, full scale = 1."""
    total, count = 0.0, 0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48000)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                wave = piece.to_ndarray()[0]
                times = float(piece.pts * piece.time_base) + np.arange(wave.size) / 48000
                wave = wave[(times >= begin) & (times < end)]
                total, count = total + float((wave**2).sum()), count + wave.size
    return (total / max(count, 1)) ** 0.5


@pytest.mark.parametrize(
    ("codec", "source", "target"),
    [
        ("aac", ".mp4", ".mp4"),
        ("aac", ".mp4", ".mov"),
        ("aac", ".mp4", ".mkv"),
        ("mp2", ".mpg", ".mp4"),
        ("mp2", ".mpg", ".mkv"),
        ("libopus", ".webm", ".webm"),
        ("libopus", ".webm", ".mp4"),
        ("flac", ".mkv", ".mkv"),
        ("pcm_s16le", ".mkv", ".mov"),
    ],
)
def test_sound_is_copied_bit_for_bit(clips, codec: str, source: str, target: str) -> None:
    video = {".mpg": "mpeg2video", ".webm": "libvpx-vp9"}.get(source, "libx264")
    path = clips.clip(f"in{source}", clips.frames(50), codec=video, sound=codec, sound_start=Fraction(1, 2))
    out = clips.folder / f"out{target}"
    writer = carry(path, out)
    assert writer.audio_note is None
    if codec.startswith("pcm"):  # bare samples: readers cut them into packets as they like
        assert b"".join(clips.sound_packets(out)) == b"".join(clips.sound_packets(path))
    else:
        assert clips.sound_packets(out) == clips.sound_packets(path)
    assert clips.onset(out) == pytest.approx(clips.onset(path), abs=0.003)


@pytest.mark.parametrize(
    ("codec", "source", "target", "note"),
    [
        ("libopus", ".webm", ".mov", "encoded again as AAC: mov cannot hold opus"),
        ("pcm_s16le", ".mkv", ".mp4", "encoded again as AAC: mp4 cannot hold pcm_s16le"),
        ("aac", ".mp4", ".webm", "encoded again as OPUS: webm cannot hold aac"),
    ],
)
def test_what_the_container_cannot_hold_is_encoded_again_and_said(clips, codec, source, target, note) -> None:
    video = "libvpx-vp9" if source == ".webm" else "libx264"
    path = clips.clip(f"in{source}", clips.frames(50), codec=video, sound=codec, sound_start=Fraction(1, 2))
    out = clips.folder / f"out{target}"
    writer = carry(path, out)
    assert note in (writer.audio_note or "")
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.name in ("aac", "opus")
    assert loudness(out, begin=0.6, end=2.0) == pytest.approx(loudness(path, begin=0.6, end=2.0), rel=0.1)
    assert loudness(out, begin=0.0, end=0.45) < 0.01
    with open_video(out) as video_again:
        assert len(list(video_again)) == 50


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("late", [Fraction(1, 10), Fraction(1, 2), Fraction(3, 2)])
def test_the_offset_between_sound_and_pictures_is_kept(clips, target: str, late: Fraction) -> None:
    path = clips.clip("in.mp4", clips.frames(50), sound="aac", sound_start=late)
    carry(path, clips.folder / f"out{target}")
    assert clips.onset(path) == pytest.approx(float(late), abs=0.025)
    assert clips.onset(clips.folder / f"out{target}") == pytest.approx(clips.onset(path), abs=0.003)


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_a_clip_that_starts_late_keeps_its_sync(clips, target: str) -> None:
    path = clips.clip("in.mkv", clips.frames(50), sound="aac", start=25, sound_start=Fraction(5, 4))
    carry(path, clips.folder / f"out{target}")
    with open_video(clips.folder / f"out{target}") as video:
        assert video.start <= Fraction(1, 20)
    assert clips.onset(path) == pytest.approx(0.25, abs=0.025)
    assert clips.onset(clips.folder / f"out{target}") == pytest.approx(clips.onset(path), abs=0.003)


def test_sound_long_before_the_pictures_is_left_out(clips) -> None:
    path = clips.clip("in.mkv", clips.frames(50), sound="aac", start=25)
    out = clips.folder / "out.mp4"
    carry(path, out)
    whole, kept = clips.sound_packets(path), clips.sound_packets(out)
    assert kept == whole[-len(kept) :]
    assert len(kept) * 1024 / 48000 == pytest.approx(1.1, abs=0.06)


def test_a_range_of_the_sound(clips) -> None:
    path = clips.clip("in.mp4", clips.frames(100), sound="aac")
    out = clips.folder / "out.mp4"
    with (
        open_video(path) as video,
        VideoWriter(
            out, fps=video.fps, size=video.size, audio_from=path, audio_start=Fraction(1), audio_duration=Fraction(2)
        ) as writer,
    ):
        for index, frame in enumerate(video):
            if 25 <= index < 75:
                writer.write(frame)
    whole, part = clips.sound_packets(path), clips.sound_packets(out)
    at = whole.index(part[1]) - 1
    assert whole[at : at + len(part)] == part
    assert abs(at * 1024 / 48000 - 1) < 0.05
    assert abs(len(part) * 1024 / 48000 - 2) < 0.05


def test_sound_longer_than_the_pictures_is_kept_whole(clips) -> None:
    path = clips.clip("in.mp4", clips.frames(60), sound="aac")
    short = clips.clip("short.mp4", clips.frames(10))
    carry(short, clips.folder / "out.mp4", audio_from=path)
    assert clips.sound_packets(clips.folder / "out.mp4") == clips.sound_packets(path)


def test_a_file_of_sound_alone(clips) -> None:
    path = clips.folder / "voice.wav"
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=48000)
        container.mux(track.encode(clips.tone(seconds=Fraction(2))))
        container.mux(track.encode(None))
    silent = clips.clip("silent.mp4", clips.frames(50))
    writer = carry(silent, clips.folder / "out.mp4", audio_from=path)
    assert "encoded again as AAC" in (writer.audio_note or "")
    assert loudness(clips.folder / "out.mp4", begin=0.1, end=1.9) > 0.1


def test_a_silent_clip_is_no_error(clips) -> None:
    path = clips.clip("in.mp4", clips.frames(5))
    writer = carry(path, clips.folder / "out.mp4")
    assert writer.audio_note is None
    with av.open(str(clips.folder / "out.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("name", ["out.gif", "frames"])
def test_what_holds_no_sound_says_so(clips, name: str) -> None:
    path = clips.clip("in.mp4", clips.frames(5), sound="aac")
    assert "cannot hold any" in (carry(path, clips.folder / name).audio_note or "")


def test_sound_from_no_media_file(clips) -> None:
    (clips.folder / "text.mp3").write_text("la la la " * 100)
    silent = clips.clip("in.mp4", clips.frames(2))
    with pytest.raises(VideoError, match="is not a video that can be read"):
        carry(silent, clips.folder / "out.mp4", audio_from=clips.folder / "text.mp3")
    assert not list(clips.folder.glob("out*"))


def test_writing_over_the_driving_clip(clips) -> None:
    path = clips.clip("in.mp4", clips.frames(50), sound="aac")
    before = clips.sound_packets(path)
    carry(path, path)
    assert clips.sound_packets(path) == before


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_real_clips_keep_their_sound(shared: Path, clips, target: str) -> None:
    paths = sorted((shared / "clips" / "grid").glob("*.mpg"))[:1]
    if not paths:
        pytest.skip("the shared material holds no clips with sound")
    out = clips.folder / f"out{target}"
    writer = carry(paths[0], out, preset="ultrafast")
    assert writer.audio_note is None
    assert clips.sound_packets(out) == clips.sound_packets(paths[0])
    with open_video(paths[0]) as before, open_video(out) as after:
        assert [time for time, _ in after.timed()] == [time for time, _ in before.timed()]
        assert after.fps == before.fps
