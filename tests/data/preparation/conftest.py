"""Tiny videos with a bright square in them, and a finder that sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillmotion.data.preparation.boxes import Box
from stillmotion.data.preparation.finders import Finder
from stillmotion.data.preparation.jobs import Plan
from stillmotion.data.preparation.tracking import Rule
from tests.scene import write_clip

HEIGHT, WIDTH, SIDE = 64, 96, 24
RULE = Rule(least_frames=4, most_frames=8, least_side=16)


@dataclass(frozen=True)
class Bright:
    """Finds the bright square."""

    def open(self) -> Finder:
        """See `finders.Provider`."""

        def find(frame: np.ndarray) -> list[Box]:
            rows, columns = np.nonzero(frame.min(axis=2) > 128)
            if not len(rows):
                return []
            return [Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]

        return find


def square_frames(lefts: Sequence[int | None]) -> list[np.ndarray]:
    """Frames `uint8 (64, 96, 3)` with a white square of 24 pixels at these columns, 20 rows down; None without."""
    frames = []
    for left in lefts:
        frame = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
        if left is not None:
            frame[20 : 20 + SIDE, left : left + SIDE] = 240
        frames.append(frame)
    return frames


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Three videos of three people: `ann`, `bob` and `cy`, 6 frames each, a square that moves a little."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for index, name in enumerate(("ann#1", "bob#1", "cy#1")):
        write_clip(folder / f"{name}.mp4", square_frames([20 + index + i for i in range(6)]), fps=Fraction(25))
    return folder


@pytest.fixture
def plan(tmp_path: Path, videos: Path) -> Callable[..., Plan]:
    """`plan(**changes)`: clips of 32 pixels of the bright square."""

    def make(**changes: Any) -> Plan:
        given: dict[str, Any] = {"videos": videos, "output": tmp_path / "set", "size": 32, "rule": RULE}
        return Plan(**(given | {"finder": Bright()} | changes))

    return make
