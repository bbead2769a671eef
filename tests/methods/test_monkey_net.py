"""Monkey-Net's prediction: learned from a finished run, played from a picture alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion import methods  # noqa: E402
from stillmotion.core.errors import ConfigError, MotionError  # noqa: E402
from stillmotion.methods.monkeynet.losses import objective  # noqa: E402
from stillmotion.methods.monkeynet.weights import build, save_bundle  # noqa: E402
from stillmotion.session.prediction import predict, predict_motion  # noqa: E402
from tests.contract.tiny import SIDE, make_networks, monkey_net  # noqa: E402
from tests.scene import Scene  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = monkey_net(enabled=True)
    return save_bundle(make_networks(config), config, tmp_path_factory.mktemp("b") / "monkey", keep="tensors")


def test_a_step_is_the_sequence(bundle: Path) -> None:
    """Frame by frame, as stages run it, the predictor says what it says of a whole clip."""
    method = methods.load(bundle, engine="torch", device="cpu")
    source = method.read(np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))[0]
    motions = method.predict(source)
    assert len(motions) == method.config.prediction.frames == 4
    assert motions[0] is source
    predictor = make_networks(method.config)["predictor"]
    value, covariance = torch.zeros(1, 4, 3, 2), torch.zeros(1, 4, 3, 2, 2)
    value[0, 0], covariance[0, 0] = torch.tensor(source.value), torch.tensor(source.covariance)
    with torch.no_grad():
        wanted, spread = predictor(value, covariance, shown=1)
    np.testing.assert_allclose([m.value for m in motions[1:]], wanted[0, 1:].numpy(), atol=1e-6)
    assert np.abs(wanted.numpy()).max() <= 1
    assert (np.linalg.eigvalsh(spread.numpy()) > -1e-6).all()
    assert all(np.array_equal(m.covariance, source.covariance) for m in motions)


def test_a_picture_alone_becomes_a_clip(bundle: Path, scene: Scene, tmp_path: Path) -> None:
    report = predict(scene.picture, tmp_path / "out.mp4", weights=bundle, engine="torch", device="cpu")
    assert (report.frames, report.motion, report.fps) == (4, "absolute", 25)
    clip = predict_motion(scene.picture, weights=bundle, engine="torch", device="cpu")
    assert len(clip) == 4


def test_what_was_not_trained_to_predict_says_so(tiny_bundle: Path, scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="first-order cannot predict motion"):
        predict(scene.picture, tmp_path / "out.mp4", weights=tiny_bundle, engine="torch", device="cpu")
    config = monkey_net()
    plain = save_bundle(make_networks(config), config, tmp_path / "plain", keep="tensors")
    with pytest.raises(MotionError, match="plain cannot predict motion") as caught:
        predict(scene.picture, tmp_path / "out.mp4", weights=plain, engine="torch", device="cpu")
    assert "training.stage=prediction" in caught.value.hint


def test_only_the_predictor_learns_in_its_stage() -> None:
    from stillmotion.nn.objective import Sample

    config = monkey_net(enabled=True)
    config = replace(config, training=replace(config.training, stage="prediction"))
    networks = build(config)
    goal = objective(networks, config, None)
    assert (goal.draw.count, goal.draw.order) == (4, "window")
    states: dict[str, Any] = {n: network.state_dict() for n, network in networks.items() if n != "predictor"}
    assert set(goal.adapt(states)) == set(networks)
    (turn,) = goal.turns
    random = torch.Generator().manual_seed(0)
    frames = [torch.rand(2, 3, SIDE, SIDE, generator=random) for _ in range(4)]
    losses, _ = turn.module(Sample(*frames), {})
    sum(losses.values()).backward()
    assert {n for n, network in networks.items() if any(p.grad is not None for p in network.parameters())} == {
        "predictor"
    }
    bare = monkey_net()
    bare = replace(bare, training=replace(bare.training, stage="prediction"))
    with pytest.raises(ConfigError, match="there is no predictor to train"):
        objective(build(bare), bare, None)
