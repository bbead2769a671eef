"""`stillmotion compare SOURCE DRIVING --weights A B -o OUT`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillmotion.cli.options import Driving, Output, Source
from stillmotion.cli.screen import progress_bar


@dataclass(kw_only=True)
class Command:
    """Show what several weights, of any methods, make of one picture and clip.

    Writes a grid video with a row per method, and a contact sheet beside it. Only animate people who
    agreed to it, and say that the result is generated.
    """

    source: Source
    """Picture to animate: any image Pillow reads."""
    driving: Driving
    """Clip whose motion it takes: a video, GIF or folder of frames."""
    weights: tuple[str, ...]
    """Two or more: names of shipped weights, bundles, or runs."""
    output: Output
    """The grid video, such as compare.mp4; the contact sheet goes beside it, compare.png."""
    motion: Literal["relative", "absolute"] | None = None
    """Transfer of all methods (default: as each does)."""
    crop: str = "auto"
    """Part of both pictures that is used: auto (what the weights need), none (largest centred box) or x,y,w,h."""
    engine: Literal["auto", "openvino", "onnx", "torch"] = "auto"
    """What runs the networks."""
    device: str | None = None
    """For torch, such as cuda."""
    face_model: Path | None = None
    """YuNet file that finds faces, or the word haar for OpenCV's cascades; without it, the shipped networks do."""
    json: bool = False
    """Print what was written as JSON on stdout."""

    def run(self) -> None:
        """Animate with all of them and report."""
        from stillmotion.evaluate.compare import compare, load_rows
        from stillmotion.session.inputs import face_detector

        rows = load_rows(self.weights, engine=self.engine, device=self.device)
        with progress_bar("comparing") as progress:
            done = compare(
                self.source,
                self.driving,
                self.output,
                rows=rows,
                motion=self.motion,
                crop_source=self.crop,
                crop_driving=self.crop,
                detector=face_detector(self.face_model),
                progress=progress,
            )
        if self.json:
            facts = {"video": str(done.video), "sheet": str(done.sheet), "frames": done.frames}
            print(json.dumps(facts | {"shown": done.shown, "rows": done.names}))
            return
        print(f"wrote {done.video} and {done.sheet}: {done.frames} frames, {', '.join(done.names)}")
