"""`stillmotion read DRIVING -o MOTION`"""

from __future__ import annotations

from dataclasses import dataclass

from stillmotion.cli.options import Driving, Loading, Output, parse_rate
from stillmotion.cli.screen import progress_bar, show_report


@dataclass(kw_only=True)
class Command(Loading):
    """Save the motion of a clip as numbers; `animate` takes the file in place of the clip."""

    driving: Driving
    """Clip to read: a video, GIF or folder of frames."""
    output: Output
    """Motion file to write (.safetensors); only the same weights can use it."""
    crop: str = "auto"
    """Part of the clip that is read: auto (what the weights need), none (largest centred box) or x,y,w,h."""
    openness: bool = False
    """Also say how far mouth and eyes open."""
    fps: str | None = None
    """Frame rate of a folder of frames or a GIF, such as 25 or 30000/1001."""

    def run(self) -> None:
        """Read and report."""
        from stillmotion.session.recording import read_motion

        with progress_bar("reading") as progress:
            report = read_motion(
                self.driving,
                self.output,
                weights=self.weights,
                engine=self.engine,
                device=self.device,
                crop=self.crop,
                face_model=self.face_model,
                openness=self.openness,
                fps=parse_rate(self.fps),
                progress=progress,
            )
        show_report(report, as_json=self.json)
