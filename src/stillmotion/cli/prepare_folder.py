"""`stillmotion prepare folder VIDEOS -o FOLDER`"""

from __future__ import annotations

from dataclasses import dataclass

from stillmotion.cli.preparing import Preparing


@dataclass(kw_only=True)
class Command(Preparing):
    """Bring whole videos to one size and split: animations, robots, clips that are cut already.

    Takes the largest square in the middle of the picture, or stretches it (--shape stretched).
    """

    def run(self) -> int:
        """Prepare and print."""
        return self.prepare(None, least_frames=2, least_side=1)
