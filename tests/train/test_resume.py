"""Stop and resume equals an unbroken run, bit for bit, wherever it stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stillmotion.core.errors import ConfigError, OutputError, WeightsError
from stillmotion.train.loop import Run

from .conftest import ADVERSARIAL, same, state, tiny_config

EVERYTHING = {"ema": 0.9, "clip": 5.0, "camera": 0.5}


@pytest.mark.parametrize("stop", [2, 3], ids=["inside an epoch", "between epochs"])
def test_resumed_equals_unbroken(run: Callable[..., Any], tmp_path: Path, stop: int) -> None:
    """All weights, running statistics, optimizer moments, the average, and the held-out score."""
    config = tiny_config(weights=ADVERSARIAL)
    whole = run(config, output=tmp_path / "whole", max_steps=7, **EVERYTHING)
    run(config, output=tmp_path / "broken", max_steps=stop, **EVERYTHING)
    resumed = run(config, output=tmp_path / "broken", max_steps=7, resume=True, **EVERYTHING)
    assert (resumed.step, resumed.status) == (7, "steps")
    assert same(state(tmp_path / "whole"), state(tmp_path / "broken"))
    assert resumed.scores == whole.scores


def test_a_finished_epoch_is_not_repeated(run: Callable[..., Any], tmp_path: Path) -> None:
    """The published loop starts a resumed run at the epoch that its checkpoint had finished."""
    seen: list[int] = []
    run(max_steps=3)
    assert state(tmp_path / "run")["epoch"] == 0
    before = Run._one_step

    def counted(self: Run, batch: Any) -> None:
        seen.append(self.step)
        before(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_one_step", counted)
        result = run(resume=True)
    assert seen == list(range(3, 12))
    assert (result.status, result.epoch) == ("finished", 4)
    assert state(tmp_path / "run")["epoch"] == 3


def test_sigterm_saves_and_the_run_goes_on_exactly(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(output=tmp_path / "whole", max_steps=6)
    before = Run._look_after

    def terminated(self: Run, bar: Any) -> None:
        before(self, bar)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_look_after", terminated)
        result = run(output=tmp_path / "broken", max_steps=6, export=True)
    assert (result.status, result.step, result.bundle) == ("signal", 2, None)
    assert signal.getsignal(signal.SIGTERM) is handler
    run(output=tmp_path / "broken", max_steps=6, resume=True)
    assert same(state(tmp_path / "whole"), state(tmp_path / "broken"))


def test_time_budget_stops_saved(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run(max_minutes=0.0)
    assert (result.status, result.step) == ("time", 1)
    assert state(tmp_path / "run")["step"] == 1


def test_no_partial_file_is_left(run: Callable[..., Any], tmp_path: Path) -> None:
    run(max_steps=2)
    assert not [p for p in (tmp_path / "run").rglob("*partial*")]


def test_a_missing_discriminator_is_not_passed_over(run: Callable[..., Any], tmp_path: Path) -> None:
    """The published loader swallows it with a bare `except:` and goes on with fresh weights."""
    config = tiny_config(weights=ADVERSARIAL)
    run(config, max_steps=1)
    content = state(tmp_path / "run")
    del content["discriminator"], content["optimizer_discriminator"]
    torch.save(content, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(WeightsError, match="it has no discriminator, optimizer_discriminator") as caught:
        run(config, max_steps=2, resume=True)
    assert "--start" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 1}, "another seed: 0, now 1"), ({"ema": 0.5}, "another ema"), ({"camera": 1.0}, "another camera")],
)
def test_another_setting_cannot_resume(run: Callable[..., Any], change: dict[str, Any], message: str) -> None:
    run(max_steps=1)
    with pytest.raises(ConfigError, match=message):
        run(max_steps=2, resume=True, **change)


def test_another_network_cannot_resume(run: Callable[..., Any]) -> None:
    run(max_steps=1)
    config = tiny_config()
    other = replace(config, keypoints=replace(config.keypoints, count=4))
    with pytest.raises(ConfigError, match="written by a run with another config"):
        run(other, resume=True)


def test_more_epochs_may_resume(run: Callable[..., Any]) -> None:
    run(tiny_config(epochs=1))
    assert run(tiny_config(epochs=2, milestones=()), resume=True).epoch == 2


def test_a_run_is_not_overwritten(run: Callable[..., Any]) -> None:
    run(max_steps=1)
    with pytest.raises(OutputError, match="holds a run already") as caught:
        run(max_steps=1)
    assert "--resume" in caught.value.hint


def test_nothing_to_resume(run: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"nothing to resume: .*checkpoint\.pt does not exist"):
        run(resume=True)


def test_a_hostile_or_torn_checkpoint_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    run(max_steps=1)
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="cut short"):
        run(max_steps=2, resume=True)
    torch.save({"generator": {}, "kp_detector": {}, "evil": os.system}, path)
    with pytest.raises(WeightsError, match="asks to run"):
        run(max_steps=2, resume=True)
