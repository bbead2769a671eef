"""Reading video: anything PyAV decodes, animated pictures, folders of frames, as one kind of stream."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Interpolation, VideoReformatter

from stillmotion.core.errors import VideoError
from stillmotion.core.frame import Frame
from stillmotion.video.image import composite
from stillmotion.video.pictures import AnimatedImage, FrameFolder
from stillmotion.video.stream import FrameStream, Timed
from stillmotion.video.timing import Clock, nominal_rate

_PICTURE_MAGIC = (b"GIF8", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"\xff\xd8\xff")
_MOTION_JPEG = (".mjpg", ".mjpeg", ".avi")

# Demuxers that render text or follow links to other files: never what a clip is.
_REFUSED_FORMATS = {"tty", "hls", "dash", "concat", "concatf", "image2", "imf", "sdp", "rtsp", "lavfi", "srt"}

# After this many failures in a row the rest of a file is given up.
_PATIENCE = 64

_QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_BT709, _UNSPECIFIED, _BT601 = 1, 2, 5
_HD_HEIGHT = 720


def open_video(path: str | os.PathLike[str], *, fps: Fraction | int | None = None) -> FrameStream:
    """Open a clip for reading; nothing but its first frame is decoded yet.

    Args:
        path: A video file that PyAV reads (mp4, mov, mkv, webm, mpg, avi, …), an animated GIF, APNG or
            WebP, a still picture (one frame), or a folder of pictures in natural order.
        fps: Frame rate of a folder (25 unless told) or a replacement for that of an animated picture;
            files with a clock of their own do not take one.

    Returns:
        A context-managed stream that keeps the `Video` protocol. Frames are upright, have square
        pixels, and transparent ones are composited on white.

    Raises:
        VideoError: Missing, unreadable, empty, not a video, or without a frame that decodes.
    """
    rate = _check_rate(fps)
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path, fps=rate)
    head = _head(path)
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if is_webp or (head.startswith(_PICTURE_MAGIC) and path.suffix.lower() not in _MOTION_JPEG):
        return AnimatedImage(path, fps=rate)
    if rate is not None:
        raise VideoError(f"{path} has its own frame rate", hint="fps is for folders of frames and animated pictures")
    return VideoFile(path)


def _check_rate(fps: Fraction | int | None) -> Fraction | None:
    if fps is None:
        return None
    rate = Fraction(fps)
    if not 0 < rate <= 1000:
        raise VideoError(f"a frame rate of {fps} makes no sense", hint="give frames per second, above 0 and up to 1000")
    return rate


def _head(path: Path) -> bytes:
    """The first bytes of a file; every reason why there are none has its own message."""
    if str(path).split(":", 1)[0] in ("http", "https", "rtsp", "rtmp", "ftp"):
        raise VideoError(f"{path} is a web address, not a file", hint="download the clip first", path=path)
    try:
        if path.exists() and not path.is_file():
            raise VideoError(f"{path} is neither a file nor a folder", hint="save the clip to a file first", path=path)
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise VideoError(f"there is no file or folder {path}", hint="check the path", path=path) from error
    except PermissionError as error:
        raise VideoError(f"no permission to read {path}", hint=f"chmod u+r {path}", path=path) from error
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}", hint="check the disk and the path") from error
    if not head:
        raise VideoError(f"{path} is empty (0 bytes)", hint="copy or download it again", path=path)
    return head


@contextmanager
def open_container(path: Path) -> Iterator[av.container.InputContainer]:
    """A file as PyAV sees it, closed on leaving.

    Only this one file is ever opened: no playlist or reference inside it can reach another file or
    the network.

    Raises:
        VideoError: Not a media file, or one whose header is broken.
    """
    try:
        # The prefix keeps a name such as "a:b.mp4" from being taken for a protocol.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _not_a_video(path) from error
    try:
        if _REFUSED_FORMATS.intersection(container.format.name.split(",")):
            raise _not_a_video(path)
        yield container
    finally:
        container.close()


def _not_a_video(path: Path) -> VideoError:
    return VideoError(
        f"{path} is not a video that can be read: its header is missing, broken or of an unknown kind",
        hint="play it in another program; if it plays there, convert it to mp4 (H.264)",
        path=path,
    )


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first real video stream: cover art does not count."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


class VideoFile(FrameStream):
    """A clip in a container that PyAV reads, decoded frame by frame.

    The display matrix (rotation and mirroring) and the sample aspect ratio are obeyed; non-square
    pixels are made square by stretching the shorter way, so that none are lost. Colours are
    converted by the matrix that the file names; where it names none, BT.709 from 720 lines up and
    BT.601 below, as players do. Frames that change size midway are scaled to the first one's.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with open_container(path) as container:
            stream = self._stream(container)
            self.has_audio = bool(container.streams.audio)
            self._tick = stream.time_base
            self.fps = nominal_rate(stream.average_rate, stream.guessed_rate, tick=self._tick)
            self.length = _length(container, stream, self.fps)
            self._aspect = _aspect(stream.sample_aspect_ratio)
        running = self._read()
        try:
            frame = next(running)[1]
        finally:
            running.close()
        self.size = (frame.shape[0], frame.shape[1])

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        stream = video_stream(container)
        if stream is None:
            seen = "only sound" if container.streams.audio else "no pictures"
            raise VideoError(f"{self.path} holds {seen}", hint="choose a file with a picture track", path=self.path)
        if stream.codec_context is None:
            raise VideoError(
                f"{self.path} is packed in a way that cannot be decoded here",
                hint="convert it to mp4 (H.264)",
                path=self.path,
            )
        return stream

    def _read(self) -> Timed:
        self.damaged = 0
        clock = Clock(self.fps, tick=self._tick)
        painter: _Painter | None = None
        with open_container(self.path) as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            # AVI stores no presentation times: those that appear are guesses in decoding order.
            is_avi = container.format.name == "avi"
            for decoded in self._decode(container, stream):
                stamp = decoded.dts if decoded.pts is None or is_avi else decoded.pts
                base = decoded.time_base or stream.time_base
                time = clock.at(None if stamp is None or base is None else stamp * base)
                if painter is None:
                    self.start = clock.start
                    painter = _Painter(decoded, aspect=self._aspect)
                yield time, painter.paint(decoded)
        if painter is None:
            raise VideoError(
                f"{self.path} holds no frame that can be decoded",
                hint="it is empty or damaged: copy, download or export it again",
                path=self.path,
            )

    def _decode(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Generator[av.VideoFrame, None, None]:
        """Every frame that decodes, the ones held back until the flush packet included."""
        failures = 0
        packets = container.demux(stream)
        while failures < _PATIENCE:
            packet, frames = None, []
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.EOFError:
                return
            except (av.FFmpegError, OSError):
                self.damaged += 1
                failures += 1
                if packet is None:
                    packets = container.demux(stream)
                elif packet.dts is None and packet.size == 0:
                    return
            failures = 0 if frames else failures
            for frame in frames:
                self.damaged += bool(frame.is_corrupt)
                yield frame
        yield from _flush(stream)


def _flush(stream: av.VideoStream) -> list[av.VideoFrame]:
    """What the decoder still holds after the file was given up."""
    try:
        return stream.decode(None)
    except (av.FFmpegError, OSError):
        return []


def _length(container: av.container.InputContainer, stream: av.VideoStream, fps: Fraction) -> int | None:
    if stream.frames > 0:
        return stream.frames
    if stream.duration and stream.time_base:
        return max(1, round(stream.duration * stream.time_base * fps))
    if container.duration:
        return max(1, round(Fraction(container.duration, av.time_base) * fps))
    return None


def _aspect(ratio: Fraction | None) -> Fraction:
    """Width of a pixel over its height; ratios that no camera makes are taken for square."""
    return Fraction(ratio) if ratio is not None and Fraction(1, 8) <= ratio <= 8 else Fraction(1)


class _Painter:
    """Turns decoded frames into ours: colours, square pixels, alpha, upright. Set up by the first."""

    def __init__(self, first: av.VideoFrame, *, aspect: Fraction) -> None:
        self._reformatter = VideoReformatter()
        self._matrix = _display_matrix(first)
        self._width = round(first.width * max(aspect, Fraction(1)))
        self._height = round(first.height / min(aspect, Fraction(1)))

    def paint(self, frame: av.VideoFrame) -> Frame:
        has_alpha = any(part.is_alpha for part in frame.format.components) or frame.format.has_palette
        space = frame.colorspace
        if space in (_UNSPECIFIED, 0):
            space = _BT709 if frame.height >= _HD_HEIGHT else _BT601
        converted = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format="rgba" if has_alpha else "rgb24",
            src_colorspace=space,
            src_color_range=frame.color_range or None,
            dst_color_range="JPEG",
            interpolation=_QUALITY,
        )
        pixels = converted.to_ndarray()
        if has_alpha:
            pixels = composite(pixels[..., :3], pixels[..., 3])
        return pixels if self._matrix is None else _turn(pixels, self._matrix)


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """The 2 × 2 part of the display matrix, or None where the picture is stored upright."""
    attached: Any = frame.side_data
    try:
        data = attached[SideDataType.DISPLAYMATRIX]
    except KeyError:
        return None
    values = np.frombuffer(bytes(data), np.dtype("=i4"))[[0, 1, 3, 4]].reshape(2, 2)
    is_upright = values[0, 0] > 0 and values[1, 1] > 0 and abs(values[0, 0]) > abs(values[0, 1])
    return None if is_upright else values


def _turn(pixels: np.ndarray, matrix: np.ndarray) -> Frame:
    """Rotate by the nearest quarter turn and mirror: stored (x, y) shows at (ax + cy, bx + dy)."""
    (a, b), (c, d) = matrix
    if abs(a) < abs(b):
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    pixels = pixels[:, ::-1] if a < 0 else pixels
    return np.ascontiguousarray(pixels[::-1] if d < 0 else pixels)
