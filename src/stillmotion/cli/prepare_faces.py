"""`stillmotion prepare faces VIDEOS -o FOLDER`"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stillmotion.cli.preparing import Following


@dataclass(kw_only=True)
class Command(Following):
    """Cut clips of faces out of long videos: a training set of talking heads.

    Each face is followed while it stays near where it was first seen; the clip is the smallest crop
    around all its boxes, with a margin. With annotations nothing is looked for.
    """

    face_model: Path | None = None
    """YuNet file that finds faces, or the word haar for OpenCV's cascades; without it, the shipped detector does."""

    def run(self) -> int:
        """Prepare and print."""
        from stillmotion.data.preparation.finders import Faces
        from stillmotion.prepare.faces import FACE_MODEL_VARIABLE

        # Named here, not in the workers: a machine of a cluster has another environment and folder.
        model = str(self.face_model or os.environ.get(FACE_MODEL_VARIABLE) or "")
        is_file = model and Path(model).is_file()
        return self.follow(Faces(str(Path(model).absolute()) if is_file else model or None), least_frames=64)
