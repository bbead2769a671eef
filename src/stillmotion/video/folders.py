"""A folder of frames, as numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from stillmotion.core.errors import OutputError
from stillmotion.core.frame import Frame
from stillmotion.video.image import save_picture

_OURS = re.compile(r"\d{6,}\.(png|jpg|webp|bmp)")


class FrameFolderClip:
    """Writes frames as `000000.png`, `000001.png`, … Times are not kept: a folder has no clock.

    Args:
        folder: Where to write, already the partial name; made here.
        suffix: `.png`, `.jpg`, `.webp` or `.bmp`.
        metadata: Text to store in each PNG or JPEG.
    """

    def __init__(self, folder: Path, *, suffix: str, metadata: Mapping[str, str]) -> None:
        self._folder = folder
        self._suffix = suffix
        self._metadata = dict(metadata)
        self._frames = 0
        folder.mkdir()

    def write(self, frame: Frame, time: Fraction | None) -> None:
        """Write one picture, `uint8 (h, w, 3)` or with alpha `(h, w, 4)`."""
        save_picture(self._folder / f"{self._frames:06d}{self._suffix}", frame, metadata=self._metadata)
        self._frames += 1

    def finish(self, *, is_cut: bool) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """Nothing is open."""


def check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but frames written before.

    Raises:
        OutputError: Something else is in it.
    """
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if not (entry.is_file() and _OURS.fullmatch(entry.name)):
            raise OutputError(
                f"the folder {folder} holds other things ({entry.name}), so no frames are written into it",
                hint="name a new folder, or an empty one",
                path=folder,
            )
