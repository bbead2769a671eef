"""A network and a data set small enough to train in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stillmotion.methods.firstorder.config import (
    AugmentationConfig,
    DenseMotionConfig,
    DiscriminatorConfig,
    FirstOrderConfig,
    GeneratorConfig,
    KeypointConfig,
    LossWeights,
    TrainingConfig,
)

SIDE = 32
ADVERSARIAL = LossWeights(generator_gan=1.0, feature_matching=(10.0, 10.0), perceptual=(), pixel=10.0)
PLAIN = replace(ADVERSARIAL, generator_gan=0.0)


def tiny_config(*, weights: LossWeights = PLAIN, **training: Any) -> FirstOrderConfig:
    schedule: dict[str, Any] = {
        "epochs": 4,
        "repeats": 1,
        "milestones": (2,),
        "batch": 2,
        "scales": (1.0,),
        "checkpoint_epochs": 100,
        "augmentation": AugmentationConfig(hue=0.1),
    }
    return FirstOrderConfig(
        name="tiny",
        size=SIDE,
        keypoints=KeypointConfig(count=3, expansion=4, max_features=8, blocks=2, scale=1.0),
        motion=DenseMotionConfig(expansion=4, max_features=8, blocks=2, scale=1.0),
        generator=GeneratorConfig(expansion=4, max_features=8, down_blocks=1, bottleneck_blocks=1),
        discriminator=DiscriminatorConfig(expansion=4, max_features=8, blocks=2),
        training=TrainingConfig(weights=weights, **(schedule | training)),
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring on networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training strips and two held out: a bright square moves over a dark ground."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for i in range(8):
        frames = np.full((6, SIDE, SIDE, 3), 40, np.uint8)
        colour, top = rng.integers(120, 255, 3), int(rng.integers(2, 20))
        for t in range(6):
            frames[t, top : top + 10, 2 + 3 * t : 12 + 3 * t] = colour
        folder = root / ("train" if i < 6 else "test")
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(folder / f"c{i}#0.png")
    return root


@pytest.fixture
def run(clips: Path, tmp_path: Path) -> Callable[..., Any]:
    """Train the tiny network quietly; the bundle only where a test asks for it."""
    from stillmotion.train.loop import train

    def started(config: FirstOrderConfig | None = None, **options: Any) -> Any:
        given = {"data": clips, "output": tmp_path / "run", "export": False, "device": "cpu"} | options
        return train(config or tiny_config(), **given)

    return started


def same(a: object, b: object) -> bool:
    """Whether two nested states agree bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def state(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return content
