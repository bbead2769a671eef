"""`stillmotion predict SOURCE -o OUT`"""

from __future__ import annotations

from dataclasses import dataclass

from stillmotion.cli.options import Loading, Output, Source
from stillmotion.cli.screen import progress_bar, show_report


@dataclass(kw_only=True)
class Command(Loading):
    """Make a still picture move by itself, with weights that learned to predict (monkey-net).

    Only animate people who agreed to it, and say that the result is generated.
    """

    source: Source
    """Picture to animate: any image Pillow reads."""
    output: Output
    """File to write: .mp4, .mov, .mkv, .webm, .gif, or a folder for numbered pictures."""
    crop: str = "auto"
    """Part of the picture that is used: auto (what the weights need), none (largest centred box) or x,y,w,h."""

    def run(self) -> None:
        """Predict, animate and report."""
        from stillmotion.session.prediction import predict

        with progress_bar("animating") as progress:
            report = predict(
                self.source,
                self.output,
                weights=self.weights,
                engine=self.engine,
                device=self.device,
                crop=self.crop,
                face_model=self.face_model,
                progress=progress,
            )
        show_report(report, as_json=self.json)
