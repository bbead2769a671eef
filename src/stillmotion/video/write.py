"""Writing video: encoded clips, GIFs and folders of frames, finished or not there at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Protocol, Self

import av
import numpy as np

from stillmotion.core.errors import ImageError, OutputError, StillmotionError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.video.audio import Sound, open_sound
from stillmotion.video.containers import ALPHA_FORMATS, FORMATS, EncodedClip
from stillmotion.video.folders import FrameFolderClip, check_replaceable
from stillmotion.video.image import IMAGE_SUFFIXES
from stillmotion.video.loops import GifClip
from stillmotion.video.mark import marked
from stillmotion.video.target import check_folder, output_error, partial_path, remove

VIDEO_SUFFIXES = (*FORMATS, ".gif")

_ALPHA_SUFFIXES = (*ALPHA_FORMATS, ".gif")
_ALPHA_PICTURES = (".png", ".webp")

TRANSPARENT_OUTPUTS = f"{', '.join(_ALPHA_SUFFIXES)} or a name without a suffix, for a folder of PNGs"
"""Outputs that can be transparent, as hints name them."""

_FAILURES = (OSError, av.FFmpegError, ValueError)


class Clip(Protocol):
    """One kind of output being written under a partial name."""

    def write(self, frame: Frame, time: Fraction | None) -> None: ...

    def finish(self, *, is_cut: bool) -> None: ...

    def abandon(self) -> None: ...


class VideoWriter:
    """Writes frames to a file that appears under its name only when it is whole.

    Used in `with`. Everything goes to `<name>.partial<suffix>` beside the target. Leaving normally
    finishes and renames it. Leaving by an error removes it. Leaving by Ctrl-C (KeyboardInterrupt)
    finishes it under the partial name, so that what was done can be played; `kept` then names it.

    Args:
        path: `.mp4`, `.m4v`, `.mov`, `.mkv` (H.264), `.webm` (VP9), `.gif`, or a name without a suffix
            (or an existing folder) for a folder of numbered pictures.
        fps: Exact frame rate; `Fraction(30000, 1001)` stays that.
        size: `(h, w)` of all frames. H.264 makes odd sizes even by repeating the last row or column;
            `size_note` then says so.
        audio_from: A clip whose sound is copied without re-encoding; one without sound is fine.
        audio_start: Where in that clip's time the written one begins, seconds after its first frame.
        audio_duration: How much of the sound to take, seconds; all of it unless told.
        crf: Constant quality, lower is better; 18 for H.264 and 28 for VP9 unless told.
        preset: Speed against size, an x264 preset.
        metadata: Tags to add; every file says that stillmotion generated it, whatever they are.
        facts: What that mark says besides, such as `{"method": "first-order", "weights": "heads"}`.
        seal: Called with the finished file before it gets its name, to sign it (`provenance.sealer`);
            not for folders.
        image_suffix: Kind of pictures in a folder of frames.
        has_alpha: Write transparency: each frame then comes with its alpha. `.webm` keeps VP9, `.mov` becomes
            ProRes 4444, `.gif` knows transparent or not; `holds_alpha` tells which outputs can.

    Attributes:
        frames: Frames written so far.
        audio_note: What happened to the sound other than being copied; None when nothing did.
        size_note: How the written size differs from `size`; None when it does not.
        provenance: The marks in the file: what says that it was generated.
        partial: The name written to.
        kept: The partial file that Ctrl-C left, or None.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: Fraction | int,
        size: tuple[int, int],
        audio_from: str | os.PathLike[str] | None = None,
        audio_start: Fraction | int = 0,
        audio_duration: Fraction | int | None = None,
        crf: int | None = None,
        preset: str = "veryfast",
        metadata: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
        seal: Callable[[Path], object] | None = None,
        image_suffix: str = ".png",
        has_alpha: bool = False,
    ) -> None:
        self.path = Path(path)
        self.fps = _check_rate(fps)
        self.size = size
        self.frames = 0
        self.audio_note: str | None = None
        self.kept: Path | None = None
        self._is_folder = _check_kind(self.path, image_suffix)
        self.partial = self.path.with_name(self.path.name + ".partial") if self._is_folder else partial_path(self.path)
        if has_alpha and not holds_alpha(self.path, image_suffix=image_suffix):
            raise OutputError(f"{self.path} cannot be transparent", hint=f"write {TRANSPARENT_OUTPUTS}", path=self.path)
        self._has_alpha = has_alpha
        self.size_note = None if self._is_folder or has_alpha else _size_note(self.path.suffix.lower(), size)
        self._audio = (audio_from, Fraction(audio_start), None if audio_duration is None else Fraction(audio_duration))
        self._crf, self._preset, self._image_suffix = crf, preset, image_suffix
        self._metadata, self._seal = marked(metadata or {}, facts), seal
        self.provenance = "plain metadata"
        self._clip: Clip | None = None
        self._sound: Sound | None = None
        self._time: Fraction | None = None

    def __enter__(self) -> Self:
        """Make the partial file, so that a target that cannot be written fails before any work is done.

        Raises:
            OutputError: Missing folder, no permission, a folder in the way.
            VideoError: `audio_from` cannot be read.
        """
        check_folder(self.path)
        if self._is_folder:
            check_replaceable(self.path)
        elif self.path.is_dir():
            raise OutputError(f"{self.path} is a folder", hint="add a file name to it", path=self.path)
        self._clear_partial()
        try:
            self._sound = self._open_sound()
            self._clip = self._open_clip()
        except BaseException as error:
            self._discard()
            if isinstance(error, _FAILURES):
                self._raise_explained(error)
            raise
        return self

    def write(self, frame: Frame, time: Fraction | None = None, *, alpha: np.ndarray | None = None) -> None:
        """Add a frame.

        Args:
            frame: `uint8 (h, w, 3)` of the size that was declared.
            time: When it shows, seconds from the start of the file, rising; give it to all frames
                (a variable frame rate) or to none (the exact constant rate).
            alpha: How opaque the frame is, `uint8 (h, w)`, its colours not multiplied with it; given to every
                frame of a writer that `has_alpha`, and to no other.

        Raises:
            OutputError: The disk is full, the size differs, the times do not rise, or this is not
                inside `with`.
            ImageError: Not a frame.
        """
        if self._clip is None:
            raise OutputError(f"{self.path} is not open", hint="write inside `with VideoWriter(...) as writer:`")
        check_frame(frame)
        if frame.shape[:2] != tuple(self.size):
            raise OutputError(f"a frame of {frame.shape[:2]} cannot go into a clip of {tuple(self.size)} (h, w)")
        pixels = self._with_alpha(frame, alpha)
        if time is not None and (time < 0 or (self._time is not None and time <= self._time)):
            raise OutputError(f"frame times must rise from 0: {time} s came after {self._time} s")
        try:
            self._clip.write(pixels, time)
        except _FAILURES as error:
            self._raise_explained(error)
        self.audio_note = self.audio_note or (self._sound.note if self._sound else None)
        self._time = time
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete()
        elif issubclass(kind, KeyboardInterrupt) and self.frames:
            self._keep()
        else:
            self._discard()

    def _with_alpha(self, frame: Frame, alpha: np.ndarray | None) -> np.ndarray:
        """The frame as the clip takes it: `(h, w, 3)`, or `(h, w, 4)` where it is transparent."""
        if (alpha is not None) != self._has_alpha:
            raise OutputError(
                f"{self.path.name} was opened {'with' if self._has_alpha else 'without'} transparency",
                hint="give every frame its alpha and say has_alpha=True, or neither",
            )
        if alpha is None:
            return frame
        if alpha.dtype != np.uint8 or alpha.shape != frame.shape[:2]:
            raise ImageError(f"alpha must be uint8 {frame.shape[:2]}, not {alpha.dtype} {alpha.shape}")
        return np.dstack([frame, alpha])

    def _complete(self) -> None:
        if not self.frames:
            self._discard()
            raise OutputError(f"no frame was written to {self.path}", hint="the driving clip gave no frames")
        try:
            self._finish(is_cut=False)
            self._sign()
            if self._is_folder and self.path.is_dir():
                check_replaceable(self.path)
                remove(self.path)
            self.partial.replace(self.path)
        except BaseException as error:
            self._discard()
            if isinstance(error, _FAILURES):
                self._raise_explained(error)
            raise

    def _keep(self) -> None:
        """After Ctrl-C: make what there is playable, or leave nothing if even that fails."""
        try:
            self._finish(is_cut=True)
            self._sign()
            self.kept = self.partial
        except BaseException as error:
            self._discard()
            if not isinstance(error, _FAILURES):
                raise

    def _finish(self, *, is_cut: bool) -> None:
        if self._clip is not None:
            self._clip.finish(is_cut=is_cut)
            self._clip = None
        self._close_sound()

    def _sign(self) -> None:
        if self._seal is not None and not self._is_folder:
            self._seal(self.partial)
            self.provenance += ", signed (C2PA)"

    def _discard(self) -> None:
        if self._clip is not None:
            self._clip.abandon()
            self._clip = None
        self._close_sound()
        remove(self.partial)

    def _close_sound(self) -> None:
        if self._sound is not None:
            self.audio_note = self.audio_note or self._sound.note
            self._sound.close()
            self._sound = None

    def _raise_explained(self, error: Exception) -> NoReturn:
        """Ours as it is; the system's and the encoder's as what they mean for the output."""
        if isinstance(error, StillmotionError):
            raise error
        raise output_error(error, self.path) from error

    def _clear_partial(self) -> None:
        """Remove what an earlier, interrupted run left under the partial name, and nothing else."""
        if self._is_folder:
            check_replaceable(self.partial)
        elif self.partial.is_dir():
            raise OutputError(f"the folder {self.partial} is in the way", hint="rename or remove it", path=self.path)
        remove(self.partial)

    def _open_sound(self) -> Sound | None:
        source, start, duration = self._audio
        if source is None:
            return None
        sound = open_sound(source, start=start, duration=duration)
        if sound is not None and (self._is_folder or self.path.suffix.lower() == ".gif"):
            sound.close()
            self.audio_note = f"no sound: {'a folder of frames' if self._is_folder else 'GIF'} cannot hold any"
            return None
        return sound

    def _open_clip(self) -> Clip:
        if self._is_folder:
            return FrameFolderClip(self.partial, suffix=self._image_suffix, metadata=self._metadata)
        self.partial.touch(exist_ok=False)
        if self.path.suffix.lower() == ".gif":
            return GifClip(
                self.partial, fps=self.fps, size=self.size, metadata=self._metadata, has_alpha=self._has_alpha
            )
        return EncodedClip(
            self.partial,
            fps=self.fps,
            size=self.size,
            sound=self._sound,
            crf=self._crf,
            preset=self._preset,
            metadata=self._metadata,
            has_alpha=self._has_alpha,
        )


def holds_alpha(path: str | os.PathLike[str], *, image_suffix: str = ".png") -> bool:
    """Whether an output can be transparent: `.webm`, `.mov`, `.gif`, and folders of PNG or WebP pictures."""
    suffix = Path(path).suffix.lower()
    return suffix in _ALPHA_SUFFIXES if suffix in VIDEO_SUFFIXES else image_suffix in _ALPHA_PICTURES


def _check_rate(fps: Fraction | int) -> Fraction:
    rate = Fraction(fps).limit_denominator(1_000_000)
    if not 0 < rate <= 1000:
        raise OutputError(
            f"a frame rate of {fps} cannot be written", hint="give frames per second, above 0, up to 1000"
        )
    return rate


def _check_kind(path: Path, image_suffix: str) -> bool:
    """Whether `path` means a folder of frames.

    Raises:
        OutputError: The suffix is of no kind that is written.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return False
    if suffix and not path.is_dir():
        raise OutputError(
            f"cannot write video as {suffix}: {path}",
            hint=f"use {', '.join(VIDEO_SUFFIXES)}, or a name without a suffix for a folder of pictures",
            path=path,
        )
    if image_suffix not in IMAGE_SUFFIXES:
        raise OutputError(f"cannot write frames as {image_suffix}", hint=f"use one of {', '.join(IMAGE_SUFFIXES)}")
    return True


def _size_note(suffix: str, size: tuple[int, int]) -> str | None:
    height, width = size
    if suffix in (".webm", ".gif") or (height % 2 == 0 and width % 2 == 0):
        return None
    return (
        f"written as {width + width % 2} × {height + height % 2} pixels: "
        f"H.264 needs even sides, so the last row or column of {width} × {height} is repeated"
    )
