"""`stillmotion animate SOURCE DRIVING -o OUT`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillmotion.cli.options import Driving, Loading, Output, Source, parse_rate
from stillmotion.cli.screen import progress_bar, show_report


@dataclass(kw_only=True)
class Command(Loading):
    """Make a still picture move as a clip does.

    Only animate people who agreed to it, and say that the result is generated.
    """

    source: Source
    """Picture to animate: any image Pillow reads."""
    driving: Driving
    """Clip whose motion it takes: a video, GIF, folder of frames, or motion file (.safetensors)."""
    output: Output
    """File to write: .mp4, .mov, .mkv, .webm, .gif, or a folder for numbered pictures. Of a picture with
    transparency, .webm, .mov (ProRes 4444), .gif and folders (PNG) are transparent."""
    also: tuple[Path, ...] = ()
    """More pictures of the same, for methods that take several sources (x2face, few-shot, trinet)."""
    motion: Literal["relative", "absolute"] | None = None
    """Add the driver's movement to the source's own pose, or copy the driver's pose (default: as the method does)."""
    reference: Literal["first", "auto"] | int = "first"
    """Driving frame taken as rest pose: the first, the one closest to the source's pose, or its number from 0."""
    crop: str = "auto"
    """Part of both pictures that is used: auto (what the weights need), none (largest centred box) or x,y,w,h."""
    crop_source: str | None = None
    """The same for the source alone."""
    crop_driving: str | None = None
    """The same for the clip alone."""
    paste_back: bool = False
    """Set the animated crop back into the full picture."""
    side_by_side: bool = False
    """Put source and driving frame to the left of the result."""
    smooth: bool = False
    """Take jitter off the motion (1-euro filter)."""
    no_blink: bool = False
    """Leave the photo's lids as they are when the driver's eyes shut."""
    show: Literal["keypoints", "flow", "occlusion"] | None = None
    """Mark keypoints on the result, or put a map beside it."""
    label: bool = False
    """Write AI-generated into the picture."""
    background: str = "auto"
    """Behind a picture with transparency: auto (nothing where the output can be transparent, else white),
    transparent, or a colour such as white or #00ff00."""
    sign: Literal["auto", "always", "never"] = "auto"
    """Sign the file (C2PA): auto does where the extra provenance is installed."""
    fps: str | None = None
    """Frame rate of a folder of frames or a GIF, such as 25 or 30000/1001."""

    def run(self) -> None:
        """Animate and report."""
        from stillmotion.animate import animate

        with progress_bar("animating") as progress:
            report = animate(
                self.source,
                self.driving,
                self.output,
                weights=self.weights,
                engine=self.engine,
                device=self.device,
                also=self.also,
                motion=self.motion,
                reference=self.reference,
                crop_source=self.crop_source or self.crop,
                crop_driving=self.crop_driving or self.crop,
                face_model=self.face_model,
                fps=parse_rate(self.fps),
                paste_back=self.paste_back,
                side_by_side=self.side_by_side,
                smooth=self.smooth,
                blink=not self.no_blink,
                show=self.show,
                label=self.label,
                background=self.background,
                sign=self.sign,
                progress=progress,
            )
        show_report(report, as_json=self.json)
