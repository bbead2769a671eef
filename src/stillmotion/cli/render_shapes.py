"""`stillmotion render shapes -o FOLDER`"""

from __future__ import annotations

from dataclasses import dataclass

from stillmotion.cli.options import Output


@dataclass(kw_only=True)
class Command:
    """Render moving shapes with known motion: data for a first training, no assets needed.

    Clips that are complete in the folder already are kept.
    """

    output: Output
    """Folder for the clips and what is true of them."""
    clips: int = 200
    """How many clips."""
    seed: int = 0
    """Seed of the whole set."""
    size: int = 64
    """Side of the pictures in pixels."""
    frames: int = 16
    """Length of a clip in frames."""
    fps: float = 10.0
    """Frames a second."""

    def run(self) -> None:
        """Render and say how many."""
        from stillmotion.data.worlds.shapes import render_shapes

        done = render_shapes(
            self.output, clips=self.clips, seed=self.seed, frames=self.frames, size=self.size, fps=self.fps
        )
        print(f"rendered {len(done)} clips into {self.output}, {self.clips - len(done)} were there")
