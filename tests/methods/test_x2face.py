"""X2Face's second stage: identity by a feature network from a file, across clips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion.core.errors import ConfigError  # noqa: E402
from stillmotion.methods.x2face.config import LossWeights, x2face_256, x2face_identity_256  # noqa: E402
from stillmotion.methods.x2face.losses import objective  # noqa: E402
from stillmotion.methods.x2face.weights import build  # noqa: E402
from stillmotion.nn.objective import Sample  # noqa: E402
from tests.contract.tiny import SIDE, x2face  # noqa: E402


def features(image: Any) -> list[Any]:
    """Three levels: the picture at three sizes."""
    return [image, torch.nn.functional.avg_pool2d(image, 2), torch.nn.functional.avg_pool2d(image, 4)]


def sample(clips: list[int]) -> Sample:
    random = torch.Generator().manual_seed(0)
    frames = [torch.rand(2, 3, SIDE, SIDE, generator=random) for _ in range(3)]
    return Sample(*frames, clips=torch.tensor(clips), random=random)


def test_the_identity_stage_compares_with_the_source_across_clips() -> None:
    config = x2face()
    weights = LossWeights(pixel=1.0, content=0.1, identity=0.1)
    config = replace(config, training=replace(config.training, weights=weights, sources=2))
    networks = build(config)
    (turn,) = objective(networks, config, features).turns
    losses, _ = turn.module.eval()(sample([0, 1]), {})
    assert set(losses) == {"pixel", "content", "identity"}
    losses["identity"].backward()
    assert all(any(p.grad is not None for p in network.parameters()) for network in networks.values())
    alone, _ = turn.module(sample([3, 3]), {})  # no other clip in the batch: its own frame drives
    assert alone["identity"] != losses["identity"]


def test_it_cannot_do_without_the_feature_network() -> None:
    config = x2face_identity_256()
    with pytest.raises(ConfigError, match="content and identity terms need a feature network") as caught:
        objective({}, config, None)
    assert "--features" in caught.value.hint


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="8 halvings do not shrink 128 pixels to one") as caught:
        build(replace(x2face_256(), size=128))
    assert caught.value.hint == "give 7 widths"
