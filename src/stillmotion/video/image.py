"""Pictures: anything Pillow reads becomes a frame, and a frame becomes a file."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from stillmotion.core.errors import ImageError, OutputError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.video.mark import marked
from stillmotion.video.target import replacing

Source: TypeAlias = str | os.PathLike[str] | bytes | Image.Image

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as sprites and GIFs are mostly drawn for."""

SMALLEST_SIDE = 16
LARGEST_SIDE = 16384
LARGEST_AREA = 100_000_000

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

# What Pillow's decoders raise on damaged data, besides OSError.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def read_image(source: Source, *, background: tuple[int, int, int] = BACKGROUND) -> Frame:
    """Read a picture upright, as a frame.

    EXIF orientation is applied; palette, grey, 16-bit (scaled, not clipped) and CMYK pictures become
    RGB; of an animated picture the first frame is read. Pictures are never scaled down silently: one
    with a side over 16,384 pixels or over 100 megapixels is refused, because its result could be
    neither pasted back nor written as video.

    Args:
        source: A path, the bytes of a file, or a Pillow image (left open).
        background: Colour behind transparent pixels, 0 to 255 each; white unless told.

    Returns:
        `uint8 (h, w, 3)`.

    Raises:
        ImageError: Missing, not an image, damaged, smaller than 16 pixels a side, or too large.
    """
    return read_image_with_alpha(source, background=background)[0]


def read_image_with_alpha(
    source: Source, *, background: tuple[int, int, int] | None = BACKGROUND
) -> tuple[Frame, np.ndarray]:
    """Like `read_image`, and also how opaque each pixel was.

    Args:
        source: See `read_image`.
        background: Colour behind transparent pixels; None lays the picture on nothing: its colours are
            returned as they are stored, not multiplied with alpha, those of invisible pixels too.

    Returns:
        The frame `uint8 (h, w, 3)`, already composited on `background`, and alpha `uint8 (h, w)`,
        255 where opaque.

    Raises:
        ImageError: As for `read_image`.
    """
    name = _name(source)
    with warnings.catch_warnings():
        # Pillow warns of bombs (we have our own limit) and of odd metadata (we read on).
        warnings.simplefilter("ignore")
        image = _open(source, name)
        try:
            _check_size(image.size, name)
            colour, alpha = decode_picture(image, name=name)
        finally:
            if image is not source:
                image.close()
    if alpha is None:
        return colour, np.full(colour.shape[:2], 255, np.uint8)
    return colour if background is None else composite(colour, alpha, background=background), alpha


def decode_picture(image: Image.Image, *, name: str) -> tuple[Frame, np.ndarray | None]:
    """The current frame of a Pillow image: colours `uint8 (h, w, 3)` upright, and alpha `(h, w)` or None.

    Raises:
        ImageError: The data is damaged or cut short.
    """
    try:
        image.load()
        image = _upright(image)
        return _split(image)
    except _DAMAGE as error:
        raise ImageError(
            f"{name} is damaged or cut short ({error})",
            hint="open it in a picture viewer; copy or download it again, or save it anew as PNG",
            path=name,
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name} does not fit in memory", hint="scale it down first", path=name) from error


def composite(colour: np.ndarray, alpha: np.ndarray, *, background: tuple[int, int, int] = BACKGROUND) -> Frame:
    """Lay colours `uint8 (h, w, 3)` with alpha `uint8 (h, w)` over a plain background, rounded to nearest."""
    opaque = alpha.astype(np.uint16)[..., None]
    behind = np.asarray(background, np.uint16)
    return ((colour * opaque + behind * (255 - opaque) + 127) // 255).astype(np.uint8)


def write_image(path: str | os.PathLike[str], frame: Frame, *, metadata: dict[str, str] | None = None) -> Path:
    """Write a frame as PNG, JPEG, WebP or BMP by suffix, beside the target and renamed.

    Args:
        path: Where to; an existing file is replaced.
        frame: `uint8 (h, w, 3)`.
        metadata: Text to store in the file: PNG text chunks, else the `comment` alone (BMP holds none). Every
            picture says that stillmotion generated it, whatever they are.

    Raises:
        OutputError: Unknown suffix, missing folder, no permission, full disk.
        ImageError: Not a frame.
    """
    path = Path(path)
    check_frame(frame)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise OutputError(
            f"cannot write a picture as {path.suffix or 'a file without a suffix'}: {path}",
            hint=f"use one of {', '.join(IMAGE_SUFFIXES)}",
            path=path,
        )
    with replacing(path) as partial:
        save_picture(partial, frame, metadata=marked(metadata or {}))
    return path


def save_picture(path: Path, frame: Frame, *, metadata: dict[str, str]) -> None:
    """Encode `frame` into `path` in place; OSError when that fails (callers rename and explain).

    Args:
        path: Where to.
        frame: `uint8 (h, w, 3)`; for PNG and WebP also with alpha, `(h, w, 4)`.
        metadata: See `write_image`.
    """
    image = Image.fromarray(frame)
    suffix = path.suffix.lower()
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        for key, value in metadata.items():
            text.add_text(key, value)
        image.save(path, pnginfo=text, compress_level=4)
    elif suffix in (".jpg", ".jpeg"):
        image.save(path, quality=95, subsampling=0, comment=metadata.get("comment", "").encode())
    elif suffix == ".webp":
        image.save(path, quality=95, xmp=_xmp(metadata.get("comment", "")))
    else:
        image.save(path)


def _xmp(comment: str) -> bytes:
    """A packet of metadata with one description, for formats without a comment of their own."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:description={quoteattr(comment)}/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def _name(source: Source) -> str:
    if isinstance(source, bytes):
        return f"the picture ({len(source)} bytes)"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or "the picture"
    return os.fspath(source)


def _open(source: Source, name: str) -> Image.Image:
    """Open without decoding; every way it can fail has its own message."""
    if isinstance(source, Image.Image):
        return source
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {name}", hint="check the path", path=name) from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder, not a picture", hint="name one picture in it", path=name) from error
    except PermissionError as error:
        raise ImageError(f"no permission to read {name}", hint=f"chmod u+r {name}", path=name) from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"{name} ({error})", name) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image that can be read",
            hint="use a PNG, JPEG, WebP, BMP, TIFF or GIF picture",
            path=name,
        ) from error
    except _DAMAGE as error:
        raise ImageError(f"{name} cannot be read ({error})", hint="save it anew as PNG", path=name) from error


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if min(width, height) < SMALLEST_SIDE:
        raise ImageError(
            f"{name} is {width} × {height} pixels, too small to animate",
            hint=f"use a picture of at least {SMALLEST_SIDE} pixels a side; 256 or more is better",
            size=(height, width),
        )
    if max(width, height) > LARGEST_SIDE or width * height > LARGEST_AREA:
        raise _too_large(f"{name} is {width} × {height} pixels", name)


def _too_large(seen: str, name: str) -> ImageError:
    return ImageError(
        f"{seen}: too large",
        hint=f"scale or crop it to at most {LARGEST_SIDE} pixels a side and {LARGEST_AREA // 10**6} megapixels",
        path=name,
    )


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; a picture with broken EXIF stays as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGE:
        return image


def _split(image: Image.Image) -> tuple[Frame, np.ndarray | None]:
    """Colours and alpha of a loaded Pillow image of any mode."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = _grey_levels(image)
        return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2)), None
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        both = np.asarray(image.convert("RGBA"))
        return np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3])
    return np.array(image.convert("RGB")), None


def _grey_levels(image: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits as `uint8 (h, w)`: 16-bit levels over 257, floats in [0, 1] times 255."""
    levels = np.nan_to_num(np.asarray(image).astype(np.float64))
    if image.mode == "F" and levels.max(initial=0.0) <= 1.0:
        levels = levels * 255.0
    elif image.mode.startswith("I;16") or levels.max(initial=0.0) > 255.0:
        levels = levels / 257.0
    return np.floor(np.clip(levels, 0.0, 255.0) + 0.5).astype(np.uint8)
