"""What every method promises to the training loop. There is no opting out here either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from PIL import Image  # noqa: E402

from stillmotion import methods  # noqa: E402
from stillmotion.evaluate.reconstruct import reconstruct  # noqa: E402
from stillmotion.nn.objective import Sample  # noqa: E402
from stillmotion.train import loop  # noqa: E402
from stillmotion.train.loop import train  # noqa: E402

from .tiny import SIDE, TINY  # noqa: E402

FIRST = [configs[0] for configs in TINY.values()]
ALL = [config for configs in TINY.values() for config in configs]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strips of five frames, and one held out: a bright square moves over a dark ground."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for i in range(4):
        frames = np.full((5, SIDE, SIDE, 3), 40, np.uint8)
        colour, top = rng.integers(120, 255, 3), int(rng.integers(2, 20))
        for t in range(5):
            frames[t, top : top + 10, 2 + 4 * t : 12 + 4 * t] = colour
        folder = root / ("test" if i == 3 else "train")
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(folder / f"c{i}#0.png")
    return root


def made(config: Any, seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Networks in training mode and their objective."""
    name = methods.of_config(config)
    weights = methods.method_weights(name)
    config = weights.fitted(config, clips=3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = weights.build(config)
    return networks, methods.method_losses(name).objective(networks, config, None)


def sample(objective: Any, *, step: int = 10**9) -> Sample:
    random = torch.Generator().manual_seed(1)
    frames = [torch.rand(2, 3, SIDE, SIDE, generator=random) for _ in range(objective.draw.count)]
    return Sample(*frames, clips=torch.tensor([0, 2]), step=step, random=random)


def one_step(objective: Any, **options: Any) -> dict[str, float]:
    losses: dict[str, float] = {}
    outputs: dict[str, Any] = {}
    given = sample(objective, **options)
    for turn in objective.turns:
        turn.module.train()
        for optimizer in turn.optimizers.values():
            optimizer.zero_grad()
        ours, more = turn.module(given, outputs)
        sum(ours.values()).backward()
        for optimizer in turn.optimizers.values():
            optimizer.step()
        losses |= {name: float(loss.detach()) for name, loss in ours.items()}
        outputs |= more
    return losses


@pytest.mark.parametrize("config", ALL, ids=[config.name for config in ALL])
def test_a_step_changes_every_network_that_should_change(config: Any) -> None:
    networks, objective = made(config)
    before = {name: {k: v.clone() for k, v in n.named_parameters()} for name, n in networks.items()}
    losses = one_step(objective)
    assert all(np.isfinite(value) for value in losses.values())
    learning = {name for turn in objective.turns for name in turn.optimizers}
    for name, network in networks.items():
        moved = [not torch.equal(p, before[name][k]) for k, p in network.named_parameters()]
        assert sum(moved) > 0.5 * len(moved) if name in learning else not any(moved), name


@pytest.mark.parametrize("config", ALL, ids=[config.name for config in ALL])
def test_turns_hold_only_what_learns_in_them(config: Any) -> None:
    """So that each can be wrapped for several processes, which want a gradient for every parameter they see."""
    networks, objective = made(config)
    for turn in objective.turns:
        held = {id(p) for p in turn.module.parameters() if p.requires_grad}
        moved = {id(p) for o in turn.optimizers.values() for group in o.param_groups for p in group["params"]}
        assert held == {i for i in moved if i in held} != set()
        assert held <= {id(p) for n in networks.values() for p in n.parameters()}
        losses, _ = turn.module(sample(objective), _outputs_before(objective, turn))
        sum(losses.values()).backward()
        idle = [n for n, p in turn.module.named_parameters() if p.requires_grad and p.grad is None]
        assert not idle


def _outputs_before(objective: Any, turn: Any) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    for earlier in objective.turns:
        if earlier is turn:
            break
        outputs |= earlier.module(sample(objective), outputs)[1]
    return outputs


@pytest.mark.parametrize("config", ALL, ids=[config.name for config in ALL])
def test_a_step_repeats_exactly(config: Any) -> None:
    one, two = made(config), made(config)
    assert one_step(one[1]) == one_step(two[1])
    for name, network in one[0].items():
        assert all(torch.equal(v, two[0][name].state_dict()[k]) for k, v in network.state_dict().items()), name


@pytest.mark.parametrize("config", FIRST, ids=[config.name for config in FIRST])
def test_it_trains_resumes_exactly_and_reconstructs(
    config: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "find_spec", lambda _: None)  # tensors alone: graphs have their own tests, and take long
    options: dict[str, Any] = {"data": clips, "device": "cpu", "export": False}
    train(config, output=tmp_path / "whole", max_steps=2, **options)
    train(config, output=tmp_path / "broken", max_steps=1, **options)
    result = train(config, output=tmp_path / "broken", max_steps=2, resume=True, **(options | {"export": True}))
    whole, broken = (torch.load(tmp_path / n / "checkpoint.pt", weights_only=True) for n in ("whole", "broken"))
    for name in [k for k, v in whole.items() if isinstance(v, dict) and k != "facts"]:
        ours, theirs = whole[name], broken[name]
        assert all(torch.equal(v, theirs[k]) for k, v in ours.items() if isinstance(v, torch.Tensor)), name
    report = reconstruct(methods.load(result.bundle, engine="torch", device="cpu"), clips)
    assert report.method == methods.of_config(config)
    assert 0 < report.mean()["l1"] < 1
    assert set(result.scores) == {"held-out/l1", "held-out/copying"}


def moving_square(count: int) -> Sample:
    """Frames of two clips in which a bright square moves over a dark ground."""
    frames = []
    for t in range(count):
        picture = torch.full((2, 3, SIDE, SIDE), 0.15)
        for i, left in enumerate((4 + 6 * t, 16 - 4 * t)):
            picture[i, :, 10:20, left : left + 10] = torch.tensor([0.9, 0.5, 0.2 + 0.6 * i]).view(3, 1, 1)
        frames.append(picture)
    return Sample(*frames, clips=torch.tensor([0, 2]), step=10**9, random=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("config", FIRST, ids=[config.name for config in FIRST])
def test_it_learns_one_batch_by_heart(config: Any) -> None:
    _, objective = made(config)
    losses = []
    for turn in objective.turns:
        turn.module.train()
        for optimizer in turn.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 if isinstance(optimizer, torch.optim.Adam) else 0.3
    for _ in range(40):
        given, outputs = moving_square(objective.draw.count), {}
        for turn in objective.turns:
            for optimizer in turn.optimizers.values():
                optimizer.zero_grad()
            ours, more = turn.module(given, outputs)
            sum(ours.values()).backward()
            for optimizer in turn.optimizers.values():
                optimizer.step()
            outputs |= more
            if "pixel" in ours:
                losses.append(float(ours["pixel"].detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
