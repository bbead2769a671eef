"""Animated GIF: one palette a frame, written as the frames come."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.filter import Graph

from stillmotion.core.frame import Frame

_BASE = Fraction(1, 100)
# Browsers show a delay of one hundredth as ten; two is the least that they obey.
_SHORTEST = 2
_TRAILER = b"\x3b"


class GifClip:
    """Encodes frames as a GIF that loops for ever.

    Each frame gets its own 256 colours with an ordered dither that stands still from frame to frame.
    GIF counts hundredths of a second: times are rounded to them, and frames that would follow
    closer than two hundredths (above 50 frames a second) are left out. A pixel of a GIF is transparent
    or not: from half opaque on it is not.

    Args:
        file: Where to write, already the partial name.
        fps: Nominal rate.
        size: `(h, w)`.
        metadata: Stored as a GIF comment.
        has_alpha: Whether the frames carry transparency; it takes one of the 256 colours.
    """

    def __init__(
        self, file: Path, *, fps: Fraction, size: tuple[int, int], metadata: Mapping[str, str], has_alpha: bool = False
    ) -> None:
        self._file = file
        self._fps = fps
        others = [f"{key}={value}" for key, value in metadata.items() if key != "comment"]
        self._comment = "; ".join([*filter(None, [metadata.get("comment")]), *others])
        self._frames = 0
        self._last: int | None = None
        height, width = size
        self._container: av.container.OutputContainer = av.open(f"file:{file}", "w", format="gif")
        self._stream = self._container.add_stream("gif", rate=fps, width=width, height=height, time_base=_BASE)
        self._stream.pix_fmt = "pal8"
        self._graph = _palette_graph(width, height, has_alpha=has_alpha)

    def write(self, frame: Frame, time: Fraction | None) -> None:
        """Encode one frame, or leave it out where GIF cannot show it long enough.

        Args:
            frame: `uint8 (h, w, 3)`, or with alpha `(h, w, 4)`.
            time: Seconds; None counts frames.
        """
        tick = round((self._frames / self._fps if time is None else time) / _BASE)
        self._frames += 1
        if self._last is not None and tick < self._last + _SHORTEST:
            return
        self._last = tick
        picture = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24")
        if frame.shape[2] == 4:
            picture = picture.reformat(format="bgra")  # the only order with alpha that the palette filters take
        picture.pts = tick
        picture.time_base = _BASE
        self._graph.push(picture)
        self._drain()

    def finish(self, *, is_cut: bool) -> None:
        """Write what is held back, the trailer and the comment."""
        self._graph.push(None)
        self._drain()
        self._container.mux(self._stream.encode(None))
        self._container.close()
        _add_comment(self._file, self._comment)

    def abandon(self) -> None:
        """Close whatever is open; the file is worthless and errors do not matter any more."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            return

    def _drain(self) -> None:
        while True:
            try:
                picture = cast(av.VideoFrame, self._graph.pull())
            except (av.BlockingIOError, av.EOFError):
                return
            self._container.mux(self._stream.encode(picture))


def _palette_graph(width: int, height: int, *, has_alpha: bool) -> Graph:
    """rgb24 in, or bgra; pal8 out, each frame with the palette made from itself."""
    graph = Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("bgra" if has_alpha else "rgb24"), time_base=_BASE
    )
    split = graph.add("split")
    palette = graph.add("palettegen", f"stats_mode=single:reserve_transparent={int(has_alpha)}")
    chosen = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4:alpha_threshold=128")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(chosen, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(chosen, 0, 1)
    chosen.link_to(sink)
    graph.configure()
    return graph


def _add_comment(file: Path, comment: str) -> None:
    """Put a comment extension in front of the trailer byte, which the GIF muxer cannot do itself."""
    text = comment.encode("ascii", "replace")
    blocks = b"".join(bytes([len(part)]) + part for part in (text[i : i + 255] for i in range(0, len(text), 255)))
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        if opened.read(1) == _TRAILER and text:
            opened.seek(-1, 2)
            opened.write(b"\x21\xfe" + blocks + b"\x00" + _TRAILER)
