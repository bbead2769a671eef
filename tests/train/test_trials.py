"""Trials of a comparison: budgets, and that all are scored on frames cropped alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from stillmotion.core.errors import ConfigError
from stillmotion.data.decode import Fit
from stillmotion.evaluate.tally import Instruments
from stillmotion.methods.fewshot.config import few_shot_64
from stillmotion.train import trials
from stillmotion.train.trials import Budget, Ground, Trial


@pytest.mark.parametrize(("steps", "minutes"), [(None, None), (3, 1.0), (0, None), (None, -1.0)])
def test_a_budget_is_steps_or_minutes(steps: int | None, minutes: float | None) -> None:
    with pytest.raises(ConfigError, match="makes no sense"):
        Budget(steps=steps, minutes=minutes)


@pytest.mark.parametrize("crop", ["whole", "face"])
def test_all_are_scored_on_the_crop_that_they_were_trained_on(
    crop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights may ask for another crop in use, such as few-shot on landmarks for faces."""
    opened: list[Fit] = []
    candidate = SimpleNamespace(name="x", fit=Fit((64, 64), crop="face"))
    monkeypatch.setattr(trials, "open_candidate", lambda path: candidate)
    monkeypatch.setattr(trials, "open_clips", lambda path, fit, seed: opened.append(fit))
    monkeypatch.setattr(trials, "evaluate", lambda *args, **options: "scored")
    ground = Ground(tmp_path, Budget(steps=1), Instruments({}, None), crop=crop)
    trial = Trial("few-shot", 0, few_shot_64(), tmp_path / "run")
    assert trials.score(trial, ground) == "scored"
    assert opened == [Fit((64, 64), crop=crop)]
    assert candidate.name == "few-shot"
