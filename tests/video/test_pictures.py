"""Videos that are pictures: GIF, APNG, WebP, stills, folders of frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion.core.errors import VideoError
from stillmotion.core.frame import Video
from stillmotion.video import open_video, write_image
from stillmotion.video.pictures import list_frames


def squares(count: int, *, mode: str = "RGB") -> list[Image.Image]:
    """Pictures of 40 × 30 with a red bar as wide as their number."""
    pictures = []
    for index in range(count):
        picture = Image.new(mode, (40, 30), (0, 0, 0, 0) if mode == "RGBA" else (0, 0, 255))
        picture.paste((255, 0, 0, 255)[: len(mode)], (0, 0, index + 1, 30))
        pictures.append(picture)
    return pictures


def save(path: Path, pictures: list[Image.Image], **options: object) -> Path:
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)
    return path


def bars(frames) -> list[int]:
    """The width of the red bar of each frame."""
    return [int(((frame[15, :, 0] > 128) & (frame[15, :, 2] < 128)).sum()) for frame in frames]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_animated_pictures(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", squares(6), duration=[40, 40, 40, 120, 40, 40], loop=0, lossless=True)
    with open_video(path) as video:
        assert isinstance(video, Video)
        assert (video.size, video.fps, video.length) == ((30, 40), 25, 6)
        assert bars(video) == bars(video) == [1, 2, 3, 4, 5, 6]
        times = [time for time, _ in video.timed()]
    assert times == [Fraction(t, 100) for t in (0, 4, 8, 12, 24, 28)]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_transparent_pixels_show_white(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"t{suffix}", squares(3, mode="RGBA"), duration=40, disposal=2, lossless=True)
    with open_video(path) as video:
        frame = list(video)[1]
    assert (frame[:, 10:] == 255).all()
    assert bars([frame]) == [2]


def test_a_duration_of_nothing_is_a_tenth_of_a_second(tmp_path: Path) -> None:
    with open_video(save(tmp_path / "fast.gif", squares(3), duration=0)) as video:
        assert video.fps == 10
        assert [time for time, _ in video.timed()] == [0, Fraction(1, 10), Fraction(2, 10)]


def test_a_given_rate_replaces_the_durations(tmp_path: Path) -> None:
    with open_video(save(tmp_path / "a.gif", squares(3), duration=40), fps=10) as video:
        assert [time for time, _ in video.timed()] == [0, Fraction(1, 10), Fraction(2, 10)]


def test_the_still_for_old_viewers_is_no_frame(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", squares(4), duration=40, default_image=True)
    with open_video(path) as video:
        assert bars(video) == [2, 3, 4]
        assert video.length == 3


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "still.webp", "still.bmp", "still.mp4"])
def test_a_still_is_a_video_of_one_frame(tmp_path: Path, name: str) -> None:
    picture = Image.new("RGB", (40, 30), (10, 200, 30))
    picture.save(tmp_path / name, format="PNG" if name.endswith("mp4") else None)
    with open_video(tmp_path / name) as video:
        assert (video.length, video.size, video.fps) == (1, (30, 40), 25)
        assert len(list(video)) == 1


def test_a_gif_cut_short_gives_what_is_left(tmp_path: Path, rng: np.random.Generator) -> None:
    noise = [Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)) for _ in range(8)]
    path = save(tmp_path / "cut.gif", noise, duration=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with open_video(path) as video:
        assert 2 <= len(list(video)) <= 6


def make_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name, picture in zip(names, squares(len(names)), strict=True):
        picture.save(folder / name)
    return folder


def test_a_folder_is_read_as_a_person_would_sort_it(tmp_path: Path) -> None:
    names = ["f1.png", "f2.png", "f10.png", "f11.bmp", "F12.PNG", "f100.webp"]
    folder = make_folder(tmp_path / "frames", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_bytes(b"")
    assert [file.name for file in list_frames(folder)] == names
    with open_video(folder) as video:
        assert isinstance(video, Video)
        assert (video.size, video.fps, video.length) == ((30, 40), 25, 6)
        assert bars(video) == [1, 2, 3, 4, 5, 6]
    with open_video(folder, fps=Fraction(30000, 1001)) as video:
        assert [time for time, _ in video.timed()][2] == 2 * Fraction(1001, 30000)


def test_a_damaged_picture_is_skipped_and_the_rest_keep_their_time(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "frames", [f"{i}.png" for i in range(5)])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    with open_video(folder) as video:
        timed = list(video.timed())
        assert video.damaged == 1
    assert [time * 25 for time, _ in timed] == [0, 1, 3, 4]
    assert bars([frame for _, frame in timed]) == [1, 2, 4, 5]


def test_folders_that_are_no_clip(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(VideoError, match="holds no pictures") as caught:
        open_video(empty)
    assert "folder of frames" in caught.value.hint
    (empty / "a.png").write_bytes(b"nothing")
    with pytest.raises(VideoError, match="can be decoded: it is empty"):
        open_video(empty)
    mixed = make_folder(tmp_path / "mixed", ["1.png", "2.png"])
    write_image(mixed / "3.png", np.zeros((20, 20, 3), np.uint8))
    with open_video(mixed) as video, pytest.raises(VideoError, match="is 20 × 20 pixels, the frames before it 40 × 30"):
        list(video)
