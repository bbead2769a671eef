"""The figures of the method pages: every method has one, drawn from its own numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the figures look inside torch networks")

from PIL import Image  # noqa: E402

from stillmotion import methods  # noqa: E402
from tests.contract.tiny import TINY, make_networks  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import method_figures  # noqa: E402

CELLS = {"few-shot": 6, "first-order": 6, "monkey-net": 6, "trinet": 6, "x2face": 7}
"""Cells of a row; the last of trinet's, the distances, needs a checkpoint."""


def run_folder(folder: Path, config: Any) -> Path:
    """What a training run leaves: bundle and checkpoint."""
    name = methods.of_config(config)
    networks = make_networks(config)
    methods.method_weights(name).save_bundle(networks, config, folder / "bundle", keep="tensors")
    torch.save({n: network.state_dict() for n, network in networks.items()}, folder / "checkpoint.pt")
    return folder


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_a_figure(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path, TINY[name][0])
    output = tmp_path / "figure.jpg"
    words = [str(run), "disc", "block", "-o", str(output), "--frame", "7", "--other", "ring"]
    assert method_figures.main(words) == 0
    assert capsys.readouterr().out.startswith(f"{output}: ")
    pitch = method_figures.CELL + method_figures.GAP
    page = Image.open(output)
    assert page.width == CELLS[name] * pitch + method_figures.GAP // 2
    rows = 2 if name in ("few-shot", "trinet") else 1
    assert page.height // (method_figures.CELL + 6) == rows
    ink = np.asarray(page)[20:140, 20:140]
    assert ink.min() < 40  # the disc's black ground, not an empty page


def test_a_frame_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path, TINY["x2face"][0])
    assert method_figures.main([str(run), "disc", "disc", "-o", str(tmp_path / "f.jpg"), "--frame", "99"]) == 1
    assert "error: disc has 24 frames, none numbered 99" in capsys.readouterr().err
    assert not (tmp_path / "f.jpg").exists()


def test_without_a_checkpoint_the_distances_are_left_out(tmp_path: Path) -> None:
    run = run_folder(tmp_path, TINY["trinet"][0])
    (run / "checkpoint.pt").unlink()
    (row,) = method_figures.trinet(method_figures.look_at(str(run), Path("disc"), Path("disc")))
    assert len(row) == CELLS["trinet"] - 1


def test_zero_is_white_and_signs_have_colours() -> None:
    field = method_figures.numbers(np.array([0.0, 5.0, -5.0, 0.0]))
    assert field.shape == (2, 2, 3)
    assert field[0, 0].tolist() == [255, 255, 255]
    assert field[0, 1, 0] > field[0, 1, 2]
    assert field[1, 0, 2] > field[1, 0, 0]
