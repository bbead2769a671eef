"""What a run is given: the source picture with its crop, and an output that must not be an input."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from stillmotion.core.errors import ImageError, OutputError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.method import MethodSpec
from stillmotion.prepare.crop import Crop, CropRequest, parse_crop, source_crops
from stillmotion.prepare.faces import FaceDetector
from stillmotion.session.faces import face_detector
from stillmotion.video.image import Source, composite, read_image_with_alpha
from stillmotion.video.target import check_folder, output_error

File: TypeAlias = str | Path
CropChoice: TypeAlias = CropRequest | str
"""A crop as people write it, `auto`, `none` or `x,y,w,h`, or as a `Crop`."""


OPAQUE = 250
"""Alpha from which a pixel counts as opaque: below, what is behind can be seen through it."""

MOST_OTHERS = 3
"""A picture's other faces are named in a warning up to this many."""


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """The full source picture and the part of it that is animated.

    Attributes:
        picture: `uint8 (h, w, 3)`, upright; its transparent parts show white.
        crop: The part that is animated.
        frame: That part, `uint8` of the method's size.
        others: Crops of the picture's other faces, where the crop was found by itself.
        colour: Colours of the picture without the white, `uint8 (h, w, 3)`, not multiplied with alpha; None
            where all of it is opaque.
        alpha: How opaque it is, `uint8 (h, w)`; None where all of it is.
    """

    picture: Frame
    crop: Crop
    frame: Frame
    others: tuple[Crop, ...] = ()
    colour: np.ndarray | None = None
    alpha: np.ndarray | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, a line each: faces to choose from."""
        if not self.others:
            return ()
        boxes = " or ".join(",".join(map(str, crop.pixels)) for crop in self.others[:MOST_OTHERS])
        more = " (the largest of them)" if len(self.others) > MOST_OTHERS else ""
        return (
            f"the picture shows {len(self.others) + 1} faces, and the largest is animated; "
            f"another is at --crop-source={boxes}{more}",
        )


def open_source(
    source: Source | Frame, spec: MethodSpec, *, crop: CropChoice = "auto", detector: FaceDetector | None = None
) -> SourcePicture:
    """Read a source picture and cut out what the method animates.

    Args:
        source: Path, bytes, Pillow image or frame `uint8 (h, w, 3)`.
        spec: Of the method.
        crop: What to cut out.
        detector: Finds faces for `auto`; None takes the default one where one is needed.

    Raises:
        ImageError: The picture cannot be used.
        CropError: The crop does not fit, or no face was found.
    """
    if isinstance(source, np.ndarray):
        picture, colour, alpha = check_frame(source, name="source"), None, None
    else:
        picture, colour, alpha = _on_white(source)
    chosen, *others = source_crops(picture, spec, request=crop_request(crop), detector=detector or face_detector())
    return SourcePicture(picture, chosen, chosen.apply(picture, spec.size), tuple(others), colour, alpha)


def _on_white(source: Source) -> tuple[Frame, np.ndarray | None, np.ndarray | None]:
    """A picture laid on white; its colours and alpha besides, where there is transparency worth the name."""
    colour, alpha = read_image_with_alpha(source, background=None)
    picture = composite(colour, alpha)
    return (picture, colour, alpha) if alpha.min() < OPAQUE else (picture, None, None)


def crop_request(crop: CropChoice) -> CropRequest:
    """A crop choice as `prepare.crop` takes it.

    Raises:
        CropError: The text is neither `auto`, `none` nor `x,y,w,h`.
    """
    return crop if isinstance(crop, Crop) else parse_crop(crop)


def check_output(output: File, *inputs: object) -> None:
    """Refuse early, before anything slow is done, what cannot be written or must not be.

    Args:
        output: File to write.
        *inputs: What is read; only paths can be in the way.

    Raises:
        OutputError: The folder is missing or locked, or the output is one of the inputs.
    """
    path = Path(output)
    check_folder(path)
    if not os.access(path.parent, os.W_OK):
        raise output_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), path)
    for given in inputs:
        if isinstance(given, str | Path) and path.exists() and Path(given).exists() and path.samefile(given):
            raise OutputError(f"{path} is an input and would be overwritten", hint="choose another output name")


def pixels_from_bytes(data: bytes, size: tuple[int, int]) -> Frame:
    """A frame from its bare pixels, as another process wrote them.

    Args:
        data: Rows from the top, RGB, 8 bits each.
        size: `(h, w)`.

    Raises:
        ImageError: The number of bytes is another.
    """
    if len(data) != size[0] * size[1] * 3:
        raise ImageError(f"{len(data)} bytes are no frame of {size} (h, w)")
    return np.frombuffer(data, np.uint8).reshape(*size, 3).copy()


def example_photo() -> Path:
    """The portrait that ships."""
    return Path(__file__).resolve().parents[1] / "example" / "astronaut.jpg"
