"""What a run did: a record for people (the CLI) and programs (`--json`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction

from stillmotion.session.expression import Opening


@dataclass(frozen=True, kw_only=True)
class Report:
    """The account of one run of `animate` or `read_motion`.

    Attributes:
        output: File that was written.
        frames: Number of frames in it.
        fps: Its nominal frame rate, frames per second.
        size: `(h, w)` of its frames in pixels; None for a motion file.
        seconds: Wall-clock time of the run, loading included.
        speed: Frames per second of the loop alone, reading and writing included.
        method: Name of the method.
        weights: Name of the weights.
        engine: What ran the stages: `openvino`, `onnx` or `torch`.
        motion: Transfer mode; empty for a motion file.
        reference: Index of the driving frame taken as rest pose, from 0.
        mismatch: How far that frame's pose is from the source's (`prepare.reference`); 0 is the
            same pose. None where nothing was animated.
        crop_source: `x,y,w,h` of the source, pixels; empty for a motion file.
        crop_driving: `x,y,w,h` of the driving clip, pixels.
        provenance: Marks in the file that say it was generated; empty for a motion file.
        audio: What became of the sound: one line.
        mouth: How far the driver's mouth opens; None where nobody asked or there is no face.
        eyes: The same of the eyes, both together.
        warnings: Lines the user should read.
    """

    output: str
    frames: int
    fps: Fraction
    size: tuple[int, int] | None = None
    seconds: float
    speed: float
    method: str
    weights: str
    engine: str
    motion: str = ""
    reference: int = 0
    mismatch: float | None = None
    crop_source: str = ""
    crop_driving: str
    provenance: str = ""
    audio: str
    mouth: Opening | None = None
    eyes: Opening | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The record as one JSON object; `fps` as a string such as `30000/1001`, so that it stays exact."""
        return json.dumps({**asdict(self), "fps": str(self.fps)}, indent=2)
