"""Sound: carried from the driving clip into the written one, packet by packet, in step with the pictures.

Packets are copied bit for bit. Only where the new container cannot hold the codec is the sound
encoded again, and then `Sound.note` says so.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import cast

import av

from stillmotion.core.errors import VideoError
from stillmotion.video.read import open_container, open_video, video_stream

# Encoders put up to this much before time 0 (AAC and Opus priming); it belongs to the sound.
_PRIMING = Fraction(1, 10)
_AUDIBLE_GAP = Fraction(1, 50)
_LONGEST_SILENCE = 600
_PATIENCE = 64
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_FOREVER = Fraction(10**9)


def open_sound(
    path: str | os.PathLike[str], *, start: Fraction = Fraction(0), duration: Fraction | None = None
) -> Sound | None:
    """The sound of a file, or None where it has none (pictures and folders never do).

    Args:
        path: A clip, or a file of sound alone.
        start: Where to begin, seconds after the clip's first frame.
        duration: How much to take, seconds; all that follows unless told.

    Raises:
        VideoError: The file cannot be read at all.
    """
    path = Path(path)
    origin = _origin(path)
    return None if origin is None else Sound(path, shift=origin + start, end=duration, is_whole=start == 0)


def _origin(path: Path) -> Fraction | None:
    """The instant of the first frame on the file's clock; None where there is no sound."""
    try:
        with open_video(path) as video:
            return video.start if video.has_audio else None
    except VideoError:
        if path.is_dir() or not path.is_file():
            raise
        with open_container(path) as container:
            if video_stream(container) is not None or not container.streams.audio:
                raise
            stream = container.streams.audio[0]
            return (stream.start_time or 0) * (stream.time_base or Fraction(0))


class Sound:
    """Sound of one open file on its way into another; made by `open_sound`.

    Attributes:
        note: What happened to the sound other than being copied, for the user; None when nothing did.
    """

    def __init__(self, path: Path, *, shift: Fraction, end: Fraction | None, is_whole: bool) -> None:
        self.note: str | None = None
        self._path = path
        self._shift = shift
        self._end = end
        self._is_whole = is_whole
        self._stack = ExitStack()
        self._container = self._stack.enter_context(open_container(path))
        best = self._container.streams.best("audio") or self._container.streams.audio[0]
        self._stream = cast(av.AudioStream, best)
        self._lane: _Copied | _Encoded | None = None
        self._packets = self._wanted()
        self._pending: av.Packet | None = None

    def attach(self, output: av.container.OutputContainer) -> None:
        """Add a sound track to a container that has not been started."""
        kind = output.format.name
        codec = self._stream.codec_context.name
        if self._can_copy(kind):
            self._lane = _Copied(self._stream, output)
        else:
            encoder = "libopus" if kind == "webm" else "aac"
            self._lane = _Encoded(self._stream, output, encoder=encoder)
            self.note = f"sound encoded again as {encoder.removeprefix('lib').upper()}: {kind} cannot hold {codec}"
        self._pending = next(self._packets, None)

    def advance(self, until: Fraction) -> None:
        """Write the packets that begin before `until` seconds."""
        while self._pending is not None and self._lane is not None and _begin(self._pending) < until:
            self._lane.put(self._pending)
            self._pending = next(self._packets, None)

    def finish(self, until: Fraction | None = None) -> None:
        """Write what is left, up to `until` seconds if given."""
        self.advance(_FOREVER if until is None else until)
        if self._lane is not None:
            self._lane.flush()

    def close(self) -> None:
        """Let go of the file the sound came from."""
        self._packets.close()
        self._stack.close()

    def _can_copy(self, kind: str) -> bool:
        """Whether the container takes this codec: tried in memory, since tables of codecs do not tell all."""
        try:
            with open_container(self._path) as source:
                template = cast(av.AudioStream, source.streams[self._stream.index])
                with av.open(io.BytesIO(), "w", format=kind) as trial:
                    lane = _Copied(template, trial)
                    for packet in itertools.islice(source.demux(template), 3):
                        if packet.dts is not None:
                            lane.put(packet)
        except (av.FFmpegError, OSError, ValueError):
            return False
        return True

    def _wanted(self) -> Generator[av.Packet, None, None]:
        """Packets of the range, their stamps counted from its start."""
        following: int | None = None
        for packet in self._demux():
            base = packet.time_base
            if packet.pts is None:
                packet.pts = packet.dts if packet.dts is not None else following
            if packet.size == 0 or packet.pts is None:
                continue
            following = packet.pts + (packet.duration or 0)
            offset = round(self._shift / base)
            packet.dts = (packet.pts if packet.dts is None else packet.dts) - offset
            packet.pts -= offset
            if self._is_too_early(packet):
                continue
            if self._end is not None and _begin(packet) >= self._end:
                return
            yield packet

    def _demux(self) -> Iterator[av.Packet]:
        packets = self._container.demux(self._stream)
        for _ in range(_PATIENCE):
            try:
                yield from packets
                return
            except (av.FFmpegError, OSError):
                self.note = "damaged stretches of the sound were left out"
                packets = self._container.demux(self._stream)

    def _is_too_early(self, packet: av.Packet) -> bool:
        if self._is_whole:
            return _begin(packet) < -_PRIMING
        return _begin(packet) + (packet.duration or 0) * packet.time_base <= 0


def _begin(packet: av.Packet) -> Fraction:
    return (packet.pts or 0) * packet.time_base


class _Copied:
    """A sound track whose packets are those of the source, bit for bit."""

    def __init__(self, source: av.AudioStream, output: av.container.OutputContainer) -> None:
        self._output = output
        self._stream = output.add_stream_from_template(source)
        self._last: int | None = None

    def put(self, packet: av.Packet) -> None:
        stamp = packet.dts or 0
        if self._last is not None and stamp <= self._last:
            # Containers refuse stamps that do not rise; a broken clock must not cost the sound.
            stamp = packet.dts = self._last + 1
            packet.pts = max(packet.pts or 0, stamp)
        self._last = stamp
        packet.stream = self._stream
        self._output.mux(packet)

    def flush(self) -> None:
        """Nothing is held back."""


class _Encoded:
    """A sound track decoded and encoded anew, gaps filled with silence so that it stays in sync."""

    def __init__(self, source: av.AudioStream, output: av.container.OutputContainer, *, encoder: str) -> None:
        self._source = source
        self._output = output
        rate = 48000 if encoder == "libopus" else min(_AAC_RATES, key=lambda known: abs(known - source.rate))
        self._stream = cast(av.AudioStream, output.add_stream(encoder, rate=rate))
        self._stream.layout = "mono" if source.codec_context.layout.nb_channels == 1 else "stereo"
        self._stream.bit_rate = 192_000
        self._position: int | None = None

    def put(self, packet: av.Packet) -> None:
        try:
            frames = cast(list[av.AudioFrame], packet.decode())
        except (av.FFmpegError, OSError):
            return
        for frame in frames:
            self._take(frame)

    def flush(self) -> None:
        try:
            frames = self._source.decode(None)
        except (av.FFmpegError, OSError):
            frames = []
        for frame in frames:
            self._take(frame)
        self._output.mux(self._stream.encode(None))

    def _take(self, frame: av.AudioFrame) -> None:
        if frame.pts is not None and frame.time_base:
            begin = round(frame.pts * frame.time_base * frame.sample_rate)
            if self._position is None:
                self._position = begin
            self._be_silent(begin - self._position, frame)
        self._encode(frame)

    def _be_silent(self, samples: int, like: av.AudioFrame) -> None:
        if samples < like.sample_rate * _AUDIBLE_GAP:
            return
        left = min(samples, like.sample_rate * _LONGEST_SILENCE)
        while left > 0:
            block = av.AudioFrame(format=like.format.name, layout=like.layout.name, samples=min(left, like.sample_rate))
            block.sample_rate = like.sample_rate
            for plane in block.planes:
                plane.update(bytes(plane.buffer_size))
            left -= block.samples
            self._encode(block)

    def _encode(self, frame: av.AudioFrame) -> None:
        self._position = self._position or 0
        frame.pts = self._position
        frame.time_base = Fraction(1, frame.sample_rate)
        self._position += frame.samples
        self._output.mux(self._stream.encode(frame))
