"""The recipe of the shipped weights: growing keeps the frame, quick forms compute the same, phases train their part."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stillmotion import weights
from stillmotion.methods.firstorder.config import FirstOrderConfig, compact_256
from stillmotion.methods.firstorder.weights import build
from stillmotion.prepare.lids import knows_lids
from stillmotion.runtime.bundle import Bundle

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from heads import motion as lesson
from heads.grow import grow, same, widened
from heads.marks import ANCHORS, MARKS, MIRRORED, STRESS, anchored
from heads.run import Run
from train_heads import trust


def config(count: int = len(ANCHORS)) -> FirstOrderConfig:
    small = compact_256()
    return replace(small, keypoints=replace(small.keypoints, count=count))


def networks(wanted: FirstOrderConfig, seed: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    made = build(wanted)
    made.pop("discriminator", None)
    for network in made.values():  # norms that do something
        for name, tensor in network.state_dict().items():
            if "running_mean" in name:
                tensor.normal_(0, 0.1)
    return made


class Noise:
    """A world without pictures: enough to see who learns."""

    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        def noise(*shape: int) -> np.ndarray:
            return rng.random(shape, np.float32)

        return {
            "source": noise(3, size, size),
            "driving": noise(3, size, size),
            "emphasis": np.ones((1, size, size), np.float32),
            "flow": noise(64, 64, 2) * 2 - 1,
            "visible": np.ones((64, 64), np.float32),
            "true": np.float32(rng.integers(2)),
            "anchors": noise(len(ANCHORS), 2),
            "anchor_weights": STRESS,
        }


def test_growing_adds_keypoints_where_they_change_little() -> None:
    old, new = networks(config(10)), networks(config(), seed=1)
    grow(old, new)
    picture = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        before, _ = old["kp_detector"].eval()(picture)
        after, _ = new["kp_detector"].eval()(picture)
    assert torch.equal(before, after[:, :10])
    assert new["generator"].dense_motion_network.mask.bias[-1] == -2


def test_a_wider_generator_starts_with_the_same_frame() -> None:
    old = networks(config())
    wide = widened(config(), name="wide", expansion=24, most=96, blocks=4)
    new = networks(wide, seed=1)
    grow(old, new)
    assert same(old, new, size=256) < 1e-5
    new["generator"].bottleneck["r3"].conv2.weight.data.normal_()
    assert same(old, new, size=256) > 1e-4, "the new planes reach nothing"


def test_quick_forms_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "fast", nullcontext)
    made = networks(config())
    detector, motion = made["kp_detector"].eval(), made["generator"].dense_motion_network.eval()
    pictures = torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        value, jacobian = detector(pictures)
        ours = lesson.Detect(detector)(pictures)
        args = (motion.down(pictures), value, value.flip(0), jacobian, jacobian.flip(0))
        wanted, got = motion(*args), lesson.dense(motion, *args)
    assert (ours[0] - value).abs().max() < 1e-5
    assert (ours[1] - jacobian).abs().max() < 1e-5
    for name in ("flow", "mask", "occlusion"):
        assert (wanted[name] - got[name]).abs().max() < 1e-5, name


@pytest.mark.parametrize("phase", ["motion", "paint", "published"])
def test_each_phase_trains_its_part_and_resumes(phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from heads import run as module

    monkeypatch.setitem(module.BATCH, phase, 2)

    def begin() -> Run:
        still = networks(config())
        return Run(still, config(), [(Noise(), 1.0)], nn.Identity(), tmp_path, [(phase, 0.001)], 1e-3, 0)

    for place in ("heads.painting", "stillmotion.methods.firstorder.losses"):
        monkeypatch.setattr(f"{place}.perceptual", lambda _, guess, target, **__: (guess - target).abs().mean())
    run = begin()
    before = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in run.networks.items()}
    run.go()
    changed = {
        f"{n}.{k}"
        for n, m in run.networks.items()
        for k, v in m.state_dict().items()
        if not torch.equal(v, before[n][k])
    }
    motion = {name for name in changed if name.startswith("kp_detector") or "dense_motion" in name}
    assert changed
    assert bool(motion) == (phase != "paint")
    assert bool(changed - motion) == (phase != "motion")
    again = begin()
    assert again.state == run.state
    assert all(
        torch.equal(a, b)
        for n in run.networks
        for a, b in zip(again.networks[n].state_dict().values(), run.networks[n].state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["heads", "heads-quality"])
def test_the_card_says_what_keypoints_mark(name: str) -> None:
    assert [index for index, anchor in enumerate(ANCHORS) if anchor] == sorted(MARKS.values())
    assert knows_lids(MARKS)
    assert Bundle.open(weights.find(name)).card.marks == MARKS


def test_the_warped_picture_can_be_trusted_more() -> None:
    generator = build(compact_256())["generator"]
    before = generator.final.bias.detach().clone()
    trust(generator, 3.0)
    assert (generator.final.bias - before).tolist() == pytest.approx([0, 0, 0, 3])


def test_anchors_follow_a_mirror() -> None:
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (68, 2)).astype(np.float32)
    assert sorted(MIRRORED) == list(range(68))
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(68))
    where, weight = anchored(points, np.ones(68, bool))
    assert where[2] == pytest.approx(points[30])
    assert not weight[8:10].any()
