"""Videos that are pictures: animated GIF, APNG and WebP, a still, or a folder of frames."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from stillmotion.core.errors import ImageError, VideoError
from stillmotion.core.frame import Frame
from stillmotion.video.image import IMAGE_SUFFIXES, LARGEST_AREA, composite, decode_picture
from stillmotion.video.stream import FrameStream, Timed
from stillmotion.video.timing import DEFAULT_RATE

_SHORTEST_MS = 20
_UNSAID_MS = 100
_SAMPLED = 32


class AnimatedImage(FrameStream):
    """An animated GIF, APNG or WebP, or a still as a video of one frame.

    Transparent pixels show white (`image.BACKGROUND`). A frame shown for less than 20 ms is taken to
    be shown for 100 ms, as browsers do. `fps` comes from the most common of the first 32 durations;
    the times of `timed()` are each frame's own.
    """

    def __init__(self, path: Path, *, fps: Fraction | None = None) -> None:
        super().__init__(path)
        self._fixed = fps
        durations: Counter[int] = Counter()
        with _opened(path) as image:
            if image.size[0] * image.size[1] > LARGEST_AREA:
                raise VideoError(
                    f"{path} is {image.size[0]} × {image.size[1]} pixels a frame: too large",
                    hint="scale it down first",
                    path=path,
                )
            first = _first_index(image)
            self.length = max(1, _count(image) - first)
            for index in range(first, min(first + self.length, first + _SAMPLED)):
                if not _seek(image, index):
                    break
                if image.format == "WEBP":
                    self._decode(image)  # Pillow learns a WebP frame's duration by decoding it
                durations[_duration(image)] += 1
        self.fps = fps or (Fraction(1000, durations.most_common(1)[0][0]) if self.length > 1 else DEFAULT_RATE)
        self.size = self._first_size()

    def _first_size(self) -> tuple[int, int]:
        running = self._read()
        try:
            _, frame = next(running)
            return frame.shape[0], frame.shape[1]
        except StopIteration:
            raise _nothing(self.path) from None
        finally:
            running.close()

    def _read(self) -> Timed:
        self.damaged = 0
        time = Fraction(0)
        is_empty = True
        with _opened(self.path) as image:
            index = _first_index(image)
            while _seek(image, index):
                frame = self._decode(image)
                if frame is None:
                    break
                is_empty = False
                yield time, frame
                time += 1 / self._fixed if self._fixed else Fraction(_duration(image), 1000)
                index += 1
        if is_empty:
            raise _nothing(self.path)

    def _decode(self, image: Image.Image) -> Frame | None:
        """The current frame; None where the data ends or breaks (later frames build on this one)."""
        try:
            with _quiet():
                colour, alpha = decode_picture(image, name=str(self.path))
        except ImageError:
            self.damaged += 1
            return None
        return colour if alpha is None else composite(colour, alpha)


class FrameFolder(FrameStream):
    """A folder of numbered pictures, sorted as a person would (`frame2` before `frame10`).

    Raises:
        VideoError: No pictures, none that can be decoded, or pictures of different sizes.
    """

    def __init__(self, path: Path, *, fps: Fraction | None = None) -> None:
        super().__init__(path)
        self.fps = fps or DEFAULT_RATE
        self.length = len(self._files())
        running = self._read()
        try:
            _, frame = next(running)
        finally:
            running.close()
        self.size = (frame.shape[0], frame.shape[1])

    def _files(self) -> Sequence[Path]:
        files = list_frames(self.path)
        if not files:
            raise VideoError(
                f"the folder {self.path} holds no pictures",
                hint=f"a folder of frames holds {', '.join(IMAGE_SUFFIXES)} files; for one clip, name the file",
                path=self.path,
            )
        return files

    def _read(self) -> Timed:
        self.damaged = 0
        is_empty = True
        size = self.size
        for index, file in enumerate(self._files()):
            frame = self._decode(file)
            if frame is None:
                continue
            size = frame.shape[:2] if size == (0, 0) else size
            if frame.shape[:2] != size:
                raise VideoError(
                    f"{file} is {frame.shape[1]} × {frame.shape[0]} pixels, the frames before it {size[1]} × {size[0]}",
                    hint="a folder of frames must hold one clip, all pictures of one size",
                    path=file,
                )
            is_empty = False
            yield index / self.fps, frame
        if is_empty:
            raise _nothing(self.path)

    def _decode(self, file: Path) -> Frame | None:
        try:
            with _quiet(), Image.open(file) as image:
                colour, alpha = decode_picture(image, name=str(file))
        except PermissionError as error:
            raise VideoError(f"no permission to read {file}", hint=f"chmod u+r {file}", path=file) from error
        except (ImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            self.damaged += 1
            return None
        return colour if alpha is None else composite(colour, alpha)


def list_frames(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; hidden files and everything else are passed over.

    Raises:
        VideoError: The folder may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_file() and not e.name.startswith(".")]
    except PermissionError as error:
        raise VideoError(f"no permission to read the folder {folder}", hint=f"chmod u+rx {folder}") from error
    return [folder / name for name in sorted(names, key=_natural) if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: runs of digits compare as numbers; equal keys fall back to the plain name."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def _quiet() -> warnings.catch_warnings[None]:
    """Pillow warns about odd metadata and large pictures; neither stops a clip from being read."""
    return warnings.catch_warnings(action="ignore")


def _opened(path: Path) -> Image.Image:
    try:
        with _quiet():
            return Image.open(path)
    except Image.DecompressionBombError as error:
        raise VideoError(f"{path} is too large: {error}", hint="scale it down first", path=path) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _nothing(path) from error


def _first_index(image: Image.Image) -> int:
    """1 where an APNG carries a still for old viewers that is no part of the animation."""
    return 1 if image.info.get("default_image") else 0


def _count(image: Image.Image) -> int:
    try:
        with _quiet():
            return int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, EOFError, SyntaxError):
        return 1


def _seek(image: Image.Image, index: int) -> bool:
    """Go to a frame; False past the end or where the data breaks."""
    if index == 0 and image.tell() == 0:
        return True
    try:
        with _quiet():
            image.seek(index)
    except (EOFError, OSError, ValueError, SyntaxError, IndexError):
        return False
    return True


def _duration(image: Image.Image) -> int:
    """How long the current frame shows, whole milliseconds."""
    shown = image.info.get("duration") or 0
    shown = round(float(np.nan_to_num(shown)))
    return shown if shown >= _SHORTEST_MS else _UNSAID_MS


def _nothing(path: Path) -> VideoError:
    return VideoError(
        f"nothing in {path} can be decoded: it is empty, damaged or no picture",
        hint="play it in another program; copy or export it again",
        path=path,
    )
