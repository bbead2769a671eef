"""What a page's server and a worker on another machine say to each other, over one WebSocket.

Text is JSON: the server's `hello`, orders and settings one way; the worker's `facts`, and its `error`
before it hangs up, the other. Bytes are a number (8 bytes, the highest first) and a JPEG: a camera
frame one way, its result under the same number the other. A result under 0 answers no frame, and under
0 a source goes the other way, as bare pixels: it must arrive as it was cut.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit, urlunsplit

from PIL import Image, UnidentifiedImageError

from stillmotion.core.errors import ConfigError, CropError, ImageError, MotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import MethodSpec
from stillmotion.core.motion import Keypoints, Landmarks, Latent, Motion
from stillmotion.prepare.crop import Crop
from stillmotion.prepare.resize import resize_frame
from stillmotion.session.live import Calibration
from stillmotion.video.image import read_image

PATH, CUT, SPEC = "/live/worker", "/live/cut", "/live/spec"
VISITOR = "x-visitor"
MOST_PIXELS = 4_000_000
"""Of a camera frame."""
MOST_BYTES = 8_000_000
"""Of a message."""
QUALITY = 85
"""Of the JPEG: 480×360 pixels come to about 37 kB."""
_HEAD = 8
_KINDS: Mapping[str, type[Keypoints] | type[Landmarks] | type[Latent]] = {
    "keypoints": Keypoints,
    "landmarks": Landmarks,
    "latent": Latent,
}
Json: TypeAlias = dict[str, Any]


def pack(number: int, frame: Frame, *, longest: int | None = None) -> bytes:
    """A picture and its number as one message.

    Args:
        number: From 0.
        frame: `uint8 (h, w, 3)`.
        longest: A frame whose longer side has more pixels is scaled down to this many.
    """
    height, width = frame.shape[:2]
    scale = longest / max(height, width) if longest else 1.0
    if scale < 1.0:
        frame = resize_frame(frame, (round(height * scale), round(width * scale)))
    packed = io.BytesIO()
    packed.write(number.to_bytes(_HEAD, "big"))
    Image.fromarray(frame).save(packed, "JPEG", quality=QUALITY)
    return packed.getvalue()


def to_png(frame: Frame) -> bytes:
    """A frame as the bytes of a PNG."""
    packed = io.BytesIO()
    Image.fromarray(frame).save(packed, "PNG", compress_level=1)
    return packed.getvalue()


def pack_source(source: Frame) -> bytes:
    """A source as one message: its bare pixels."""
    return (0).to_bytes(_HEAD, "big") + source.tobytes()


def number(message: bytes) -> int:
    """The number of a message."""
    return int.from_bytes(message[:_HEAD], "big")


def body(message: bytes) -> bytes:
    """What follows the number."""
    return message[_HEAD:]


def unpack(message: bytes) -> Frame:
    """The picture in a message.

    Raises:
        ImageError: It holds no JPEG, or too large a one.
    """
    try:
        # One format by name: no other decoder ever sees what comes from outside.
        with Image.open(io.BytesIO(body(message)), formats=("JPEG",)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageError(f"a frame of {image.width} × {image.height} pixels is too large")
            return read_image(image)
    except ImageError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError("what came is no picture", hint="install the same stillmotion at both ends") from error


def calibration_to_json(calibration: Calibration) -> Json:
    """A calibration as JSON can hold it."""
    reference, crop = calibration.reference, calibration.crop
    motion = None
    if reference is not None:
        kind = next(name for name, known in _KINDS.items() if isinstance(reference, known))
        arrays = {name: array.tolist() for name, array in vars(reference).items() if array is not None}
        motion = {"kind": kind, **arrays}
    box = [crop.x, crop.y, crop.w, crop.h] if crop is not None else None
    return {"reference": motion, "crop": box, "mismatch": calibration.mismatch}


def calibration_from_json(data: object) -> Calibration | None:
    """The calibration that `calibration_to_json` wrote; None where there is none, or none that makes sense."""
    try:
        if not isinstance(data, dict):
            return None
        mismatch, box = data.get("mismatch"), data.get("crop")
        return Calibration(
            reference=_motion(data.get("reference")),
            crop=Crop(*(float(side) for side in box)) if box is not None else None,
            mismatch=float(mismatch) if mismatch is not None and math.isfinite(mismatch) else None,
        )
    except (TypeError, ValueError, KeyError, MotionError, CropError):
        return None


def spec_from_json(data: Any) -> MethodSpec:
    """The facts about a worker's method.

    Raises:
        ConfigError: They are not those that this version knows.
    """
    try:
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return MethodSpec(**{**data, **lists})
    except (AttributeError, TypeError) as error:
        raise ConfigError(
            "the worker speaks of its network in words unknown here", hint="install the same stillmotion at both ends"
        ) from error


def _motion(data: Any) -> Motion | None:
    if data is None:
        return None
    return _KINDS[data["kind"]](**{name: rows for name, rows in data.items() if name != "kind"})


def worker_address(text: str, token: str | None) -> tuple[str, str | None]:
    """The address of a worker and its token, from what its terminal printed or from less.

    Args:
        text: `http://gpu:7860/live/?token=…`, `https://…`, `ws://…`, or just `gpu:7860`.
        token: Where it is given apart; it wins over one in the address.

    Returns:
        `http://host:port` or `https://…` without a path of the page, and the token.

    Raises:
        ConfigError: It is no address.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    try:
        is_good = scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError(
            f"{text!r} is no address of a worker", hint="give what it printed, such as http://gpu:7860", seen=text
        )
    inside = parse_qs(parts.query).get("token", [None])[0]
    path = parts.path.rstrip("/").removesuffix("/live")
    return urlunsplit((scheme, parts.netloc, path, "", "")), token or inside
