"""The examples: numbered, short, and they run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.scene import Scene, pictures

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_numbered_and_short() -> None:
    assert [path.stem[:2] for path in SCRIPTS] == [f"{index:02d}" for index in range(1, len(SCRIPTS) + 1)]
    for path in SCRIPTS:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, f"{path.name} is longer than 40 lines"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_they_run(path: Path, tmp_path: Path, tiny_bundle: Path, scene: Scene, capsys) -> None:
    output = tmp_path / "out.mp4"
    load(path).main(str(scene.picture), str(scene.clip), str(output), str(tiny_bundle))
    assert len(pictures(output)) == len(scene.frames)
    assert capsys.readouterr().out
