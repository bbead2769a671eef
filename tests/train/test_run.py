"""What a run leaves behind, and how it meets bad data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillmotion.core.errors import DataError, StillmotionError
from stillmotion.methods import load
from stillmotion.prepare.crop import Crop
from stillmotion.runtime.bundle import Bundle
from stillmotion.train import loop, setup
from stillmotion.video.image import read_image

from .conftest import PLAIN, SIDE, tiny_config


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def test_record_names_everything_that_moves_the_numbers(run: Callable[..., Any], tmp_path: Path) -> None:
    run(max_steps=3, log_steps=1, picture_steps=2)
    content = record(tmp_path / "run")
    assert content["preset"] == "tiny"
    assert content["status"] == "steps"
    assert content["seed"] == 0
    assert content["features"] is None
    assert content["config"]["training"]["batch"] == 2
    assert content["data"]["clips"] == 6
    assert content["data"]["held out"] == 2
    assert content["versions"]["torch"] == torch.__version__
    assert content["processes"] == 1
    assert content["step"] == 3
    assert set(content["scores"]) == {"held-out/l1", "held-out/copying"}


def test_log_pictures_and_events(run: Callable[..., Any], tmp_path: Path) -> None:
    run(max_steps=3, log_steps=1, picture_steps=2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss/pixel" in line] == [1, 2, 3]
    assert all("learning rate/generator" in line for line in lines if "loss/pixel" in line)
    pictures = sorted(p.name for p in (tmp_path / "run" / "pictures").iterdir())
    assert pictures == ["00000002.png", "00000003.png"]
    grid = read_image(tmp_path / "run" / "pictures" / "00000002.png")
    assert grid.shape == (2 * SIDE, 7 * SIDE, 3)  # two held-out clips, seven tiles each
    assert list((tmp_path / "run" / "events").glob("events.out.tfevents.*"))


def test_feature_network_is_in_the_record(shared: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    path = shared / "assets" / "perceptual" / "squeezenet1_1_fp16.npz"
    result = run(tiny_config(weights=replace(PLAIN, perceptual=(1.0,))), features=path, max_steps=1)
    assert result.losses["perceptual"] > 0
    assert record(tmp_path / "run")["features"]["kind"] == "squeezenet1_1"
    assert len(record(tmp_path / "run")["features"]["sha256"]) == 64


def test_the_bundle_animates(run: Callable[..., Any]) -> None:
    """In the default engine, without torch."""
    result = run(max_steps=1, export=True)
    assert result.bundle is not None
    method = load(result.bundle)
    frames = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    rendering = method.render(method.encode([frames[0]]), method.read(frames))
    assert rendering.frames.shape == (2, SIDE, SIDE, 3)
    assert (method.spec.size, method.spec.crop) == ((SIDE, SIDE), "whole")


def test_the_bundle_holds_the_average_and_the_crop(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And, where the packages that export graphs are not installed, tensors alone."""
    monkeypatch.setattr(loop, "find_spec", lambda _: None)
    monkeypatch.setattr("stillmotion.data.decode._face_box", lambda *_: Crop(0, 0, SIDE, SIDE))
    result = run(max_steps=2, export=True, ema=0.9, crop="face", margin=1.7)
    bundle = Bundle.open(result.bundle)
    assert bundle.stages == {}
    assert (bundle.card.crop.kind, bundle.card.crop.margin) == ("face", 1.7)
    content = torch.load(result.output / "checkpoint.pt", weights_only=True)
    averaged = content["average"]["tensors"]["generator.final.weight"].numpy()
    stored = bundle.tensors("generator.")["final.weight"]
    assert np.array_equal(stored, averaged)
    assert not np.array_equal(stored, content["generator"]["final.weight"].numpy())


def test_a_broken_clip_is_reported_once(
    run: Callable[..., Any], clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(clips, data)
    (data / "train" / "c0#0.png").write_bytes(b"not a picture")
    result = run(data=data)
    assert list(result.skipped) == ["c0#0"]
    assert capsys.readouterr().out.count("skipped clip c0#0") == 1
    assert "c0#0" in record(tmp_path / "run")["skipped"]


def test_an_empty_set_fails_before_anything_is_written(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no train clips in"):
        run(data=tmp_path / "empty")
    assert not (tmp_path / "run").exists()


def test_only_broken_clips_fail_before_the_first_step(run: Callable[..., Any], tmp_path: Path) -> None:
    data = tmp_path / "broken"
    data.mkdir()
    for name in "abc":
        (data / f"{name}.mp4").write_text("text")
    with pytest.raises(DataError, match=r"no clip in .* can be read") as caught:
        run(data=data)
    assert "stillmotion data check" in caught.value.hint


def test_a_set_smaller_than_a_batch_is_drawn_more_often(run: Callable[..., Any], tmp_path: Path) -> None:
    run(tiny_config(batch=16), max_steps=1)
    data = record(tmp_path / "run")["data"]
    assert (data["repeats"], data["pairs per epoch"]) == (3, 18)


def test_divergence_stops_the_run_and_keeps_the_last_checkpoint(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(max_steps=2)
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(setup, "learning_rate", lambda *_: 1e38)
    with pytest.raises(StillmotionError, match="training diverged: at step") as caught:
        run(resume=True)
    assert "lower the learning rates" in caught.value.hint
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    assert record(tmp_path / "run")["status"].startswith("failed: StillmotionError: training diverged")
