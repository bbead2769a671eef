"""Tiny clips of all three kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion.data.decode import Fit
from stillmotion.data.folder import ClipFolder

SIDE = 32


def moving_square(count: int, *, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """`uint8 (count, side, side, 3)`: frame i has a coloured square at column i and a level of 10·i + 5 outside."""
    colour = np.random.default_rng(seed).integers(60, 255, 3)
    frames = np.zeros((count, side, side, 3), np.uint8)
    for i in range(count):
        frames[i] = 10 * i + 5
        frames[i, 8:16, 2 + i : 10 + i] = colour
    return frames


def write_strip(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(path)
    return path


def write_folder(path: Path, frames: np.ndarray, *, name: Callable[[int], str] = "{}.png".format) -> Path:
    path.mkdir(parents=True)
    for i in reversed(range(len(frames))):  # written backwards: the order on disk must not matter
        Image.fromarray(frames[i]).save(path / name(i))
    return path


def write_gif(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=rest, duration=40)
    return path


@pytest.fixture
def strips(tmp_path: Path) -> Path:
    """A folder of ten strips of eight frames: five identities, two clips each."""
    root = tmp_path / "strips"
    for i in range(10):
        write_strip(root / f"p{i // 2}#{i % 2}.png", moving_square(8, seed=i))
    return root


@pytest.fixture
def open_folder() -> Callable[..., ClipFolder]:
    def opened(path: Path, **options: object) -> ClipFolder:
        return ClipFolder(path, fit=Fit((SIDE, SIDE)), **({"subset": "all"} | options))  # type: ignore[arg-type]

    return opened
