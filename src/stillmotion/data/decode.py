"""From a clip on disk to frames of the network's size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from stillmotion.core.errors import CropError, DataError, StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import MethodSpec
from stillmotion.data.clips import Clip
from stillmotion.prepare.crop import Crop, crop_driving, whole_crop
from stillmotion.prepare.faces import FaceDetector
from stillmotion.prepare.resize import resize_frame
from stillmotion.video.image import decode_picture, read_image
from stillmotion.video.pictures import list_frames
from stillmotion.video.read import open_video

LONGEST = 1024
"""Frames kept of a clip for training; the published preprocessing cuts at the same number."""


@dataclass(frozen=True)
class Fit:
    """How a clip's frames become the network's size.

    Attributes:
        size: Wanted `(h, w)`, pixels.
        crop: `whole` takes the largest centred box of that aspect; `face` one fixed box around the
            clip's face; `squash` stretches the whole frame, as the published loader does.
        margin: For `face`: side of the crop over side of the face box.
        strip_frame: `(h, w)` of one frame in an image strip; None takes squares of the strip's height.
        longest: Longer clips are thinned evenly to at most this many frames.
    """

    size: tuple[int, int]
    crop: Literal["whole", "face", "squash"] = "whole"
    margin: float = 2.0
    strip_frame: tuple[int, int] | None = None
    longest: int = LONGEST

    @classmethod
    def of(cls, spec: MethodSpec) -> Fit:
        """The fit that loaded weights ask for."""
        return cls(spec.size, crop=spec.crop, margin=spec.margin)

    @property
    def spec(self) -> MethodSpec:
        """The crop contract as `prepare.crop` reads it."""
        kind: Literal["face", "whole"] = "face" if self.crop == "face" else "whole"
        return MethodSpec("data", "", self.size, "keypoints", ("absolute",), 1, "centers", kind, self.margin)


def raw_frames(clip: Clip, *, strip_frame: tuple[int, int] | None = None) -> Iterator[Frame]:
    """The frames as they are on disk, in time order, streamed.

    Raises:
        DataError: The clip cannot be read, or holds no frame.
    """
    try:
        if clip.kind == "strip":
            yield from unstack(_read_strip(clip.path), strip_frame, name=clip.name)
        elif clip.kind == "frames":
            yield from map(read_image, list_frames(clip.path))
        else:
            with open_video(clip.path) as video:
                yield from video
    except DataError:
        raise
    except StillmotionError as error:
        raise DataError(f"clip {clip.name}: {error.message}", hint=error.hint, clip=clip.name) from error


def _read_strip(path: Path) -> Frame:
    try:
        # A strip of many frames is rightly larger than the pictures people animate.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return decode_picture(image, name=str(path))[0]
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a picture that can be read", hint="remove it or save it anew") from error


def unstack(strip: Frame, frame_size: tuple[int, int] | None, *, name: str = "strip") -> np.ndarray:
    """Split a strip of frames that lie side by side.

    Args:
        strip: `uint8 (h, n · w, 3)`.
        frame_size: `(h, w)` of one frame; None takes squares.
        name: For the message.

    Returns:
        `uint8 (n, h, w, 3)`.

    Raises:
        DataError: The strip is not a whole number of frames wide.
    """
    height, width = strip.shape[:2]
    want = frame_size or (height, height)
    if height != want[0] or width % want[1]:
        raise DataError(
            f"clip {name}: a picture of {width}x{height} pixels is no strip of {want[1]}x{want[0]} frames",
            hint="frames lie side by side, all of one size; pictures of one clip belong in a sub-folder",
            seen=(height, width),
        )
    return strip.reshape(height, width // want[1], want[1], 3).transpose(1, 0, 2, 3)


def _box(clip: Clip, frame: Frame, fit: Fit) -> Crop | None:
    """The box of a frame's size without looking for a face; None where the frame is only resized."""
    shape = (frame.shape[0], frame.shape[1])
    if fit.crop == "squash" or shape == fit.size:
        return None
    try:
        return whole_crop(shape, fit.size)
    except CropError as error:
        raise DataError(f"clip {clip.name}: {error.message}", hint=error.hint, clip=clip.name) from error


def _face_box(clip: Clip, fit: Fit, detector: FaceDetector | None) -> Crop:
    try:
        return crop_driving(raw_frames(clip, strip_frame=fit.strip_frame), fit.spec, detector=detector)
    except CropError as error:
        raise DataError(f"clip {clip.name}: {error.message}", hint=error.hint, clip=clip.name) from error


def fitted_frames(clip: Clip, fit: Fit, *, detector: FaceDetector | None = None) -> Iterator[Frame]:
    """Every frame of a clip at `fit.size`, in time order, streamed; one box for all of them.

    A face crop reads the clip twice: once to find the box.

    Raises:
        DataError: As `raw_frames`; too small; or no face where one was asked for.
    """
    is_first = True
    box = None
    if fit.crop == "face":
        box, is_first = _face_box(clip, fit, detector), False
    for frame in raw_frames(clip, strip_frame=fit.strip_frame):
        if is_first:
            box, is_first = _box(clip, frame, fit), False
        yield resize_frame(frame, fit.size) if box is None else box.apply(frame, fit.size)


def load_clip(clip: Clip, fit: Fit, *, detector: FaceDetector | None = None) -> np.ndarray:
    """All frames of a clip, `uint8 (n, h, w, 3)`; a long clip evenly thinned to `fit.longest`.

    Raises:
        DataError: Unreadable, or fewer than two frames.
    """
    kept: list[Frame] = []
    stride = 1
    for index, frame in enumerate(fitted_frames(clip, fit, detector=detector)):
        if index % stride:
            continue
        kept.append(frame)
        if len(kept) > fit.longest:
            # The length is unknown until the end: drop every other frame and go on at half the rate.
            kept, stride = kept[::2], stride * 2
    if len(kept) < 2:
        raise DataError(
            f"clip {clip.name} has {len(kept)} frame{'' if len(kept) == 1 else 's'}",
            hint="a clip needs at least two frames to learn motion from",
            clip=clip.name,
        )
    return np.stack(kept)
