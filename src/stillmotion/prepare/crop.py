"""Choose the part of a picture or clip that a network sees.

Two crop contracts (`MethodSpec.crop`):

- `face`: a box of the network's aspect, `margin` times the longer side of the face box (YuNet's
  convention, see `faces`) along its shorter side, centred on the face box, raised by `RAISE`, and
  then slid by up to `SLIDE` of its side if that keeps it inside the picture.
- `whole`: the largest centred box of the network's aspect. Nothing is squeezed.

For a driving clip the box is *fixed*: the face moves inside it, as it did in training. A box may
leave the picture; what lies outside repeats the picture's edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import chain
from typing import Literal, TypeAlias

import cv2
import numpy as np

from stillmotion.core.errors import CropError, NoFaceError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.method import MethodSpec
from stillmotion.prepare.faces import FACE_MODEL_VARIABLE, Face, FaceDetector, default_detector, main_face, prominence
from stillmotion.prepare.resize import resize_frame

RAISE = 0.08
"""How far a face crop's centre lies above the face box's centre, in longer sides of the face box."""

SLIDE = 0.1
"""Share of its side by which a face crop may slide to stay inside the picture: repeated edges cost
more than a head a little off its place. Heads closer to the edge keep their place."""

LEAST_SIDE = 16
"""Shorter side, in pixels, below which a picture or a box in it is refused."""

MOST_TIMES = 8.0
"""A box may be at most this many times the picture's longer side: beyond, it is nearly all edge."""

MOST_PIXELS = 2**25
"""Boxes of more pixels are cut out of a shrunk picture, which costs them at most a 5,000th of a side."""

SAMPLES = 25
"""A driving crop rests on at most this many evenly spaced frames, and on 13 or more of a long clip."""

LEAST_SHARE = 0.2
"""Share of the sampled frames that must agree on the face; below, it is taken for a false alarm."""

ROOM = 1.15
"""A driving crop is at least this many times the union of the clip's face boxes."""

FACE_HINT = (
    "use --crop none for the whole picture or --crop x,y,w,h for a box of your own, "
    f"or set {FACE_MODEL_VARIABLE} to a YuNet file, which finds more faces"
)


@dataclass(frozen=True)
class Crop:
    """A box in a picture.

    Attributes:
        x: Left edge in pixels, 0 at the picture's left edge; may be negative.
        y: Top edge in pixels, 0 at the picture's top edge; may be negative.
        w: Width in pixels, above 0.
        h: Height in pixels, above 0.

    Raises:
        CropError: Not finite, or no width or height.
    """

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.w, self.h))) or min(self.w, self.h) <= 0:
            raise CropError(
                f"crop {self} has no area",
                hint="give x,y,w,h in pixels with a width and a height above 0",
                box=(self.x, self.y, self.w, self.h),
            )

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in (self.x, self.y, self.w, self.h))

    @property
    def pixels(self) -> tuple[int, int, int, int]:
        """`(left, top, width, height)` in whole pixels, as `apply` and `Paster` use the box.

        Size and corner are rounded on their own, so that a square stays one. Both directions use
        the same box: what is cut out goes back to where it was, and the cut needs no resampling
        of its own.
        """
        return round(self.x), round(self.y), max(round(self.w), 1), max(round(self.h), 1)

    def with_aspect(self, size: tuple[int, int]) -> Crop:
        """The smallest box around this one, same centre, with the aspect of `size (h, w)`."""
        aspect = size[1] / size[0]
        w, h = max(self.w, self.h * aspect), max(self.h, self.w / aspect)
        return Crop(self.x + (self.w - w) / 2, self.y + (self.h - h) / 2, w, h)

    def moved_into(self, frame_size: tuple[int, int], *, most: float = SLIDE) -> Crop:
        """This box slid towards a picture of `frame_size (h, w)`, by at most `most` of its size.

        An axis along which the box is larger than the picture stays as it is.
        """

        def slid(start: float, length: float, extent: float) -> float:
            if length > extent:
                return start
            wanted = min(max(start, 0.0), extent - length)
            return start + min(max(wanted - start, -most * length), most * length)

        return replace(self, x=slid(self.x, self.w, frame_size[1]), y=slid(self.y, self.h, frame_size[0]))

    def check(self, frame_size: tuple[int, int]) -> Crop:
        """Return this crop if it makes sense in a picture of `frame_size (h, w)`.

        Raises:
            CropError: The picture or the box is below `LEAST_SIDE`, the box lies outside, or it is
                more than `MOST_TIMES` as large as the picture.
        """
        height, width = frame_size
        _check_size(frame_size)
        left, top, w, h = self.pixels
        seen = f"crop {self} in a picture of {width}x{height} pixels (width x height)"
        fields = {"box": (self.x, self.y, self.w, self.h), "size": frame_size}
        if left >= width or top >= height or left + w <= 0 or top + h <= 0:
            raise CropError(f"{seen} lies outside it", hint="x and y count from the top left corner", **fields)
        if min(w, h) < LEAST_SIDE:
            raise CropError(f"{seen} is below {LEAST_SIDE} pixels", hint="choose a larger box", **fields)
        if max(w, h) > MOST_TIMES * max(height, width):
            raise CropError(f"{seen} is more than {MOST_TIMES:g} times as large", hint="choose a smaller box", **fields)
        return self

    def apply(self, frame: Frame, size: tuple[int, int]) -> Frame:
        """Cut the box out of `frame` and resize it.

        Args:
            frame: `uint8 (h, w, 3)`.
            size: Wanted `(h, w)`; another aspect than the box's stretches.

        Returns:
            `uint8`, `size`, contiguous; outside the picture, its edge is repeated. `frame` itself where
            nothing is to be done.

        Raises:
            ImageError: `frame` is no frame.
            CropError: See `check`.
        """
        self.check(check_frame(frame).shape[:2])
        shrink = int(math.sqrt(self.w * self.h / MOST_PIXELS)) + 1
        if shrink > 1:  # a box mostly outside a huge picture would take memory without end
            frame = resize_frame(frame, (-(-frame.shape[0] // shrink), -(-frame.shape[1] // shrink)))
        return resize_frame(_cut(frame, Crop(*(value / shrink for value in astuple(self)))), size)


def _cut(frame: Frame, crop: Crop) -> Frame:
    """The box in whole pixels, contiguous, the picture's edge repeated outside."""
    height, width = frame.shape[:2]
    left, top, w, h = crop.pixels
    rows, columns = (max(top, 0), min(top + h, height)), (max(left, 0), min(left + w, width))
    inside = frame[slice(*rows), slice(*columns)]
    sides = (rows[0] - top, top + h - rows[1], columns[0] - left, left + w - columns[1])
    if any(sides):
        return cv2.copyMakeBorder(inside, *sides, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(inside)


CropRequest: TypeAlias = Literal["auto", "none"] | Crop
"""What the user asks for: the weights' crop contract, the largest centred box, or a box."""


def parse_crop(text: str) -> CropRequest:
    """Read `auto`, `none` or `x,y,w,h` (pixels; decimals and negative corners allowed).

    Raises:
        CropError: Anything else, or a box without area.
    """
    word = text.strip().lower()
    if word == "auto":
        return "auto"
    if word == "none":
        return "none"
    try:
        x, y, w, h = (float(part) for part in word.split(","))
    except ValueError:
        raise CropError(
            f"crop {text!r} is neither auto, none nor x,y,w,h",
            hint="four numbers in pixels, such as 120,40,256,256: left, top, width, height",
            seen=text,
        ) from None
    return Crop(x, y, w, h)


def _check_size(frame_size: tuple[int, int]) -> None:
    if min(frame_size) < LEAST_SIDE:
        raise CropError(
            f"a picture of {frame_size[1]}x{frame_size[0]} pixels (width x height) is too small to crop",
            hint=f"both sides must have at least {LEAST_SIDE} pixels",
            size=frame_size,
        )


def whole_crop(frame_size: tuple[int, int], size: tuple[int, int] = (1, 1)) -> Crop:
    """The largest centred box with the aspect of `size` in a picture of `frame_size`, both `(h, w)`.

    The contract `whole`, and what `none` means: the aspect is kept, the longer side loses its ends.

    Raises:
        CropError: The picture is below `LEAST_SIDE`.
    """
    _check_size(frame_size)
    height, width = frame_size
    aspect = size[1] / size[0]
    w, h = min(width, height * aspect), min(height, width / aspect)
    return Crop((width - w) / 2, (height - h) / 2, w, h)


def face_crop(face: Face, margin: float, *, size: tuple[int, int] = (1, 1)) -> Crop:
    """The crop contract `face` for one face.

    A square (for a square network) of side `margin * face.side`, centred on the face box and
    raised by `RAISE * face.side`. At a margin of 1.8 to 2 it holds the whole head with its hair,
    the neck and the beginning of the shoulders (looked at on GRID and the astronaut portrait; at
    1.8 the crop of a GRID clip is about as high as the clip, at 2 its edge shows).

    Args:
        face: With a box of YuNet's convention.
        margin: Shorter side of the crop over the longer side of the face box, above 0.
        size: Network size `(h, w)`; only its aspect counts.
    """
    (x, y), side = face.centre, margin * face.side
    return Crop(x - side / 2, y - RAISE * face.side - side / 2, side, side).with_aspect(size)


def _requested(frame_size: tuple[int, int], spec: MethodSpec, request: CropRequest) -> Crop | None:
    """The crop where no face need be looked for, else None."""
    _check_size(frame_size)
    if isinstance(request, Crop):
        return request.check(frame_size).with_aspect(spec.size).check(frame_size)
    if request not in ("auto", "none"):
        raise CropError(f"unknown crop {request!r}", hint="use auto, none or a box", seen=request)
    if request == "none" or spec.crop == "whole":
        return whole_crop(frame_size, spec.size)
    return None


def crop_source(
    frame: Frame, spec: MethodSpec, *, request: CropRequest = "auto", detector: FaceDetector | None = None
) -> Crop:
    """Choose the crop of a source picture: the first of `source_crops`, and there are its arguments and errors."""
    return source_crops(frame, spec, request=request, detector=detector)[0]


def source_crops(
    frame: Frame, spec: MethodSpec, *, request: CropRequest = "auto", detector: FaceDetector | None = None
) -> list[Crop]:
    """The crops that a source picture offers: one, or one for each of its faces, the main one first.

    Args:
        frame: `uint8 (h, w, 3)`.
        spec: Says the contract, the margin and the network's aspect.
        request: `auto` obeys the contract; `none` takes the largest centred box; a `Crop` is
            grown about its centre to the network's aspect, so that all of it is seen unsqueezed.
        detector: None takes `default_detector()`, made only if it is needed.

    Returns:
        Crops with the aspect of `spec.size`, at least one.

    Raises:
        ImageError: `frame` is no frame.
        CropError: The picture is too small or the box does not fit it.
        NoFaceError: `auto`, the contract is `face`, and there is none: also for a picture that is
            tightly cropped already, since nothing tells that from a picture without a face.
    """
    found = _requested(check_frame(frame).shape[:2], spec, request)
    if found is not None:
        return [found]
    detector = detector or default_detector()
    faces = sorted(detector.find(frame), key=prominence, reverse=True)
    if not faces:
        seen = f"no face found in the source ({frame.shape[1]}x{frame.shape[0]} pixels)"
        raise NoFaceError(seen + _on_its_side(frame, detector), hint=FACE_HINT)
    return [face_crop(face, spec.margin, size=spec.size).moved_into(frame.shape[:2]) for face in faces]


def _on_its_side(frame: Frame, detector: FaceDetector) -> str:
    """What to add about a picture without a face if it has one once it is turned; else nothing."""
    for turns, words in ((1, "90 degrees clockwise"), (3, "90 degrees counterclockwise"), (2, "upside down")):
        found = detector.find(np.ascontiguousarray(np.rot90(frame, -turns)))
        if any(face.points for face in found):  # boxes alone are too often cups and cats
            return f", but there is one when it is turned {words}: turn it first"
    return ""


def _sample_faces(frames: Iterable[Frame], detector: FaceDetector) -> list[Face | None]:
    """The main face of evenly spaced frames, at most `SAMPLES` of them.

    The length of a stream is unknown, so whenever there are `SAMPLES` faces, every other one is
    dropped and the stride doubles. Holds one frame at a time.
    """
    faces: list[Face | None] = []
    stride = 1
    for index, frame in enumerate(frames):
        if index % stride == 0:
            faces.append(main_face(detector.find(frame)))
            if len(faces) > SAMPLES:
                faces, stride = faces[::2], stride * 2
    return faces


def _agreeing(faces: Sequence[Face]) -> np.ndarray:
    """Boxes `float (n, 4)` that agree with the median box: size within 1.6 times, centre within a side."""
    boxes = np.array([face.box for face in faces])
    sides = boxes[:, 2:].max(axis=1)
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    side, centre = np.median(sides), np.median(centres, axis=0)
    far = np.linalg.norm(centres - centre, axis=1) / side
    return boxes[(far <= 1.0) & (np.abs(np.log(sides / side)) <= np.log(1.6))]


def _clip_boxes(first: Frame, others: Iterable[Frame], detector: FaceDetector) -> np.ndarray:
    """Boxes `float (n, 4)` of the clip's main face where it was found, outliers left out."""
    faces = _sample_faces(chain([first], others), detector)
    found = [face for face in faces if face is not None]
    if not found:
        seen = f"no face found in the driving clip ({len(faces)} frames looked at)"
        raise NoFaceError(seen + _on_its_side(first, detector), hint=FACE_HINT)
    boxes = _agreeing(found)
    if len(boxes) < LEAST_SHARE * len(faces):
        raise NoFaceError(
            f"no steady face in the driving clip: the same one in {len(boxes)} of {len(faces)} frames looked at",
            hint=FACE_HINT,
            found=len(boxes),
            looked=len(faces),
        )
    return boxes


def _fixed_crop(boxes: np.ndarray, spec: MethodSpec) -> Crop:
    """One crop for all boxes: margin times the median side, more only if the union needs it."""
    low, high = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    median = float(np.median(boxes[:, 2:].max(axis=1)))
    side = max(spec.margin * median, min(ROOM, spec.margin) * float((high - low).max()))
    x, y = map(float, (low + high) / 2)
    return Crop(x - side / 2, y - RAISE * median - side / 2, side, side).with_aspect(spec.size)


def crop_driving(
    frames: Iterable[Frame],
    spec: MethodSpec,
    *,
    request: CropRequest = "auto",
    detector: FaceDetector | None = None,
) -> Crop:
    """Choose one fixed crop for a driving clip.

    For `auto` under the contract `face`, the main face is looked for in 13 to 25 evenly spaced frames
    of the clip; boxes that disagree with the median one are left out. The crop is centred on the union of the
    rest, with a side of `margin` times the median face, or of `ROOM` times the union where the
    face travels further than that.

    Args:
        frames: The clip's frames in order, or the first few. Streamed, one held at a time; all are
            consumed for `auto` under `face`, the first alone otherwise.
        spec: See `crop_source`.
        request: See `crop_source`.
        detector: See `crop_source`.

    Returns:
        A crop with the aspect of `spec.size`. For one frame it is `crop_source`'s.

    Raises:
        ImageError: Something in `frames` is no frame.
        CropError: No frames; a picture that is too small; a box that does not fit.
        NoFaceError: No face, or one in too few of the frames.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise CropError("cannot choose a crop: the driving clip has no frames", hint="check the clip")
    found = _requested(check_frame(first).shape[:2], spec, request)
    if found is not None:
        return found
    boxes = _clip_boxes(first, iterator, detector or default_detector())
    return _fixed_crop(boxes, spec).moved_into(first.shape[:2])
