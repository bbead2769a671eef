"""`stillmotion ablate CLIPS -o DIR`"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from stillmotion.cli.options import Output
from stillmotion.core.errors import ConfigError

if TYPE_CHECKING:
    from stillmotion.train.trials import Trial

STEPS = 1000
"""Of each training, unless told."""


@dataclass(kw_only=True)
class Command:
    """Train the five published variants of the first-order method alike, and say what each part is good for.

    The rows: baseline, pyramid, pyramid + occlusion, jacobian without equivariance, full. Rows that are done
    are kept: the same command goes on where it was broken off.
    """

    clips: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CLIPS")]
    """Folder of clips, as train takes it, with test inside or without."""
    output: Output
    """Folder for the runs, and for ablation.md, .csv, .json and .png."""
    preset: str = "shapes-64"
    """First-order preset of the last row."""
    set: tuple[str, ...] = ()
    """Changes to it, such as training.batch=8 keypoints.count=10."""
    steps: int | None = None
    """Steps of each training (default: 1000, or as many as fit into --minutes)."""
    minutes: float | None = None
    """Minutes of each training by the clock, in place of steps."""
    seeds: int = 1
    """How many seeds each row is trained with, from 0 on."""
    features: Path | None = None
    """State dict of the perceptual term's network; without it the pyramid has nothing to act on."""
    crop: Literal["whole", "face", "squash"] = "whole"
    """How frames become square."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    cache: Path | None = None
    """Folder for decoded clips, which all trainings then share."""
    videos: int | None = None
    """How many test clips are scored, the first ones (default: all)."""
    detector: str = "none"
    """For AKD, MKR and jitter: stillmotion, face-alignment, mediapipe, an .onnx file, or none."""
    lpips_trunk: Path | None = None
    """SqueezeNet 1.1 state dict, for LPIPS."""
    lpips_heads: Path | None = None
    """Linear heads of LPIPS 0.1 for SqueezeNet."""
    json: bool = False
    """Print the outcomes as JSON on stdout."""

    def run(self) -> None:
        """Train, score, write and print.

        Raises:
            ConfigError: No seed, or an LPIPS file without the other.
        """
        from stillmotion.cli.settings import with_settings
        from stillmotion.evaluate.tally import open_instruments
        from stillmotion.methods import resolve_config
        from stillmotion.methods.firstorder.config import FirstOrderConfig
        from stillmotion.train.ablation import ablate
        from stillmotion.train.trials import Budget, Ground

        if self.seeds < 1:
            raise ConfigError(f"{self.seeds} seeds make no table", hint="give 1 or more")
        full = with_settings(resolve_config(self.preset, FirstOrderConfig), self.set)
        budget = Budget(
            steps=STEPS if self.steps is None and self.minutes is None else self.steps, minutes=self.minutes
        )
        instruments, unmeasured = open_instruments(
            (full.size, full.size), detector=self.detector, lpips=(self.lpips_trunk, self.lpips_heads)
        )
        unmeasured = {name: why.partition(": --")[0] for name, why in unmeasured.items()}  # options of evaluate
        ground = Ground(
            self.clips,
            budget,
            instruments,
            features=self.features,
            videos=self.videos,
            device=self.device,
            crop=self.crop,
            cache=self.cache,
        )
        done = ablate(full, ground, self.output, seeds=range(self.seeds), unmeasured=unmeasured, progress=_say)
        if self.json:
            print(json.dumps([asdict(outcome) for outcome in done.outcomes], indent=1))
            return
        print(f"{done.page}\n\nwrote {', '.join(map(str, done.files))}")


def _say(trial: Trial, place: int, count: int) -> None:
    print(f"{place + 1}/{count}: {trial.row}, seed {trial.seed}", file=sys.stderr)
