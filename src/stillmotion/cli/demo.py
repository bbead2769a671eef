"""`stillmotion demo`: the example that ships, and the line it stands for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import stillmotion
from stillmotion.cli.options import Loading, Output
from stillmotion.cli.screen import progress_bar, show_report
from stillmotion.core.errors import MotionError

EXAMPLE = Path(stillmotion.__file__).resolve().parent / "example"
SOURCE = EXAMPLE / "astronaut.jpg"
DRIVING = EXAMPLE / "driving.safetensors"


@dataclass(kw_only=True)
class Command(Loading):
    """Animate the example: NASA's portrait of an astronaut, moved by a motion file."""

    output: Output = Path("demo.mp4")
    """File to write."""

    def run(self) -> None:
        """Animate, report, and print the `animate` line that does the same.

        Raises:
            MotionError: The package was built without its example motion.
        """
        from stillmotion.animate import animate

        if not DRIVING.is_file():
            raise MotionError(
                f"this copy of stillmotion ships no example motion ({DRIVING.name})",
                hint="install it again, or animate a clip: stillmotion animate SOURCE DRIVING -o OUT.mp4",
            )
        with progress_bar("animating the example") as progress:
            report = animate(
                SOURCE,
                DRIVING,
                self.output,
                weights=self.weights,
                engine=self.engine,
                device=self.device,
                face_model=self.face_model,
                progress=progress,
            )
        show_report(report, as_json=self.json)
        if not self.json:
            print(f"the same by hand: {self.line()}")

    def line(self) -> str:
        """The `stillmotion animate` line that this demo stands for."""
        words = ["stillmotion", "animate", str(SOURCE), str(DRIVING), "-o", str(self.output)]
        named = {"--weights": self.weights, "--device": self.device, "--face-model": self.face_model}
        for option, value in named.items():
            words += [option, str(value)] if value is not None else []
        words += ["--engine", self.engine] if self.engine != "auto" else []
        return shlex.join(words)
