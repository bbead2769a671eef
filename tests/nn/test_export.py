"""Exported graphs hold the network and nothing else."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from stillmotion.nn.blocks import ResBlock
from stillmotion.nn.export import export_stage
from stillmotion.nn.rewrite import rewrite


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "stage.onnx"
    blocks = rewrite(nn.Sequential(ResBlock(32), ResBlock(32)))
    export_stage(blocks, {"x": torch.rand(1, 32, 16, 16)}, ["y"], path)
    return path


def test_no_trace_of_the_machine(written: Path) -> None:
    content = written.read_bytes()
    assert b".py" not in content
    assert str(Path(torch.__file__).parent).encode() not in content
    assert not any(node.metadata_props or node.doc_string for node in onnx.load(written).graph.node)


def test_winograd_is_stored_as_the_taps_it_is_made_from(written: Path) -> None:
    taps = 4 * 32 * 32 * 9 * 4
    assert taps < written.stat().st_size < 2 * taps  # four times as many factors are not stored
