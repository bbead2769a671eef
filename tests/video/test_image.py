"""Pictures: every mode Pillow knows becomes a frame; what cannot be used says why."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion.core.errors import ImageError, OutputError
from stillmotion.video import read_image, read_image_with_alpha, write_image
from stillmotion.video.target import replacing

RED = (255, 0, 0)


def picture(mode: str = "RGB", colour: object = RED, *, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new(mode, size, colour)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_path_bytes_and_pillow_image_give_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    with Image.open(path) as opened:
        for source in (path, str(path), path.read_bytes(), opened):
            frame = read_image(source)
            assert frame.dtype == np.uint8
            assert frame.flags.c_contiguous
            assert frame.flags.writeable
            np.testing.assert_array_equal(frame, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((30, 40, 3), np.uint8)
    upright[:8, :8] = 255
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = Image.fromarray(upright)
    stored = stored if undo is None else stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(stored, tmp_path / "o.png", exif=exif)
    np.testing.assert_array_equal(read_image(path), upright)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 30 * 40).astype(np.uint16).reshape(30, 40)
    expected = np.floor(levels / 257.0 + 0.5).astype(np.uint8)
    for name in ("grey.png", "grey.tiff"):
        frame = read_image(saved(Image.fromarray(levels), tmp_path / name))
        np.testing.assert_array_equal(frame, np.repeat(expected[..., None], 3, axis=2))
    wide = Image.fromarray(levels.astype(np.int32))
    np.testing.assert_array_equal(read_image(wide)[..., 0], expected)
    floats = Image.fromarray((levels / 65535).astype(np.float32))
    np.testing.assert_array_equal(read_image(floats)[..., 0], expected)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (picture("L", 77), (77, 77, 77)),
        (picture("1", 1), (255, 255, 255)),
        (picture("P", 0).convert("RGB").quantize(4), (0, 0, 0)),
        (picture("CMYK", (0, 255, 255, 0)), RED),
        (picture("YCbCr", (128, 128, 128)), (128, 128, 128)),
        (picture("LA", (0, 0)), (255, 255, 255)),
        (picture("RGBA", (255, 0, 0, 0)), (255, 255, 255)),
        (picture("RGBA", (0, 0, 0, 128)), (127, 127, 127)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_modes(image: Image.Image, expected: tuple[int, int, int]) -> None:
    frame = read_image(image)
    assert frame.shape == (30, 40, 3)
    assert tuple(frame[15, 20]) == expected


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = picture().quantize(4)
    path = saved(image, tmp_path / "p.png", transparency=image.getpixel((0, 0)))
    frame, alpha = read_image_with_alpha(path)
    assert (frame == 255).all()
    assert (alpha == 0).all()


def test_alpha_and_background() -> None:
    frame, alpha = read_image_with_alpha(picture("RGBA", (255, 0, 0, 0)), background=(0, 255, 0))
    assert tuple(frame[0, 0]) == (0, 255, 0)
    assert alpha.shape == (30, 40)
    assert (read_image_with_alpha(picture())[1] == 255).all()


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    picture().save(path, save_all=True, append_images=[picture(colour=(0, 0, 255))], duration=40)
    assert tuple(read_image(path)[0, 0]) == RED


def test_what_is_no_usable_picture(tmp_path: Path, rng: np.random.Generator) -> None:
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    for suffix in (".png", ".jpg"):
        whole = saved(noise, tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) // 2])
    cases = {
        "text.png": "is not an image that can be read",
        "empty.png": "is not an image that can be read",
        "cut.png": "is damaged or cut short",
        "cut.jpg": "is damaged or cut short",
        "nothing.png": "there is no file",
        ".": "is a folder, not a picture",
    }
    for name, message in cases.items():
        with pytest.raises(ImageError, match=message) as caught:
            read_image(tmp_path / name)
        assert caught.value.hint
    with pytest.raises(ImageError, match="is not an image"):
        read_image(b"no picture at all")


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ImageError, match="no permission to read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(1, 1), (15, 400)])
def test_too_small(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"is {size[0]} × {size[1]} pixels, too small to animate"):
        read_image(picture(size=size))


@pytest.mark.parametrize("size", [(20000, 100), (12000, 9000), (20000, 20000)])
def test_too_large_without_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    # A BMP header alone claims the size, so nothing of it is ever allocated.
    header = io.BytesIO()
    picture(size=(16, 16)).save(header, format="BMP")
    data = bytearray(header.getvalue())
    data[18:26] = size[0].to_bytes(4, "little") + size[1].to_bytes(4, "little")
    with pytest.raises(ImageError, match="too large") as caught:
        read_image(bytes(data))
    assert "16384 pixels a side and 100 megapixels" in caught.value.hint


def test_pillows_bomb_warning_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = io.BytesIO()
        picture(size=(40, 40)).save(data, format="PNG")
        assert read_image(data.getvalue()).shape == (40, 40, 3)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".bmp", 0), (".jpg", 3), (".webp", 6)])
def test_write_image(tmp_path: Path, suffix: str, tolerance: int) -> None:
    frame = np.full((30, 40, 3), (200, 100, 50), np.uint8)
    path = write_image(tmp_path / f"out{suffix}", frame, metadata={"comment": "made here"})
    assert np.abs(read_image(path).astype(int) - frame).max() <= tolerance
    assert list(tmp_path.iterdir()) == [path]
    if suffix == ".png":
        with Image.open(path) as opened:
            assert opened.info["comment"].startswith("generated by stillmotion")
            assert opened.info["comment"].endswith("; made here")


def test_write_image_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = np.zeros((30, 40, 3), np.uint8)
    with pytest.raises(OutputError, match=r"cannot write a picture as \.xyz") as caught:
        write_image(tmp_path / "a.xyz", frame)
    assert ".png" in caught.value.hint
    with pytest.raises(OutputError, match="does not exist"):
        write_image(tmp_path / "missing" / "a.png", frame)
    with pytest.raises(ImageError, match="must be uint8"):
        write_image(tmp_path / "a.png", frame.astype(np.float32))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_image(tmp_path / "a.png", frame)
    assert not list(tmp_path.iterdir())


def test_an_older_file_survives_a_failed_write(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
