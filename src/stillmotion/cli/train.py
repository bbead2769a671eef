"""`stillmotion train PRESET --data PATH -o RUN`"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from stillmotion.cli.options import Output
from stillmotion.train.options import Options

_ENDED = {"finished": "finished", "steps": "stopped as asked", "time": "out of time", "signal": "interrupted"}


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """Train a method on a folder of plain clips.

    Under `torchrun --nproc-per-node N -m stillmotion train ...` it uses N processes.
    """

    preset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PRESET")]
    """Preset such as vox-256 (`stillmotion methods` lists them), or a published YAML file."""
    output: Output
    """Folder of the run."""
    set: tuple[str, ...] = ()
    """Changes to the preset, such as training.batch=8 training.epochs=2."""

    def run(self) -> None:
        """Train and say how it ended."""
        from stillmotion.cli.settings import with_settings
        from stillmotion.methods import resolve_config
        from stillmotion.train.loop import train

        config = with_settings(resolve_config(self.preset), self.set)
        brings = getattr(config, "start_brings", "")
        if brings and self.start is None and not self.resume:
            print(f"warning: without --start, {self.preset} has no {brings}", file=sys.stderr)
        options = {field.name: getattr(self, field.name) for field in fields(Options)}
        result = train(config, **options)
        scores = ", ".join(f"{name} {score:.4g}" for name, score in result.scores.items())
        print(f"{_ENDED[result.status]} after {result.step} steps, {result.seconds / 60:.1f} minutes: {result.output}")
        print(f"held-out scores: {scores or 'none'}")
        if result.bundle is not None:
            print(f"weights: {result.bundle}; use them with --weights {result.bundle}")
