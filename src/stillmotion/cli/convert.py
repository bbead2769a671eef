"""`stillmotion convert CHECKPOINT --config YAML -o BUNDLE`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stillmotion.cli.options import Bundling, Output


@dataclass(kw_only=True)
class Command(Bundling):
    """Turn a published checkpoint into a weights bundle that runs without torch.

    Pickles are opened with torch's weights-only reader: nothing inside them is ever run.
    """

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CHECKPOINT")]
    """Published checkpoint (.pth.tar), full or stripped."""
    config: str
    """Its published YAML file, or the name of a preset such as vox-256."""
    output: Output
    """Bundle folder to write."""
    name: str | None = None
    """Name of the weights (default: that of the config)."""
    method: str = "first-order"
    """Method that the checkpoint is for."""

    def run(self) -> None:
        """Convert and say where to."""
        from stillmotion.methods import method_converter

        path = method_converter(self.method)(
            self.checkpoint, config=self.config, output=self.output, name=self.name, keep=self.keep, half=self.half
        )
        print(f"wrote {path}; use it with --weights {path}")
