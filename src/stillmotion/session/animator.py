"""Animator: one encoded source, one method, frame by frame. No files, no printing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from stillmotion.core.errors import ConfigError
from stillmotion.core.frame import Frame, Video, check_frame
from stillmotion.core.method import Method, Rendering
from stillmotion.core.motion import Keypoints, Mode, Motion, transfer
from stillmotion.prepare.crop import Crop, crop_driving, crop_source
from stillmotion.prepare.faces import FaceDetector
from stillmotion.prepare.reference import mismatch_warning, pose_mismatch
from stillmotion.prepare.smooth import OneEuro
from stillmotion.session.blink import open_blink, open_eyes, seen
from stillmotion.session.faces import face_detector

FRAME_SECONDS = 1 / 25
"""Time between frames that come without one; only smoothing looks at it."""


class Animator:
    """A source image that performs whatever it is shown.

    Args:
        method: Loaded method.
        source: `uint8 (h, w, 3)`. Of the method's own size it is taken as it is; of another, as `crop` says.
        mode: `relative` adds the driver's change since the reference to the source's own pose;
            `absolute` takes the driver's pose as it is; None takes the method's first mode.
        reference: Motion of the driving frame taken as rest pose; None takes the first one seen.
        smooth: Filter on the driving motion; None passes it as it is.
        scale: Factor on relative movement; None adapts it to the sizes of source and driver.
        also: More pictures of the same, for methods that take several; fitted like `source`.
        crop: `auto` cuts out what the weights need, the face where they are weights for faces: anew in each
            source, and in driving frames where the first one shows it, so that it can move. `none` takes the
            largest centred box. Whoever places crops of their own (`prepare.crop`) gives frames of the method's size.
        blink: Draw the lids down where the driver's eyes shut, if the weights know where lids are and the source
            shows a face. Without it eyes shut as far as the network moves them, which is hardly.

    Raises:
        ConfigError: The method does not offer this mode, or its motion cannot be smoothed.
        NoFaceError: `crop` is `auto`, the weights are for faces, and a source shows none.
        ImageError: `source` is no frame, or the method does not take that many.

    Attributes:
        source: Motion of the source itself.
        reference: Motion taken as rest pose; None until the first frame. May be set at any time.
        mode: The transfer mode.
    """

    def __init__(
        self,
        method: Method,
        source: Frame,
        *,
        mode: Mode | None = None,
        reference: Motion | None = None,
        smooth: OneEuro | None = None,
        scale: float | None = None,
        also: Sequence[Frame] = (),
        crop: Literal["auto", "none"] = "auto",
        blink: bool = True,
    ) -> None:
        if crop not in ("auto", "none"):
            raise ConfigError(f"the animator crops auto or none, not {crop!r}", hint="cut other boxes out beforehand")
        mode = method.spec.modes[0] if mode is None else mode
        if mode not in method.spec.modes:
            raise ConfigError(
                f"{method.spec.name} has no motion transfer called {mode!r}",
                hint=_suggestion(mode, method.spec.modes),
                seen=mode,
            )
        if smooth is not None and method.spec.motion != "keypoints":
            raise ConfigError(f"{method.spec.name} has no keypoints to smooth", hint="leave smooth out")
        self.method, self.mode = method, mode
        self._smooth, self._scale, self._time = smooth, scale, 0.0
        self._request: Literal["auto", "none"] = crop
        self._detector: FaceDetector | None = None
        self._box: tuple[tuple[int, ...], Crop] | None = None
        sources = [self._fit_source(frame) for frame in (source, *also)]
        self._state = method.encode(sources)
        self._eyes = open_eyes(method) if blink else None
        self.source = seen(self._eyes, method.source_motion(self._state), sources[0])
        self._blink = open_blink(method, self._state, self.source, sources[0])
        self.reference = reference

    def animate(self, video: Video | Iterable[Frame]) -> Iterator[Frame]:
        """Animate a stream of driving frames, one at a time.

        Args:
            video: A `Video`, whose times are used, or any frames `uint8 (h, w, 3)` in order.

        Yields:
            `uint8 (h, w, 3)` of the method's size, one for each driving frame.
        """
        if isinstance(video, Video):
            for time, frame in video.timed():
                yield self.step(frame, float(time))
        else:
            for frame in video:
                yield self.step(frame)

    def step(self, frame: Frame, time: float | None = None) -> Frame:
        """One driving frame in, one animated frame out.

        Args:
            frame: `uint8 (h, w, 3)`, fitted like `source`.
            time: Seconds since any start, rising; None counts frames at 25 a second.

        Returns:
            `uint8 (h, w, 3)` of the method's size.

        Raises:
            ImageError: `frame` is no frame.
            NoFaceError: A face is to be cut out, and no frame has shown one yet.
        """
        return self.render(self.transfer(self.read(frame), time)).frames[0]

    def read(self, frame: Frame) -> Motion:
        """The motion in a driving frame `uint8 (h, w, 3)`."""
        picture = self._fit_driving(frame)
        return seen(self._eyes, self.method.read(picture[None])[0], picture)

    def transfer(self, motion: Motion, time: float | None = None) -> Motion:
        """What the source is to perform for this driving motion; see `step` for `time`."""
        self._time = self._time + FRAME_SECONDS if time is None else time
        if self.reference is None:
            self.reference = motion
        if self._smooth is not None and isinstance(motion, Keypoints):
            motion = self._smooth.filter(motion, self._time)
        return transfer(self.source, motion, self.reference, mode=self.mode, scale=self._scale)

    def render(self, motion: Motion) -> Rendering:
        """The source performing a transferred motion: one frame with its flow."""
        return self.method.render(self._blink.state(motion) if self._blink else self._state, [motion])

    def mismatch(self) -> tuple[float | None, tuple[str, ...]]:
        """How far the reference's pose is from the source's, and a warning where that matters.

        Returns:
            The number (0 is the same pose; None before the first frame, and for motion without
            keypoints), and at most one line.
        """
        if not (isinstance(self.source, Keypoints) and isinstance(self.reference, Keypoints)):
            return None, ()
        warning = mismatch_warning(self.source, self.reference) if self.mode == "relative" else None
        return pose_mismatch(self.source, self.reference), (warning,) if warning else ()

    def _fit_source(self, frame: Frame) -> Frame:
        size = self.method.spec.size
        if check_frame(frame, name="source").shape[:2] == tuple(size):
            return np.ascontiguousarray(frame)
        return crop_source(frame, self.method.spec, request=self._request, detector=self._faces()).apply(frame, size)

    def _fit_driving(self, frame: Frame) -> Frame:
        """One box for all frames of a size: it moves with nothing, as in training."""
        spec = self.method.spec
        if check_frame(frame, name="driving frame").shape[:2] == tuple(spec.size):
            return np.ascontiguousarray(frame)
        if self._box is None or self._box[0] != frame.shape:
            found = crop_driving([frame], spec, request=self._request, detector=self._faces())
            self._box = (frame.shape, found)
        return self._box[1].apply(frame, spec.size)

    def _faces(self) -> FaceDetector:
        self._detector = self._detector or face_detector()
        return self._detector


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"use {' or '.join(known)}"
