"""Loading by name, bundle or checkpoint; the table; shipped weights."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stillmotion import methods, weights
from stillmotion.core.errors import ConfigError, MissingExtraError, WeightsError
from stillmotion.evaluate.candidates import Rebuilding, open_candidate
from stillmotion.evaluate.naming import find_weights
from stillmotion.methods.firstorder.method import FirstOrder
from stillmotion.runtime.bundle import sha256


@pytest.fixture
def shelf(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped weights with one bundle, `toy-faces`."""
    shutil.copytree(tiny_bundle, tmp_path / "shelf" / "toy-faces")
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "shelf")
    return tmp_path / "shelf"


def keep(bundle: Path, *names: str) -> None:
    """Reduce a bundle to some of its files."""
    for path in bundle.iterdir():
        if path.name not in ("model.json", *names):
            path.unlink()
    card = json.loads((bundle / "model.json").read_text())
    card["checksums"] = {name: sha256(bundle / name) for name in names}
    (bundle / "model.json").write_text(json.dumps(card))


def test_by_path_and_by_name(shelf: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.shipped() == ["toy-faces"]
    assert isinstance(methods.load(tiny_bundle), FirstOrder)
    assert methods.load("toy-faces").spec.weights == "tiny"
    assert methods.load(str(shelf / "toy-faces")).engine.name == "openvino"
    monkeypatch.setattr(weights, "DEFAULT", "toy-faces")
    assert methods.load().spec.weights == "tiny"


def test_a_shipped_name_means_the_shipped_weights_also_beside_a_folder_called_so(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy-faces").mkdir()
    assert methods.load("toy-faces").spec.weights == "tiny"
    for place in ("./toy-faces", Path("toy-faces")):
        with pytest.raises(WeightsError, match="toy-faces is not a weights bundle"):
            methods.load(place)
    assert find_weights("toy-faces") == "toy-faces"
    assert isinstance(open_candidate("toy-faces"), Rebuilding), "and not a folder of frames to be scored"


def test_a_misspelt_name_is_corrected(shelf: Path) -> None:
    with pytest.raises(WeightsError, match="no shipped weights called 'toy-face'") as caught:
        methods.load("toy-face")
    assert caught.value.hint == "did you mean 'toy-faces'?"
    with pytest.raises(WeightsError) as caught:
        methods.load("zzz")
    assert caught.value.hint == "there is toy-faces"


def test_weights_by_what_is_wanted_of_them(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.ALIASES, "fast", "toy-faces")
    assert weights.find("fast") == weights.find("toy-faces")
    with pytest.raises(WeightsError, match="called 'quality'"):
        weights.find("quality")


def test_no_shipped_weights_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=f"no shipped weights called '{weights.DEFAULT}'") as caught:
        methods.load()
    assert "ships no weights" in caught.value.hint


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no weights bundle at"):
        methods.load(tmp_path / "nothing")
    with pytest.raises(WeightsError, match=r"there is no weights bundle at missing\.pth\.tar"):
        methods.load("missing.pth.tar")


def test_a_run_stands_for_the_bundle_that_it_wrote(tmp_path: Path, tiny_bundle: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint.pt").touch()
    (run / "run.json").touch()
    with pytest.raises(WeightsError, match="holds no bundle, only a checkpoint"):
        methods.load(run)
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is what a training run goes on from") as caught:
        methods.load(run / "checkpoint.pt")
    assert caught.value.hint == "a run writes its weights when it ends"
    shutil.copytree(tiny_bundle, run / "bundle")
    assert methods.load(run).spec == methods.load(tiny_bundle).spec
    with pytest.raises(WeightsError) as caught:
        methods.load(str(run / "checkpoint.pt"))
    assert caught.value.hint == f"give the run: {run}"


def test_a_method_nobody_has(shelf: Path) -> None:
    card = shelf / "toy-faces" / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"method": "first-odor"}))
    with pytest.raises(WeightsError, match="weights for 'first-odor', a method that is not installed") as caught:
        methods.load("toy-faces")
    assert caught.value.hint == "did you mean 'first-order'?"


def test_unknown_engine_and_stray_config(tiny_bundle: Path) -> None:
    with pytest.raises(ConfigError, match="unknown engine 'cuda'"):
        methods.load(tiny_bundle, engine="cuda")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a bundle carries its own config"):
        methods.load(tiny_bundle, config="vox-256")


def test_auto_takes_what_the_bundle_has(shelf: Path) -> None:
    pytest.importorskip("torch", reason="the torch engine needs torch")
    assert methods.load("toy-faces").engine.name == "openvino"
    assert methods.load("toy-faces", device="cpu").engine.name == "torch"
    keep(shelf / "toy-faces", "network.safetensors")
    assert methods.load("toy-faces").engine.name == "torch"
    with pytest.raises(WeightsError, match="holds no exported stages, only tensors"):
        methods.load("toy-faces", engine="openvino")


def test_stages_alone_cannot_run_in_torch(shelf: Path) -> None:
    pytest.importorskip("torch", reason="the torch engine needs torch")
    keep(shelf / "toy-faces", "encode.onnx", "read.onnx", "render.onnx")
    assert methods.load("toy-faces").engine.name == "openvino"
    with pytest.raises(WeightsError, match="holds exported stages but no tensors") as caught:
        methods.load("toy-faces", engine="torch")
    assert "openvino" in caught.value.hint


def test_without_torch(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="this needs torch, which is not installed") as caught:
        methods.load("toy-faces", engine="torch")
    assert "stillmotion[train]" in caught.value.hint
    keep(shelf / "toy-faces", "network.safetensors")
    with pytest.raises(WeightsError, match="holds no exported stages, and torch, which could run its tensors"):
        methods.load("toy-faces")


def test_loading_and_running_does_not_import_torch(tiny_bundle: Path) -> None:
    script = """
import sys
sys.modules["torch"] = None
import numpy as np
from stillmotion.methods import load
method = load(sys.argv[1])
frame = np.zeros((32, 32, 3), np.uint8)
state = method.encode([frame])
assert method.render(state, method.read(frame[None])).frames.shape == (1, 32, 32, 3)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "done", done.stderr


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert methods.names() == ["few-shot", "first-order", "monkey-net", "trinet", "x2face"]
    assert methods.method_class("first-order") is FirstOrder
    with pytest.raises(ConfigError, match="there is no method called 'frist-order'") as caught:
        methods.method_class("frist-order")
    assert caught.value.hint == "did you mean 'first-order'?"

    point = importlib.metadata.EntryPoint("theirs", "decimal:Decimal", methods.GROUP)
    mine = importlib.metadata.EntryPoint("first-order", "decimal:Context", methods.GROUP)

    def entry_points(**options: Any) -> list[importlib.metadata.EntryPoint]:
        assert options == {"group": "stillmotion.methods"}
        return [point, mine]

    monkeypatch.setattr(methods, "entry_points", entry_points)
    assert methods.names() == ["few-shot", "first-order", "monkey-net", "theirs", "trinet", "x2face"]
    assert methods.method_class("theirs").__name__ == "Decimal"
    assert methods.method_class("first-order") is FirstOrder, "a package cannot replace a built-in method"
