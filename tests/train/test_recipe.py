"""The published recipe: optimizers, schedule, order, stages; and what is not computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.methods.firstorder.config import LossWeights
from stillmotion.methods.firstorder.losses import DiscriminatorStep, GeneratorStep, objective
from stillmotion.methods.firstorder.weights import build
from stillmotion.nn.objective import Sample
from stillmotion.train.average import Average
from stillmotion.train.checkpoint import start_from
from stillmotion.train.loop import Run
from stillmotion.train.options import Options
from stillmotion.train.setup import learning_rate, step_random

from .conftest import ADVERSARIAL, PLAIN, SIDE, state, tiny_config


def count_calls(module: nn.Module) -> list[int]:
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, SIDE, SIDE, generator=random), torch.rand(2, 3, SIDE, SIDE, generator=random)


def test_learning_rates_fall_tenfold_after_each_milestone() -> None:
    rates = [learning_rate(2e-4, epoch, (60, 90)) for epoch in (0, 59, 60, 89, 90, 99)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-5, 2e-5, 2e-6, 2e-6])


def test_three_adams_as_published() -> None:
    config = tiny_config(weights=ADVERSARIAL)
    turns = objective(build(config), config, None).turns
    made = [turn.optimizers for turn in turns]
    assert [list(optimizers) for optimizers in made] == [["generator", "kp_detector"], ["discriminator"]]
    for optimizer in (made[0] | made[1]).values():
        assert isinstance(optimizer, torch.optim.Adam)
        assert optimizer.defaults["betas"] == (0.5, 0.999)
        assert optimizer.defaults["weight_decay"] == 0
        assert optimizer.param_groups[0]["lr"] == 2e-4


def test_rates_of_a_run_follow_its_epochs(run: Callable[..., Any], tmp_path: Path) -> None:
    run()
    groups = state(tmp_path / "run")["optimizer_generator"]["param_groups"]
    assert groups[0]["lr"] == pytest.approx(2e-5)


def test_randomness_of_a_step_follows_its_place() -> None:
    drawn = [torch.randn(3, generator=step_random(*place)) for place in ((0, 5, 0), (0, 5, 0), (0, 6, 0), (0, 5, 1))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[3])


def test_each_half_step_only_feeds_its_own_networks(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = tiny_config(weights=ADVERSARIAL)
    networks = build(config)
    losses, outputs = GeneratorStep(networks, config, None)(Sample(*pictures), {})
    assert set(losses) == {"pixel", "generator_gan", "feature_matching", "equivariance_value", "equivariance_jacobian"}
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for name in ("generator", "kp_detector"):
        grads = [p.grad for p in networks[name].parameters()]
        assert sum(g is not None and bool(g.abs().sum() > 0) for g in grads) > len(grads) / 2
    judge = networks["discriminator"]
    assert all(p.grad is None and p.requires_grad for p in judge.parameters())
    for network in networks.values():
        network.zero_grad()
    judged, _ = DiscriminatorStep(judge, weight=1.0)(Sample(*pictures), outputs)
    judged["discriminator_gan"].backward()
    assert all(p.grad is not None for p in judge.parameters())
    assert all(p.grad is None for n in ("generator", "kp_detector") for p in networks[n].parameters())


@pytest.mark.parametrize(
    ("weights", "judge_calls", "detector_calls"),
    [
        (PLAIN, 0, 3),
        (replace(PLAIN, equivariance_value=0.0, equivariance_jacobian=0.0), 0, 2),
        (ADVERSARIAL, 2, 3),
    ],
)
def test_terms_of_weight_zero_are_not_computed(
    pictures: tuple[torch.Tensor, torch.Tensor], weights: LossWeights, judge_calls: int, detector_calls: int
) -> None:
    config = tiny_config(weights=weights)
    networks = build(config)
    judge, detector = count_calls(networks["discriminator"]), count_calls(networks["kp_detector"])
    GeneratorStep(networks, config, None)(Sample(*pictures), {})
    assert (len(judge), len(detector)) == (judge_calls, detector_calls)


def test_features_are_not_asked_without_a_perceptual_weight(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    asked: list[int] = []

    def features(image: torch.Tensor) -> list[torch.Tensor]:
        asked.append(1)
        return [image]

    config = tiny_config()
    GeneratorStep(build(config), config, features)(Sample(*pictures), {})
    assert not asked
    config = tiny_config(weights=replace(PLAIN, perceptual=(10.0,)))
    losses, _ = GeneratorStep(build(config), config, features)(Sample(*pictures), {})
    assert len(asked) == 2
    assert "perceptual" in losses


def test_without_gan_the_discriminator_is_neither_trained_nor_asked(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run(max_steps=2)
    assert set(result.losses) == {"pixel", "equivariance_value", "equivariance_jacobian"}
    assert "optimizer_discriminator" not in state(tmp_path / "run")


def test_rate_zero_freezes_the_detector_whole(run: Callable[..., Any], tmp_path: Path) -> None:
    """Weights and running statistics; and the equivariance terms, which would teach it, are not computed."""
    frozen = tiny_config(weights=ADVERSARIAL, learning_rate_keypoints=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = build(frozen)["kp_detector"].state_dict()
    result = run(frozen, max_steps=3)
    content = state(tmp_path / "run")
    assert all(torch.equal(fresh[key], content["kp_detector"][key]) for key in fresh)
    assert "optimizer_kp_detector" not in content
    assert not any(name.startswith("equivariance") for name in result.losses)
    run(frozen, max_steps=4, resume=True)


def test_second_stage_starts_from_the_first(run: Callable[..., Any], tmp_path: Path) -> None:
    """The published vox-adv: generator and detector go on, the discriminator of other shape starts anew, said aloud."""
    run(output=tmp_path / "first", max_steps=3)
    second = tiny_config(weights=ADVERSARIAL)
    second = replace(second, discriminator=replace(second.discriminator, use_keypoints=True))
    place = tmp_path / "first" / "checkpoint.pt"
    networks = build(second)
    assert start_from(place, networks, objective(networks, second, None)) == ["discriminator"]
    first = state(tmp_path / "first")
    assert all(torch.equal(v, first["generator"][k]) for k, v in networks["generator"].state_dict().items())
    result = run(second, output=tmp_path / "second", start=place, start_epoch=1, max_steps=5)
    assert result.step == 5
    assert '"started anew": [\n    "discriminator"\n  ]' in (tmp_path / "second" / "run.json").read_text()
    assert '"first step": 3' in (tmp_path / "second" / "run.json").read_text()


def test_a_start_that_does_not_fit_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    run(output=tmp_path / "first", max_steps=1)
    config = tiny_config()
    other = replace(config, keypoints=replace(config.keypoints, count=5))
    with pytest.raises(WeightsError, match="does not fit the config"):
        run(other, output=tmp_path / "second", start=tmp_path / "first" / "checkpoint.pt")


def test_gradients_are_clipped(clips: Path, tmp_path: Path) -> None:
    options = Options(data=clips, output=tmp_path / "run", clip=1e-3, device="cpu")
    run = Run(tiny_config(), options)
    run._one_step(next(iter(run._batches(1))))
    squared = sum(float((p.grad**2).sum()) for p in run.turns[0].module.parameters() if p.grad is not None)
    run.close()
    assert squared**0.5 == pytest.approx(1e-3, rel=1e-3)


def test_average_follows_the_weights() -> None:
    network = nn.BatchNorm2d(2)
    average = Average({"n": network}, decay=0.999)
    with torch.no_grad():
        network.weight.fill_(3.0)
    average.update()
    decay = 2 / 11
    wanted = decay * 1.0 + (1 - decay) * 3.0
    with average.applied():
        assert network.weight.tolist() == pytest.approx([wanted] * 2)
    assert network.weight.tolist() == [3.0, 3.0]


def test_bfloat16_trains(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run(tiny_config(weights=ADVERSARIAL), precision="bf16-mixed", max_steps=3)
    assert all(value == value for value in result.losses.values())
    weights = state(tmp_path / "run")["generator"].values()
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights)


def test_training_learns(run: Callable[..., Any], tmp_path: Path) -> None:
    weights = LossWeights(perceptual=(), pixel=10.0)
    fast = {"learning_rate_generator": 3e-3, "learning_rate_keypoints": 1e-3}
    run(tiny_config(weights=weights, epochs=15, milestones=(), **fast), log_steps=10)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss/pixel"] for line in lines if "loss/pixel" in line]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (tiny_config(weights=LossWeights()), {}, "nothing tells the generator what to paint"),
        (tiny_config(), {"device": "abacus"}, "cannot train on device 'abacus'"),
        (tiny_config(), {"ema": 1.0}, "ema must be at least 0 and below 1"),
        (tiny_config(), {"clip": -1.0}, "clip must be above 0"),
        (tiny_config(), {"precision": "8-int"}, "unknown precision '8-int'"),
        (tiny_config(), {"log_steps": 0}, "log_steps must be at least 1"),
        (tiny_config(), {"max_steps": 0}, "max_steps must be at least 1, not 0"),
        (tiny_config(), {"max_minutes": -1.0}, "max_minutes must be at least 0, not -1.0"),
        (tiny_config(), {"start_epoch": -1}, "start_epoch must be at least 0, not -1"),
        (tiny_config(), {"workers": -1}, "workers must be at least 0, not -1"),
        (replace(tiny_config(), size=62), {}, "2 halvings in the keypoint detector do not fit frames of 62 pixels"),
        (tiny_config(batch=0), {}, "training.batch must be at least 1, not 0"),
        (tiny_config(epochs=0), {}, "training.epochs must be at least 1, not 0"),
        (tiny_config(repeats=-1), {}, "training.repeats must be at least 1, not -1"),
        (tiny_config(), {"start_epoch": 9}, "start_epoch 9 leaves none of 4 epochs"),
        (tiny_config(), {"start": Path("a"), "resume": True}, "start and resume exclude each other"),
    ],
)
def test_senseless_settings_are_refused(
    run: Callable[..., Any], config: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(config, **options)


def test_autocast_leaves_coordinates_alone(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Convolutions may be bfloat16; keypoints, Jacobians, flows and the equivariance algebra stay float32."""
    config = tiny_config()
    networks = build(config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, outputs = GeneratorStep(networks, config, None)(Sample(*pictures), {})
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    kept = ("driving_value", "driving_jacobian", "flow", "mask")
    assert {name: outputs[name].dtype for name in kept} == dict.fromkeys(kept, torch.float32)
    assert (outputs["mask"].detach().sum(1) - 1).abs().max().item() < 1e-5
