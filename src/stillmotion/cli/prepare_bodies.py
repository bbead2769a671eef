"""`stillmotion prepare bodies VIDEOS -o FOLDER`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stillmotion.cli.preparing import Following


@dataclass(kw_only=True)
class Command(Following):
    """Cut clips of whole persons out of long videos, as for Tai-Chi-HD.

    Needs a detector of persons, or annotations with their boxes; none comes with stillmotion.
    """

    body_model: Path | None = None
    """ONNX file that finds persons, such as an export of the YOLO family (v8 and later)."""
    least_score: float = 0.5
    """Persons found with less confidence are passed over."""

    def run(self) -> int:
        """Prepare and print.

        Raises:
            ConfigError: Neither a detector nor annotations.
        """
        from stillmotion.data.preparation.finders import Bodies

        has_boxes = self.annotations is not None and self.annotations.suffix.lower() == ".csv"
        if self.body_model is None and has_boxes:
            return self.follow(None, least_frames=128)
        model = str(self.body_model.absolute()) if self.body_model else None
        return self.follow(Bodies(model, least_score=self.least_score), least_frames=128)
