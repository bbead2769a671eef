"""Transparency in written files: read back with other programs' decoders, not with ours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from stillmotion.core.errors import ImageError, OutputError
from stillmotion.video import VideoWriter, read_image_with_alpha
from stillmotion.video.write import holds_alpha

SIZE = (47, 61)
NTSC = Fraction(30000, 1001)
RED = (220, 60, 30)


def discs(count: int) -> list[np.ndarray]:
    """Alpha of a soft disc that wanders to the right, on odd sizes."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return [
        np.clip(128 + 40 * (14 - np.hypot(x - 20 - 4 * index, y - 23)), 0, 255).astype(np.uint8)
        for index in range(count)
    ]


def write(path: Path, *, times: bool = False) -> list[np.ndarray]:
    red = np.full((*SIZE, 3), RED, np.uint8)
    alphas = discs(5)
    with VideoWriter(path, fps=NTSC, size=SIZE, has_alpha=True) as writer:
        for index, alpha in enumerate(alphas):
            writer.write(red, Fraction(index * index, 25) if times else None, alpha=alpha)
    assert writer.size_note is None
    return alphas


def decoded(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    """Frames with alpha; the default VP9 decoder leaves alpha out, libvpx's own does not."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r") if path.suffix == ".webm" else stream.codec_context
        frames = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
        times = [frame.pts * stream.time_base for frame in frames]
    return [f.reformat(format="rgba", src_colorspace=1, dst_color_range="JPEG").to_ndarray() for f in frames], times


@pytest.mark.parametrize(("name", "most"), [("a.webm", 16), ("a.mov", 2)])
def test_clips_keep_transparency(tmp_path: Path, name: str, most: int) -> None:
    alphas = write(tmp_path / name)
    frames, _ = decoded(tmp_path / name)
    assert len(frames) == 5
    for frame, alpha in zip(frames, alphas, strict=True):
        assert frame.shape == (*SIZE, 4)
        assert np.abs(frame[..., 3].astype(int) - alpha).max() <= most
        assert np.abs(frame[alpha > 0][:, :3].astype(int) - RED).max() <= 4
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].average_rate == NTSC
        tags = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
    assert name != "a.webm" or tags["alpha_mode"] == "1"


def test_exact_times_stay(tmp_path: Path) -> None:
    write(tmp_path / "a.mov", times=True)
    assert decoded(tmp_path / "a.mov")[1] == [Fraction(index * index, 25) for index in range(5)]


def test_a_gif_is_transparent_or_not(tmp_path: Path) -> None:
    alphas = write(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(picture)]
    for frame, alpha in zip(frames, alphas[: len(frames)], strict=True):
        np.testing.assert_array_equal(frame[..., 3], np.where(alpha >= 128, 255, 0))
        assert np.abs(frame[alpha >= 128][:, :3].astype(int) - RED).max() <= 8
    assert len(frames) == 5


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_folders_of_pictures(tmp_path: Path, suffix: str) -> None:
    alpha = discs(1)[0]
    red = np.full((*SIZE, 3), RED, np.uint8)
    with VideoWriter(tmp_path / "a", fps=25, size=SIZE, image_suffix=suffix, has_alpha=True) as writer:
        writer.write(red, alpha=alpha)
    frame, read = read_image_with_alpha(tmp_path / "a" / f"000000{suffix}", background=None)
    np.testing.assert_array_equal(read, alpha)
    assert np.abs(frame[alpha > 0].astype(int) - RED).max() <= 40 * (suffix == ".webp")


def test_which_outputs_can_be_transparent(tmp_path: Path) -> None:
    can = {name: holds_alpha(tmp_path / name) for name in ("a.webm", "a.mov", "a.gif", "a", "a.mp4", "a.mkv", "a.m4v")}
    assert [name for name, holds in can.items() if holds] == ["a.webm", "a.mov", "a.gif", "a"]
    assert not holds_alpha(tmp_path / "a", image_suffix=".jpg")
    for name, options in (("a.mp4", {}), ("a", {"image_suffix": ".jpg"})):
        with pytest.raises(OutputError, match=f"{name} cannot be transparent") as caught:
            VideoWriter(tmp_path / name, fps=25, size=SIZE, has_alpha=True, **options)
        assert ".webm, .mov, .gif" in caught.value.hint


def test_alpha_comes_with_every_frame_or_none(tmp_path: Path) -> None:
    red, alpha = np.full((*SIZE, 3), RED, np.uint8), discs(1)[0]
    with pytest.raises(OutputError, match="was opened with transparency"), _writer(tmp_path, has_alpha=True) as writer:
        writer.write(red)
    with pytest.raises(OutputError, match="was opened without transparency"), _writer(tmp_path) as writer:
        writer.write(red, alpha=alpha)
    for wrong in (alpha[1:], alpha.astype(np.float32)):
        with pytest.raises(ImageError, match="alpha must be uint8"), _writer(tmp_path, has_alpha=True) as writer:
            writer.write(red, alpha=wrong)
    assert not list(tmp_path.iterdir())


def _writer(folder: Path, *, has_alpha: bool = False) -> VideoWriter:
    return VideoWriter(folder / "a.webm", fps=25, size=SIZE, has_alpha=has_alpha)


def test_colours_as_they_are_stored(tmp_path: Path) -> None:
    picture = Image.new("P", (20, 18), 1)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(0, (0, 0, 5, 18))
    picture.save(tmp_path / "p.png", transparency=0)
    colour, alpha = read_image_with_alpha(tmp_path / "p.png", background=None)
    assert colour[0, 0].tolist() == [10, 20, 30]
    assert colour[0, 9].tolist() == [200, 100, 50]
    assert (alpha[:, :5] == 0).all()
    assert (alpha[:, 5:] == 255).all()
