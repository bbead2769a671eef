"""`stillmotion render heads AVATARS -o FOLDER`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stillmotion.cli.options import Output


@dataclass(kw_only=True)
class Command:
    """Render talking heads with known motion, to train or measure on.

    Clips that are complete in the folder already are kept, so a stopped run goes on.
    """

    avatars: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="AVATARS")]
    """Folder of rigged avatars (GLB), or a pack made of one."""
    output: Output
    """Folder for the clips and what is true of them."""
    clips: int = 100
    """How many clips."""
    seed: int = 0
    """Seed of the whole set."""
    size: int = 256
    """Side of the pictures in pixels."""
    frames: int = 24
    """Length of a clip in frames."""
    fps: float = 10.0
    """Frames a second of the performance."""
    people: tuple[str, ...] = ()
    """Names that may appear (default: all)."""
    hold_out: tuple[str, ...] = ()
    """Names that may not appear, alone or blended; heads-1 stands for the people of that benchmark."""
    clean: bool = False
    """Leave out the flaws of a camera."""
    faces: float = 0.0
    """Fraction of clips in which somebody makes faces for the camera: smiles, shut eyes, mouths wide open."""
    workers: int | None = None
    """Processes (default: one per core)."""

    def run(self) -> None:
        """Render and say how many."""
        from stillmotion.data.worlds.benchmark import HELD_OUT
        from stillmotion.data.worlds.heads import render_heads

        away = [name for word in self.hold_out for name in (HELD_OUT if word == "heads-1" else (word,))]
        done = render_heads(
            self.avatars,
            clips=self.clips,
            output=self.output,
            seed=self.seed,
            size=self.size,
            frames=self.frames,
            fps=self.fps,
            people=self.people,
            hold_out=away,
            clean=self.clean,
            faces=self.faces,
            workers=self.workers,
        )
        print(f"rendered {len(done)} clips into {self.output}, {self.clips - len(done)} were there")
