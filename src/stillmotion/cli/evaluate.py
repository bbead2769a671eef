"""`stillmotion evaluate RUN... --data PATH -o OUT`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stillmotion.cli.options import Output
from stillmotion.cli.screen import progress_bar
from stillmotion.core.errors import ConfigError, DataError


@dataclass(kw_only=True)
class Command:
    """Score weights beside each other on test clips, in one table with confidence intervals.

    Every clip is rebuilt from its first frame. L1, AKD, MKR and AED come in two forms: paper, as the
    published scripts compute them, and exact. What has no instrument is not measured.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
    """Names of shipped weights, bundles, runs, or folders of clips made by something else and named like DATA's."""
    data: Path
    """Folder of clips, with test inside or without."""
    output: Output
    """Folder for evaluate.md, evaluate.csv and evaluate.json."""
    engine: Literal["auto", "openvino", "onnx", "torch"] = "auto"
    """What runs the networks."""
    device: str | None = None
    """For torch, such as cuda."""
    subset: Literal["test", "train", "all"] = "test"
    """Which clips of the folder."""
    videos: int | None = None
    """How many clips, the first ones (default: all)."""
    seed: int = 0
    """Seed of the split where the folder has none."""
    size: int | None = None
    """Side of the frames, where only folders of clips are scored."""
    crop: Literal["whole", "face", "squash"] | None = None
    """How clips become frames (default: as the weights want)."""
    detector: str = "stillmotion"
    """For AKD, MKR and jitter: stillmotion, face-alignment, mediapipe, an .onnx file, or none."""
    embedder: Path | None = None
    """For AED: an .onnx file, or a state dict of VGG-19 or SqueezeNet 1.1."""
    features: Path | None = None
    """For the Fréchet distance: the same kinds of file."""
    lpips_trunk: Path | None = None
    """SqueezeNet 1.1 state dict, for LPIPS."""
    lpips_heads: Path | None = None
    """Linear heads of LPIPS 0.1 for SqueezeNet."""
    json: bool = False
    """Print the result as JSON on stdout."""

    def run(self) -> None:
        """Score, write and print.

        Raises:
            ConfigError: Nobody to score, or one of the two files of LPIPS without the other.
            DataError: Somebody could not be scored on any clip; the others' scores are written all the same.
        """
        from stillmotion.evaluate.candidates import common_fit, named_apart, open_candidate
        from stillmotion.evaluate.evaluation import Evaluation, evaluate, open_clips, open_output
        from stillmotion.evaluate.tally import open_instruments

        if not self.runs:
            raise ConfigError("nobody to score", hint="name weights: stillmotion evaluate heads --data clips -o scores")
        found = [open_candidate(run, engine=self.engine, device=self.device) for run in self.runs]
        candidates = named_apart(found, self.runs)
        fit = common_fit(candidates, size=self.size, crop=self.crop)
        clips = open_clips(self.data, fit, subset=self.subset, seed=self.seed)
        instruments, unmeasured = open_instruments(
            fit.size,
            detector=self.detector,
            embedder=self.embedder,
            features=self.features,
            lpips=(self.lpips_trunk, self.lpips_heads),
        )
        open_output(self.output)
        with progress_bar("scoring", unit="clips") as progress:

            def show(done: int, total: int) -> None:
                progress(done, total, 0.0)

            try:
                result = evaluate(
                    candidates,
                    clips,
                    instruments,
                    videos=self.videos,
                    unmeasured=unmeasured,
                    progress=show,
                )
            except DataError as error:
                others = error.fields.get("others")
                if isinstance(others, Evaluation):  # hours of scoring are not lost for one folder of other lengths
                    written = others.save(self.output)
                    error.hint += f"; the others' scores are in {written[0]}"
                raise
        written = result.save(self.output)
        print(json.dumps(result.as_dict(), indent=1) if self.json else f"{result.markdown()}\nwrote {written[0]}")
