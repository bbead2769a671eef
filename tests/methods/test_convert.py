"""Converting published checkpoints: by every method that has some, with messages that name the method."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="checkpoints need torch")

from stillmotion import methods  # noqa: E402
from stillmotion.cli import main  # noqa: E402
from stillmotion.core.errors import ConfigError, WeightsError  # noqa: E402
from stillmotion.nn.checkpoint import read_checkpoint  # noqa: E402

PRESET = {"first-order": "shapes-64", "monkey-net": "monkey-shapes-64", "x2face": "x2face-256"}
"""Methods whose weights were published, and a preset of each."""


@pytest.mark.parametrize("name", methods.names())
def test_every_method_converts_or_says_that_nothing_was_published(name: str, tmp_path: Path) -> None:
    torch.save({"something": {"else": torch.zeros(1)}}, tmp_path / "other.pth")
    if name in PRESET:
        with pytest.raises(WeightsError, match=f"^other.pth is not a checkpoint of {name}: it has no ") as caught:
            methods.method_converter(name)(tmp_path / "other.pth", config=PRESET[name], output=tmp_path / "bundle")
        assert caught.value.hint == f"give one of {name}, or say which method this one is for"
    else:
        with pytest.raises(ConfigError, match=f"no published checkpoints of {name}") as refused:
            methods.method_converter(name)
        assert refused.value.hint.endswith("first-order, monkey-net, x2face")
    assert not (tmp_path / "bundle").exists()


def test_the_command_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    words = ["convert", str(tmp_path / "a.pth"), "--config", "few-shot-64", "-o", str(tmp_path / "b")]
    assert main([*words, "--method", "few-shot"]) == 1
    assert "error: there are no published checkpoints of few-shot to convert" in capsys.readouterr().err


def test_a_checkpoint_of_other_networks_where_no_method_is_named(tmp_path: Path) -> None:
    torch.save({"embedding": {"a": torch.zeros(1)}}, tmp_path / "run.pt")
    with pytest.raises(WeightsError, match=r"not a checkpoint for these networks: it has no generator \(it holds emb"):
        read_checkpoint(tmp_path / "run.pt", ("generator",))
