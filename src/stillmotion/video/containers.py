"""Encoded clips: H.264 in mp4, mov or mkv, VP9 in webm; with transparency, VP9 in webm or ProRes 4444 in mov."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from stillmotion.core.errors import OutputError
from stillmotion.core.frame import Frame
from stillmotion.video.audio import Sound

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

ALPHA_FORMATS = {".webm": "yuva420p", ".mov": "yuva444p10le"}
"""Containers that hold transparency, with the pixels it is encoded from."""

# MP4 and MOV keep only the tags they know; others travel inside the comment.
_MP4_TAGS = {"title", "artist", "album", "date", "comment", "genre", "copyright", "description", "synopsis"}

_BT709 = 1
_LIMITED_RANGE = 1
_QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_FINE_CLOCK = 90_000
_LARGEST_CLOCK = 2**30


class EncodedClip:
    """Encodes frames into one container, with sound alongside.

    Pixels are `yuv420p`, BT.709, limited range, and tagged so. H.264 in 4:2:0 cannot have an odd
    width or height, and 4:4:4 does not play in browsers or on phones: an odd size is made even by
    repeating the last row or column. VP9 and ProRes keep odd sizes.

    With transparency, pixels are `yuva420p` in webm (VP9, which browsers show) and 10-bit `yuva444p` in
    mov (ProRes 4444, which editors take); colours are not multiplied with alpha.

    With no times given, the time base is exactly 1 / fps; with times, a clock that divides both
    1 / fps and 1/90000 s, so that a variable frame rate is kept.

    Args:
        file: Where to write, already the partial name.
        fps: Exact nominal rate.
        size: `(h, w)` of the frames.
        sound: Sound to carry along; closed by the caller.
        crf: Constant quality, lower is better; None for a good default (18 for H.264, 28 for VP9).
        preset: x264 preset; VP9 maps it to a speed.
        metadata: Tags of the container.
        has_alpha: Whether the frames carry transparency; only in the containers of `ALPHA_FORMATS`.
    """

    def __init__(
        self,
        file: Path,
        *,
        fps: Fraction,
        size: tuple[int, int],
        sound: Sound | None,
        crf: int | None,
        preset: str,
        metadata: Mapping[str, str],
        has_alpha: bool = False,
    ) -> None:
        self._fps = fps
        self._size = size
        self._sound = sound
        suffix = file.suffix.lower()
        self._pixels = ALPHA_FORMATS[suffix] if has_alpha else "yuv420p"
        self._codec, self._options = _codec(suffix, crf=crf, preset=preset, has_alpha=has_alpha)
        self._padding = (size[0] % 2, size[1] % 2) if self._codec == "libx264" else (0, 0)
        self._reformatter = VideoReformatter()
        self._stream: av.VideoStream | None = None
        self._base = 1 / fps
        self._is_timed = False
        self._last = -1
        kind = FORMATS[suffix]
        is_mp4 = kind in ("mp4", "mov")
        self._container: av.container.OutputContainer = av.open(
            f"file:{file}", "w", format=kind, container_options={"movflags": "+faststart"} if is_mp4 else {}
        )
        self._container.metadata.update(_foldable(metadata) if is_mp4 else metadata)

    @property
    def end(self) -> Fraction:
        """When the last frame stops showing, seconds."""
        return self._last * self._base + 1 / self._fps

    def write(self, frame: Frame, time: Fraction | None) -> None:
        """Encode one frame, `uint8 (h, w, 3)` or with alpha `(h, w, 4)`; the first decides whether all carry times."""
        if self._stream is None:
            self._is_timed = time is not None
            self._stream = self._start()
        if self._is_timed != (time is not None):
            raise OutputError("some frames came with a time and some without", hint="give all frames a time, or none")
        tick = self._last + 1 if time is None else max(round(time / self._base), self._last + 1)
        self._last = tick
        picture = self._picture(frame)
        picture.pts = tick
        picture.time_base = self._base
        self._container.mux(self._stream.encode(picture))
        if self._sound is not None:
            # No further than the pictures: the clip may end here (Ctrl-C), and sound with it.
            self._sound.advance(self.end)

    def finish(self, *, is_cut: bool) -> None:
        """Flush the encoder, write the rest of the sound and the container's index.

        Args:
            is_cut: The clip ends early: so does the sound.
        """
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish(self.end if is_cut else None)
        self._container.close()

    def abandon(self) -> None:
        """Close whatever is open; the file is worthless and errors do not matter any more."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            return

    def _start(self) -> av.VideoStream:
        if self._is_timed:
            self._base = _clock(self._fps)
        height, width = (side + odd for side, odd in zip(self._size, self._padding, strict=True))
        added = self._container.add_stream(
            self._codec, rate=self._fps, options=self._options, width=width, height=height, time_base=self._base
        )
        stream = cast(av.VideoStream, added)
        stream.pix_fmt = self._pixels
        if self._pixels == "yuva420p":
            stream.metadata["alpha_mode"] = "1"  # players look for the second picture only where this is said
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        if self._sound is not None:
            self._sound.attach(self._container)
        return stream

    def _picture(self, frame: Frame) -> av.VideoFrame:
        if any(self._padding):
            frame = np.pad(frame, ((0, self._padding[0]), (0, self._padding[1]), (0, 0)), mode="edge")
        converted = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24"),
            format=self._pixels,
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED_RANGE,
            interpolation=_QUALITY,
        )
        converted.color_primaries = converted.color_trc = _BT709
        return converted


def _codec(suffix: str, *, crf: int | None, preset: str, has_alpha: bool) -> tuple[str, dict[str, str]]:
    if suffix == ".mov" and has_alpha:
        return "prores_ks", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
    if suffix != ".webm":
        return "libx264", {"crf": str(18 if crf is None else crf), "preset": preset}
    is_quick = preset in ("ultrafast", "superfast", "veryfast", "faster")
    pace = {"deadline": "realtime", "cpu-used": "7"} if is_quick else {"deadline": "good", "cpu-used": "2"}
    # A frame that is never shown has no alpha beside it, so there may be none.
    plain = {"auto-alt-ref": "0"} if has_alpha else {}
    return "libvpx-vp9", {"crf": str(28 if crf is None else crf), "b": "0", "row-mt": "1", **pace, **plain}


def _clock(fps: Fraction) -> Fraction:
    """A time base in which both 1 / fps and 1/90000 s are whole numbers, if a container can hold it."""
    ticks = math.lcm(fps.numerator, _FINE_CLOCK)
    return Fraction(1, ticks if ticks <= _LARGEST_CLOCK else _FINE_CLOCK)


def _foldable(metadata: Mapping[str, str]) -> dict[str, str]:
    """Tags for MP4: those it does not know become `key=value` in the comment."""
    known = {key: value for key, value in metadata.items() if key in _MP4_TAGS}
    others = [f"{key}={value}" for key, value in metadata.items() if key not in _MP4_TAGS]
    known["comment"] = "; ".join([known.get("comment", ""), *others]).removeprefix("; ")
    return known
