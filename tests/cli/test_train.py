"""`stillmotion train` as typed: what it says before and after; training itself has its own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from stillmotion import methods
from stillmotion.cli import main
from stillmotion.train import loop
from stillmotion.train.result import Result

IN_STAGES = {"few-shot-64", "few-shot-tune-256", "taichi-adv-256", "x2face-identity-256"}
"""Presets that only make sense on top of another run."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Training that is over at once, as `ended["status"]` says."""
    told: dict[str, Any] = {"status": "steps"}

    def train(config: Any, **options: Any) -> Result:
        told["config"] = config
        return Result(options["output"], told["status"], 2, 0, 60.0, {}, {"held-out/l1": 0.25}, None, {})

    monkeypatch.setattr(loop, "train", train)
    return told


@pytest.mark.parametrize("method", methods.names())
def test_a_stage_without_the_one_before_it_is_said(
    method: str, ended: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for preset in methods.presets(method):
        words = ["train", preset, "--data", "clips", "-o", str(tmp_path)]
        assert main(words) == 0
        err = capsys.readouterr().err
        assert (f"warning: without --start, {preset} has no " in err) == (preset in IN_STAGES), preset
        assert main([*words, "--start", "checkpoint.pt"]) == 0
        assert "warning" not in capsys.readouterr().err


def test_the_predictor_learns_from_a_finished_run(
    ended: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "monkey-shapes-64", "--data", "clips", "-o", str(tmp_path)]
    assert main([*words, "--set", "prediction.enabled=true", "training.stage=prediction"]) == 0
    assert "has no keypoints whose motion could be learned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "said"),
    [("finished", "finished"), ("steps", "stopped as asked"), ("time", "out of time"), ("signal", "interrupted")],
)
def test_how_it_ended(
    status: str, said: str, ended: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended["status"] = status
    assert main(["train", "shapes-64", "--data", "clips", "-o", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{said} after 2 steps, 1.0 minutes: {tmp_path}" in out
    assert "held-out scores: held-out/l1 0.25" in out
