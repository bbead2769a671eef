"""What drives: a clip read frame by frame, or a motion file. Either is a stream of moments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from stillmotion.core.errors import ConfigError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.core.motion import Keypoints, Motion
from stillmotion.prepare.crop import Crop, crop_driving
from stillmotion.prepare.faces import FaceDetector
from stillmotion.prepare.reference import find_reference
from stillmotion.session.blink import open_eyes, seen
from stillmotion.session.expression import FaceWatch
from stillmotion.session.faces import open_landmarker
from stillmotion.session.inputs import CropChoice, crop_request
from stillmotion.session.motionfile import MotionClip, is_motion_file
from stillmotion.session.sight import Sight
from stillmotion.video.read import open_video
from stillmotion.video.stream import FrameStream

ReferenceRequest: TypeAlias = Literal["first", "auto"] | int
"""Which driving frame is the rest pose: the first, the one closest to the source's pose, or an index."""


Rate: TypeAlias = Fraction | int
"""Frames per second, exact."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One driving frame.

    Attributes:
        time: Seconds since the first frame, exact.
        motion: What the method read in it.
        picture: The frame as the network saw it, `uint8 spec.size`; None where there is none.
    """

    time: Fraction
    motion: Motion
    picture: Frame | None = None


class Driving(Protocol):
    """A stream of moments; each pass starts anew.

    Attributes:
        fps: Nominal frame rate, frames per second.
        length: Number of frames, an estimate; None where nothing tells.
        crop: `x,y,w,h` of the clip that was read, pixels.
        sound: File whose sound belongs to the motion, or None.
        has_pictures: Whether moments carry their pictures on every pass.
        warnings: What the user should know of the latest pass, a line each.
    """

    fps: Fraction
    length: int | None
    crop: str
    sound: Path | None
    has_pictures: bool

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Moment]: ...

    def record(self, moments: Iterable[Moment] | None = None) -> MotionClip:
        """The motion of the whole clip, without its pictures.

        Args:
            moments: A pass to record, where somebody watches it; None starts one.

        Raises:
            MotionError: There are no frames.
        """
        ...

    def motion_at(self, index: int) -> Motion:
        """The motion of one frame.

        Raises:
            ConfigError: The clip has no such frame.
        """
        ...


class Recorded:
    """A motion file as a driving."""

    def __init__(self, clip: MotionClip) -> None:
        self.fps, self.crop = clip.fps, clip.crop
        self.length: int | None = len(clip)
        self.sound: Path | None = None
        self.has_pictures = False
        self.warnings: tuple[str, ...] = ()
        self._clip = clip

    def __iter__(self) -> Iterator[Moment]:
        return map(Moment, self._clip.times, self._clip)

    def record(self, moments: Iterable[Moment] | None = None) -> MotionClip:
        """The clip itself."""
        return self._clip

    def motion_at(self, index: int) -> Motion:
        """See `Driving.motion_at`."""
        return _item(self._clip, index)


class Filmed:
    """A video as a driving: each frame is cropped and read by the method, and a lost face is held.

    Args:
        video: Open stream.
        method: Reads the frames.
        crop: One crop for all frames.
        has_pictures: Whether the moments must carry their pictures. Without, a clip that was
            recorded once is not decoded again.
    """

    def __init__(self, video: FrameStream, method: Method, *, crop: Crop, has_pictures: bool = False) -> None:
        self.fps, self.length, self.crop = video.fps, video.length, str(crop)
        self.sound = video.path if video.has_audio else None
        self.has_pictures = has_pictures
        self._video, self._method, self._crop = video, method, crop
        self._eyes = open_eyes(method)
        self._clip: MotionClip | None = None
        self._sight = Sight()

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `Driving`."""
        count = self._video.damaged
        damage = (f"{count} damaged parts of the driving clip were skipped or patched up",) if count else ()
        return (*damage, *self._sight.warnings)

    def __iter__(self) -> Iterator[Moment]:
        if self._clip is not None:
            pictures: Iterable[Frame | None] = (p for _, p in self._frames()) if self.has_pictures else repeat(None)
            yield from map(Moment, self._clip.times, self._clip, pictures)
            return
        self._sight = Sight()
        is_face = self._method.spec.crop == "face"
        for time, picture in self._frames():
            motion = self._read(picture)
            yield Moment(time, self._sight.see(motion, picture, time) if is_face else motion, picture)

    def record(self, moments: Iterable[Moment] | None = None) -> MotionClip:
        """See `Driving.record`; later passes replay the record instead of reading again."""
        if self._clip is None:
            seen = [(moment.motion, moment.time) for moment in (self if moments is None else moments)]
            motions, times = [motion for motion, _ in seen], [time for _, time in seen]
            self._clip = MotionClip.of(motions, times, fps=self.fps, spec=self._method.spec, crop=self.crop)
            self.length = len(self._clip)
        return self._clip

    def motion_at(self, index: int) -> Motion:
        """See `Driving.motion_at`; frames before it are decoded but not read."""
        if self._clip is not None:
            return _item(self._clip, index)
        found = next(islice(self._frames(), max(index, 0), None), None)
        if found is None or index < 0:
            raise _no_such_frame(index)
        return self._read(found[1])

    def _frames(self) -> Iterator[tuple[Fraction, Frame]]:
        size = self._method.spec.size
        for time, frame in self._video.timed():
            yield time, self._crop.apply(frame, size)

    def _read(self, picture: Frame) -> Motion:
        return seen(self._eyes, self._method.read(picture[None])[0], picture)


def _item(clip: MotionClip, index: int) -> Motion:
    if not 0 <= index < len(clip):
        raise _no_such_frame(index, len(clip))
    return clip[index]


def _no_such_frame(index: int, count: int | None = None) -> ConfigError:
    seen = f", it has {count}" if count is not None else ""
    return ConfigError(
        f"the driving clip has no frame {index} to take as reference{seen}",
        hint="frames count from 0; use --reference first or --reference auto",
        seen=index,
    )


@contextmanager
def open_driving(
    driving: str | os.PathLike[str] | MotionClip,
    method: Method,
    *,
    crop: CropChoice = "auto",
    detector: FaceDetector | None = None,
    fps: Rate | None = None,
    has_pictures: bool = False,
) -> Iterator[Driving]:
    """Open a clip, a folder of frames or a motion file (`.safetensors`) as a driving.

    Args:
        driving: Path, or motion in memory.
        method: Reads the frames; must be the reader of a motion file.
        crop: Crop of the clip; a motion file was cropped when it was made.
        detector: Finds faces for an automatic crop; None takes the default one.
        fps: Frame rate for folders of frames and animated pictures.
        has_pictures: Whether moments must carry their pictures (a motion file has none).

    Raises:
        VideoError: The clip cannot be read.
        MotionError: The motion file is damaged, or other weights have read it.
        ConfigError: A frame rate for motion, which has its own.
        CropError: The crop does not fit, or no face was found.
    """
    if isinstance(driving, MotionClip) or is_motion_file(driving):
        clip = driving if isinstance(driving, MotionClip) else MotionClip.open(driving)
        name = "the motion" if clip is driving else str(driving)
        clip.check_weights(method.spec, name=name)
        if fps is not None:
            raise ConfigError(
                f"{name} has its own frame rate", hint="fps is for folders of frames and animated pictures"
            )
        yield Recorded(clip)
        return
    with open_video(driving, fps=fps) as video:
        chosen = crop_driving(video, method.spec, request=crop_request(crop), detector=detector)
        yield Filmed(video, method, crop=chosen, has_pictures=has_pictures)


def choose_reference(
    driving: Driving, source: Motion, request: ReferenceRequest, *, picture: Frame | None = None
) -> tuple[int, Motion | None]:
    """Index of the rest pose in the driving, and its motion (None: take the first as it comes).

    `auto` reads the whole clip first. The frames are then animated in order: each depends on the
    reference and on itself alone, so this equals running both ways from it. Where source and clip
    show faces, their landmarks are compared: on rendered heads these chose poses nearer the best
    ones than learned keypoints did (docs/face-network.md). Elsewhere, and for motion files, keypoints are.

    Args:
        driving: What drives.
        source: Motion of the source.
        request: What the user asks for.
        picture: The source as the network sees it, to look for a face in; None compares keypoints.

    Raises:
        ConfigError: No such frame, another word, or `auto` without faces for motion that is no keypoints.
    """
    if request == "first":
        return 0, None
    if request == "auto":
        faces = FaceWatch(open_landmarker()) if picture is not None else None
        clip = driving.record(faces.watch(driving)) if faces else driving.record()
        index = faces.closest(picture) if faces and picture is not None else None
        if index is None:
            index = _closest_motion(source, clip)
        return index, clip[index]
    if isinstance(request, bool) or not isinstance(request, int):
        raise ConfigError(f"unknown reference {request!r}", hint="use first, auto or the index of a frame")
    return request, driving.motion_at(request)


def _closest_motion(source: Motion, clip: MotionClip) -> int:
    if not isinstance(source, Keypoints):
        raise ConfigError("--reference auto compares faces or keypoints, and here are neither", hint="use first")
    return find_reference(source, (motion for motion in clip if isinstance(motion, Keypoints)))[0]
