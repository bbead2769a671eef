"""Stand-ins for the tests of the prepare layer: a detector that is told, a spec, a picture, a real clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from stillmotion.core.frame import Frame
from stillmotion.core.method import MethodSpec
from stillmotion.prepare import Face


class ToldDetector:
    """Finds, call after call, the faces it was given; None is a frame without a face."""

    def __init__(self, *boxes: tuple[float, float, float, float] | None) -> None:
        self.boxes = boxes
        self.calls = 0

    def find(self, frame: Frame) -> list[Face]:
        box = self.boxes[self.calls % len(self.boxes)]
        self.calls += 1
        return [] if box is None else [Face(box=box, score=0.9)]


def _make_spec(*, crop: str = "face", margin: float = 2.0, size: tuple[int, int] = (64, 64)) -> MethodSpec:
    return MethodSpec(
        name="test",
        weights="test",
        size=size,
        motion="keypoints",
        modes=("relative",),
        max_sources=1,
        convention="edges",
        crop=crop,  # type: ignore[arg-type]
        margin=margin,
    )


def _coordinates(height: int, width: int) -> Frame:
    """A picture whose red is the column and whose green is the row (both modulo 256)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns % 256, rows % 256, np.zeros_like(rows)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def told() -> type[ToldDetector]:
    return ToldDetector


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., MethodSpec]:
    return _make_spec


@pytest.fixture(scope="session")
def coordinates() -> Callable[[int, int], Frame]:
    return _coordinates


@pytest.fixture(scope="session")
def face_model(shared: Path) -> Path:
    return shared / "assets" / "faces" / "yunet_n_640_640.onnx"


@pytest.fixture(scope="session")
def grid_clips(shared: Path) -> dict[str, list[Frame]]:
    """Every 15th frame of five GRID clips."""
    clips = {}
    for path in sorted((shared / "clips" / "grid").glob("*.mpg"))[::3]:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        clips[path.stem] = frames[::15]
    return clips
