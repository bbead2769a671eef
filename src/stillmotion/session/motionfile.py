"""Motion files: the motion of a clip as numbers, nobody's pictures.

A motion file is a safetensors file. Keypoints: `value (n, k, 2)`, at most one of `jacobian` and
`covariance` `(n, k, 2, 2)`, perhaps `lids (n, 2)`; landmarks: `value`, perhaps `visible (n, k)`; latent: `code (n, m)`;
all `float32`. And `times (n, 2)` `int64`, numerator and denominator in seconds.
Its header says which weights read it; other weights would see something else in the same numbers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stillmotion.core.errors import MotionError, OutputError
from stillmotion.core.method import MethodSpec
from stillmotion.core.motion import Keypoints, Landmarks, Latent, Motion
from stillmotion.video.target import replacing

FORMAT = "stillmotion.motion"
VERSION = 1
SUFFIX = ".safetensors"

_HEADER = ("method", "weights", "checksum", "convention", "fps", "crop")
_KINDS: dict[str, type[Motion]] = {"keypoints": Keypoints, "landmarks": Landmarks, "latent": Latent}
_TERMS = {
    "keypoints": ("value", "jacobian", "covariance", "lids"),
    "landmarks": ("value", "visible"),
    "latent": ("code",),
}
"""Arrays of each kind of motion; the first must be there."""


@dataclass(frozen=True, eq=False)
class MotionClip:
    """The motion of a whole clip, about 240 bytes a frame.

    Attributes:
        arrays: As in the file, float32; see the module.
        times: Presentation time of each frame in seconds, the first at 0, strictly rising.
        fps: Nominal frame rate, frames per second.
        method: Name of the method that read it.
        weights: Name of the weights that read it.
        checksum: Fingerprint of those weights; empty where unknown.
        convention: Grid convention of the coordinates.
        crop: The crop of the driving clip that was read, `x,y,w,h` in its pixels.
        kind: Kind of motion, as in `MethodSpec.motion`.

    Raises:
        MotionError: No frames, shapes that do not fit, NaN, or times that do not rise.
    """

    arrays: Mapping[str, np.ndarray]
    times: tuple[Fraction, ...]
    fps: Fraction
    method: str
    weights: str
    checksum: str
    convention: str
    crop: str
    kind: str = "keypoints"

    def __post_init__(self) -> None:
        times = self.times
        if not times:
            raise MotionError("the motion has no frames", hint="read it again from a clip that has some")
        if not _fit_together(self.arrays, self.kind, len(times)):
            shapes = {name: array.shape for name, array in self.arrays.items()}
            raise MotionError(f"the arrays of the motion do not fit together: {shapes}, {len(times)} times")
        if not all(np.isfinite(array).all() for array in self.arrays.values()):
            raise MotionError("the motion holds NaN or infinity", hint="read it again from the clip")
        if times[0] != 0 or any(b <= a for a, b in pairwise(times)):
            raise MotionError("the times of the motion do not rise from 0", hint="read it again from the clip")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> Motion:
        return _KINDS[self.kind](**{name: array[index] for name, array in self.arrays.items()})

    def __iter__(self) -> Iterator[Motion]:
        return (self[index] for index in range(len(self)))

    @classmethod
    def of(
        cls, motions: Sequence[Motion], times: Sequence[Fraction], *, fps: Fraction, spec: MethodSpec, crop: str
    ) -> Self:
        """Stack the motions of a clip that `spec` has read.

        Raises:
            MotionError: See the class.
        """
        if not motions:
            raise MotionError("the motion has no frames", hint="read it again from a clip that has some")
        names = [n for n in _TERMS[spec.motion] if all(getattr(motion, n) is not None for motion in motions)]
        arrays = {name: np.stack([getattr(motion, name) for motion in motions]) for name in names}
        facts = {"method": spec.name, "weights": spec.weights, "checksum": spec.checksum}
        return cls(arrays, tuple(times), fps, **facts, convention=spec.convention, crop=crop, kind=spec.motion)

    def check_weights(self, spec: MethodSpec, *, name: str = "the motion") -> None:
        """Refuse motion that other weights have read.

        Args:
            spec: The method that is to perform it.
            name: What to call the motion in the message.

        Raises:
            MotionError: Another method, other weights, or weights of the same name with other tensors.
        """
        hint = f"read the clip again with `stillmotion read CLIP -o MOTION --weights {spec.weights}`"
        if (self.method, self.weights) != (spec.name, spec.weights):
            raise MotionError(
                f"{name} was read by the weights {self.weights} ({self.method}), not by {spec.weights} ({spec.name})",
                hint=hint,
            )
        if self.convention != spec.convention or (spec.checksum and self.checksum not in ("", spec.checksum)):
            raise MotionError(
                f"{name} was read by another version of the weights {spec.weights}: their checksums differ", hint=hint
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the motion, beside the target and renamed.

        Raises:
            OutputError: The name does not end in `.safetensors`, or the file cannot be written.
        """
        path = Path(path)
        check_motion_name(path)
        header = {name: str(getattr(self, name)) for name in (*_HEADER, "kind")}
        stamps = np.array([time.as_integer_ratio() for time in self.times], dtype=np.int64)
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        data = save({**arrays, "times": stamps}, {"format": FORMAT, "version": str(VERSION), **header})
        with replacing(path) as partial:
            partial.write_bytes(data)
        return path

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Read a motion file.

        Raises:
            MotionError: Missing, damaged, no motion file, or of a newer version.
        """
        try:
            with safe_open(os.fspath(path), framework="numpy") as file:
                header = _checked_header(file.metadata() or {}, str(path))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise MotionError(f"there is no file {path}", hint="check the path") from error
        except (SafetensorError, OSError) as error:
            raise MotionError(
                f"{path} is not a readable motion file ({str(error)[:80]})",
                hint="it may be cut short; make it again with `stillmotion read CLIP -o MOTION`",
            ) from error
        return cls._from_file(arrays, header, str(path))

    @classmethod
    def _from_file(cls, arrays: dict[str, np.ndarray], header: dict[str, str], name: str) -> Self:
        try:
            times = tuple(Fraction(int(up), int(down)) for up, down in arrays.pop("times"))
            kind = header.get("kind", "keypoints")  # files from before there were other kinds do not say
            floats = {term: np.asarray(arrays[term], np.float32) for term in _TERMS[kind] if term in arrays}
            facts = {fact: header[fact] for fact in _HEADER if fact != "fps"} | {"kind": kind}
            return cls(floats, times, _rate(header["fps"]), **facts)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            if isinstance(error, MotionError):
                raise MotionError(f"{name}: {error.message}", hint=error.hint) from error
            raise MotionError(f"{name} is a damaged motion file ({error})", hint="make it again") from error


def _fit_together(arrays: Mapping[str, np.ndarray], kind: str, frames: int) -> bool:
    """Whether the arrays are those of `frames` motions of a kind."""
    main, *others = (arrays.get(name) for name in _TERMS[kind] if name != "lids")
    if main is None:
        raise KeyError(_TERMS[kind][0])
    if len(main) != frames or (main.ndim != 2 if kind == "latent" else main.ndim != 3 or main.shape[2] != 2):
        return False
    if "lids" in arrays and arrays["lids"].shape != (frames, 2):
        return False
    more = [other for other in others if other is not None]
    tail = (2, 2) if kind == "keypoints" else ()
    return len(more) <= 1 and all(other.shape == (*main.shape[:2], *tail) for other in more)


def _rate(text: str) -> Fraction:
    fps = Fraction(text)
    if not 0 < fps < math.inf:
        raise ValueError(f"frame rate {text}")
    return fps


def _checked_header(header: dict[str, str], name: str) -> dict[str, str]:
    if header.get("format") != FORMAT:
        raise MotionError(
            f"{name} is a safetensors file, but not a motion file",
            hint="weights go to --weights; motion files are made by `stillmotion read CLIP -o MOTION`",
        )
    version = header.get("version", "")
    if not version.isdecimal() or not 1 <= int(version) <= VERSION:
        raise MotionError(
            f"{name} is a motion file of version {version or 'unknown'}; this stillmotion reads up to {VERSION}",
            hint="upgrade with `pip install -U stillmotion`, or read the clip again",
        )
    return header


def check_motion_name(path: Path) -> None:
    """Refuse a name that `animate` would not take for a motion file.

    Raises:
        OutputError: The suffix is another than `.safetensors`.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputError(
            f"a motion file must end in {SUFFIX}, not {path.suffix or 'nothing'}: {path}",
            hint=f"name it {path.stem}{SUFFIX}",
        )


def is_motion_file(path: str | os.PathLike[str]) -> bool:
    """Whether a driving is meant as a motion file: its name ends in `.safetensors`."""
    return Path(path).suffix.lower() == SUFFIX
