"""Read a long video twice, to find and to cut, with one frame in memory at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

import av

from stillmotion.core.errors import StillmotionError, VideoError
from stillmotion.core.frame import Frame
from stillmotion.data.clips import Clip
from stillmotion.data.decode import raw_frames
from stillmotion.data.preparation.tracking import Cut
from stillmotion.video.containers import EncodedClip
from stillmotion.video.folders import FrameFolderClip
from stillmotion.video.read import open_video
from stillmotion.video.target import check_folder, output_error, partial_path, remove

Kind: TypeAlias = Literal["mp4", "png"]
"""`mp4` is one file a clip; `png` a folder of pictures a clip, without loss and about ten times as large.
The folder is named like a video, `.mp4`, since the published loaders know their clips by that."""


@dataclass
class Footage:
    """The frames of a video; every pass reads it anew.

    Attributes:
        clip: The video, folder of frames, or strip.
        size: `(h, w)`.
        fps: Rate of the frames that come out; exact for videos, 25 for folders and strips.
        rate: Rate asked for; None for the video's own.
        damaged: Pictures that could not be decoded in the latest pass.
    """

    clip: Clip
    size: tuple[int, int]
    fps: Fraction
    rate: Fraction | None = None
    damaged: int = 0

    @classmethod
    def open(cls, clip: Clip, *, rate: Fraction | None = None) -> Footage:
        """Look at the first frame.

        Raises:
            VideoError: It cannot be read.
            DataError: It is a strip that cannot be read.
        """
        if clip.kind == "strip":
            first = next(iter(raw_frames(clip)))
            return cls(clip, (first.shape[0], first.shape[1]), rate or Fraction(25), rate)
        with open_video(clip.path) as video:
            return cls(clip, video.size, rate or video.fps, rate)

    def frames(self) -> Iterator[Frame]:
        """Frames `uint8 (h, w, 3)` in time order.

        Raises:
            VideoError: As `open`, or a frame of another size came.
        """
        for frame in self._frames():
            if frame.shape[:2] != self.size:
                raise VideoError(
                    f"{self.clip.path} changes its size from {self.size[1]}x{self.size[0]} to "
                    f"{frame.shape[1]}x{frame.shape[0]}",
                    hint="cut it where it changes",
                )
            yield frame

    def _frames(self) -> Iterator[Frame]:
        if self.clip.kind == "strip":
            yield from raw_frames(self.clip)
            return
        with open_video(self.clip.path) as video:
            yield from video if self.rate is None else at_rate(video.timed(), self.rate)
            self.damaged = video.damaged


def at_rate(timed: Iterator[tuple[Fraction, Frame]], rate: Fraction) -> Iterator[Frame]:
    """What is on the screen every 1 / rate seconds, from the first frame to the last.

    Args:
        timed: `(seconds, frame)`, times rising from 0.
        rate: Frames per second, above 0; 1 gives the sparse frames of an interview.
    """
    shown: Frame | None = None
    tick, now = 0, Fraction(0)
    for now, frame in timed:
        while shown is not None and tick / rate < now:
            yield shown
            tick += 1
        shown = frame
    if shown is not None and tick / rate <= now:
        yield shown


class ClipFile:
    """One clip being written: it appears under its name when it is whole, and replaces what was there.

    Unlike `VideoWriter` it does not mark the clip as generated: it is a part of a recording.

    Args:
        path: The clip; its folder exists.
        fps: Exact rate.
        size: `(h, w)` of its frames.
        kind: See `Kind`.
    """

    def __init__(self, path: Path, *, fps: Fraction, size: tuple[int, int], kind: Kind) -> None:
        self.path, self.frames = path, 0
        self._partial = partial_path(path) if kind == "mp4" else path.with_name(path.name + ".partial")
        check_folder(path)
        remove(self._partial)
        try:
            self._writer = self._open(fps, size, kind)
        except (OSError, av.FFmpegError) as error:
            raise output_error(error, path) from error

    def _open(self, fps: Fraction, size: tuple[int, int], kind: Kind) -> EncodedClip | FrameFolderClip:
        if kind == "png":
            return FrameFolderClip(self._partial, suffix=".png", metadata={})
        return EncodedClip(self._partial, fps=fps, size=size, sound=None, crf=None, preset="veryfast", metadata={})

    def write(self, frame: Frame) -> None:
        """Add a frame.

        Raises:
            OutputError: It cannot be written: the disk is full.
        """
        try:
            self._writer.write(frame, None)
        except (OSError, av.FFmpegError) as error:
            raise output_error(error, self.path) from error
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the file its name, or remove it where something failed or nothing was written.

        Raises:
            OutputError: It cannot be finished.
        """
        try:
            if kind is not None or not self.frames:
                self._writer.abandon()
                return
            self._writer.finish(is_cut=False)
            if self.path.is_dir():
                remove(self.path)
            self._partial.replace(self.path)
        except (OSError, av.FFmpegError) as failure:
            raise output_error(failure, self.path) from failure
        finally:
            remove(self._partial)


class Named(Protocol):
    """A cut, and the file that it shall become."""

    @property
    def cut(self) -> Cut: ...

    @property
    def path(self) -> Path: ...


@dataclass
class Cutter:
    """Cuts clips out of footage in one pass.

    Attributes:
        size: `(h, w)` of the clips.
        kind: See `Kind`.
        written: Frames in each finished clip.
    """

    size: tuple[int, int]
    kind: Kind
    written: dict[Path, int] = field(default_factory=dict)

    def cut(self, footage: Footage, wanted: Sequence[Named]) -> None:
        """Write every clip; one that begins after the footage's end is not written.

        Raises:
            VideoError: The footage cannot be read. No clip that was begun stays.
            OutputError: A clip cannot be written.
        """
        waiting = sorted(wanted, key=lambda one: one.cut.start, reverse=True)
        running: list[tuple[Named, ClipFile]] = []
        with self._all_or_none(running):
            for index, frame in enumerate(footage.frames()):
                while waiting and waiting[-1].cut.start <= index:
                    one = waiting.pop()
                    running.append((one, ClipFile(one.path, fps=footage.fps, size=self.size, kind=self.kind)))
                for one, file in running:
                    if index < one.cut.stop:
                        file.write(one.cut.box.cut(frame, self.size))
                self._close(running, before=index + 1)
                if not waiting and not running:
                    return
            self._close(running, before=None)

    def _close(self, running: list[tuple[Named, ClipFile]], *, before: int | None) -> None:
        for pair in [pair for pair in running if before is None or pair[0].cut.stop <= before]:
            running.remove(pair)
            with pair[1]:
                pass
            self.written[pair[0].path] = pair[1].frames

    @contextmanager
    def _all_or_none(self, running: list[tuple[Named, ClipFile]]) -> Iterator[None]:
        """After an error, remove what is unfinished."""
        try:
            yield
        except BaseException as error:
            for _, file in running:
                with contextlib.suppress(StillmotionError):
                    file.__exit__(type(error), error, None)
            raise
