"""From files to frames of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillmotion.core.errors import DataError
from stillmotion.data.clips import find_clips
from stillmotion.data.decode import Fit, fitted_frames, load_clip, raw_frames, unstack
from stillmotion.data.store import FrameStore
from stillmotion.video.write import VideoWriter

from .conftest import SIDE, moving_square, write_folder, write_gif, write_strip

FIT = Fit((SIDE, SIDE))


def test_frame_folders_are_read_in_time_order(tmp_path: Path) -> None:
    """`os.listdir` order (published) and text order (`10` before `2`) both mix up time."""
    frames = moving_square(12)
    write_folder(tmp_path / "clip", frames)
    (clip,) = find_clips(tmp_path)
    assert np.array_equal(load_clip(clip, FIT), frames)


def test_strips_are_unstacked(tmp_path: Path) -> None:
    frames = moving_square(5)
    write_strip(tmp_path / "a.png", frames)
    (clip,) = find_clips(tmp_path)
    assert np.array_equal(load_clip(clip, FIT), frames)


def test_strips_of_oblong_frames() -> None:
    frames = np.arange(3 * 4 * 6 * 3, dtype=np.uint8).reshape(3, 4, 6, 3)
    strip = np.concatenate(list(frames), axis=1)
    assert np.array_equal(unstack(strip, (4, 6)), frames)
    with pytest.raises(DataError, match="18x4 pixels is no strip of 4x4 frames"):
        unstack(strip, None)


def test_video_files_are_read_whole(tmp_path: Path) -> None:
    frames = moving_square(9, side=64)
    with VideoWriter(tmp_path / "a.mp4", fps=25, size=(64, 64)) as writer:
        for frame in frames:
            writer.write(frame)
    (clip,) = find_clips(tmp_path)
    loaded = load_clip(clip, Fit((64, 64)))
    assert loaded.shape == frames.shape
    assert np.abs(loaded.astype(int) - frames).mean() < 12


def test_gifs_are_read(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", moving_square(4))
    (clip,) = find_clips(tmp_path)
    assert load_clip(clip, FIT).shape == (4, SIDE, SIDE, 3)


def test_whole_keeps_the_aspect_and_squash_does_not(tmp_path: Path) -> None:
    wide = np.zeros((2, 32, 64, 3), np.uint8)
    wide[1:] = 9
    wide[:, :, 16:48] = 200
    write_folder(tmp_path / "clip", wide)
    (clip,) = find_clips(tmp_path)
    assert (load_clip(clip, FIT) == 200).all()
    squashed = load_clip(clip, Fit((SIDE, SIDE), crop="squash"))
    assert (squashed[0, :, :6] == 0).all()
    assert (squashed[0, :, 12:20] == 200).all()


def test_no_face_costs_the_clip(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", moving_square(3, side=64))
    (clip,) = find_clips(tmp_path)

    class Blind:
        def find(self, frame: np.ndarray) -> list:  # type: ignore[type-arg]
            return []

    with pytest.raises(DataError, match="clip clip: no face found"):
        load_clip(clip, Fit((64, 64), crop="face"), detector=Blind())


def test_long_clips_are_thinned_evenly_and_streamed_whole(tmp_path: Path) -> None:
    frames = moving_square(20)
    write_strip(tmp_path / "a.png", frames)
    (clip,) = find_clips(tmp_path)
    thin = load_clip(clip, Fit((SIDE, SIDE), longest=6))
    assert np.array_equal(thin, frames[::4])
    assert len(list(fitted_frames(clip, FIT))) == 20


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: (p / "a.mp4").write_bytes(b"plain text, not a video"), "not a video that can be read"),
        (lambda p: (p / "a.mp4").write_bytes(b""), "is empty"),
        (lambda p: (p / "a.png").write_bytes(b"\x89PNG no"), "is not a picture that can be read"),
        (lambda p: write_strip(p / "a.png", moving_square(1)), "has 1 frame"),
    ],
)
def test_a_bad_clip_is_one_data_error(tmp_path: Path, write, message: str) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    (clip,) = find_clips(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load_clip(clip, FIT)
    assert caught.value.hint


def test_memory_stays_under_its_cap(strips: Path) -> None:
    clips = find_clips(strips)
    one = 8 * SIDE * SIDE * 3
    store = FrameStore(FIT, memory=3 * one)
    for clip in clips:
        store.clip(clip)
    assert len(store._held) == 3
    assert store._bytes == 3 * one
    assert store.clip(clips[-1]) is store.clip(clips[-1])


def test_disk_cache_is_read_instead_of_the_clip(strips: Path, tmp_path: Path) -> None:
    clip = find_clips(strips)[0]
    cache = tmp_path / "cache"
    first = FrameStore(FIT, cache=cache).clip(clip)
    assert len(list(cache.iterdir())) == 1
    wanted = np.stack(list(raw_frames(clip)))
    stat = clip.path.stat()
    clip.path.write_bytes(b"x" * stat.st_size)
    import os

    os.utime(clip.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = FrameStore(FIT, cache=cache).clip(clip)
    assert np.array_equal(first, wanted)
    assert np.array_equal(again, wanted)


def test_a_changed_file_is_decoded_again(strips: Path, tmp_path: Path) -> None:
    clip = find_clips(strips)[0]
    cache = tmp_path / "cache"
    FrameStore(FIT, cache=cache).clip(clip)
    frames = moving_square(5, seed=99)
    write_strip(clip.path, frames)
    assert np.array_equal(FrameStore(FIT, cache=cache).clip(clip), frames)
