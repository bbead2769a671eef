"""`stillmotion data check PATH`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stillmotion.cli.screen import progress_bar


@dataclass(kw_only=True)
class Command:
    """Read every frame of a training set and say what is wrong with it.

    Exit status 1 when training could not start.
    """

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PATH")]
    """Folder of clips: videos, folders of frames, image strips; `train` and `test` inside, or neither."""
    json: bool = False
    """Print the report as JSON on stdout."""

    def run(self) -> int:
        """Check and print."""
        from stillmotion.data.check import check

        with progress_bar("checking", unit="clips") as progress:

            def show(done: int, total: int) -> None:
                progress(done, total, 0.0)

            report = check(self.path, progress=show)
        print(json.dumps(report.as_dict(), indent=2) if self.json else report.text())
        return 0 if report.ok else 1
