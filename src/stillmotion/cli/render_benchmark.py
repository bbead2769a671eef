"""`stillmotion render benchmark NAME -o FOLDER`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stillmotion.cli.options import Output


@dataclass(kw_only=True)
class Command:
    """Render a benchmark: the clips that weights are scored on, and what is true of them.

    heads-1 shows six people whom no training sees and needs their avatars; shapes-1 needs nothing.
    Complete clips are kept. At the end the rendering is compared with the published one.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """heads-1 or shapes-1."""
    output: Output
    """Folder for the clips, what is true of them, and a manifest."""
    avatars: Path | None = None
    """Folder of rigged avatars (GLB), or a pack made of one."""
    workers: int | None = None
    """Processes (default: one per core)."""

    def run(self) -> None:
        """Render, and say whether it is what was published.

        Raises:
            DataError: The rendering is another than the published one.
        """
        from stillmotion.core.errors import DataError
        from stillmotion.data.worlds import manifest
        from stillmotion.data.worlds.benchmark import find_benchmark, render_benchmark

        benchmark = find_benchmark(self.name)
        done = render_benchmark(benchmark, self.output, avatars=self.avatars, workers=self.workers)
        ours = manifest.make_manifest(benchmark, self.output)
        manifest.write_manifest(ours, self.output)
        print(f"rendered {len(done)} clips into {self.output}, {len(benchmark.clips) - len(done)} were there")
        verdicts = manifest.compare(ours, manifest.shipped_manifest(self.name))
        other = [str(index) for index, verdict in enumerate(verdicts) if verdict == "other"]
        if other:
            raise DataError(
                f"clips {', '.join(other)} are not those of {self.name} as published",
                hint="use the avatars that the page of the benchmark names, and this version's renderer",
            )
        same = verdicts.count("same")
        print(f"as published: {same} clips to the last bit, {len(verdicts) - same} within the tolerances")
