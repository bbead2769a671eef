"""What the pages tell people to type: every command parses, every Python block runs, every link leads somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import stillmotion.weights
from stillmotion.cli import VERBS
from stillmotion.cli.options import parse
from stillmotion.core import errors
from tests.scene import Scene

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> Iterator[str]:
    """Fenced blocks of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every `stillmotion` command line on every page, fenced or between backticks with its options."""
    found = []
    for page in PAGES:
        for block in blocks(page, "bash"):
            for part in re.split(r"&&|\n", block):
                words = shlex.split(part, comments=True)
                if words and words[0].rpartition("/")[2] == "stillmotion":
                    found.append(shlex.join(words[1:]))
                elif "-m" in words and words[words.index("-m") + 1] == "stillmotion":
                    found.append(shlex.join(words[words.index("-m") + 2 :]))
    return sorted(set(found))


def test_there_are_commands_for_every_verb() -> None:
    shown = {verb for verb in VERBS for line in commands() if line.startswith(verb)}
    assert shown | {"methods"} == set(VERBS)


@pytest.mark.parametrize("line", commands())
def test_every_command_parses(line: str) -> None:
    words = shlex.split(line)
    verb = next(verb for verb in sorted(VERBS, key=len, reverse=True) if words[: len(verb.split())] == verb.split())
    command = importlib.import_module(f"stillmotion.cli.{verb.replace(' ', '_')}").Command
    assert parse(command, verb=verb, words=words[len(verb.split()) :])


def python_blocks() -> list[object]:
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{index}")
        for page in PAGES
        for index, block in enumerate(blocks(page, "python"))
    ]


@pytest.fixture
def desk(tmp_path: Path, tiny_bundle: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with me.jpg and talking.mp4, and the tiny weights as if they shipped."""
    from PIL import Image

    shutil.copytree(tiny_bundle, tmp_path / "shipped" / stillmotion.weights.DEFAULT)
    monkeypatch.setattr(stillmotion.weights, "FOLDER", tmp_path / "shipped")
    folder = tmp_path / "desk"
    folder.mkdir()
    Image.open(scene.picture).save(folder / "me.jpg")
    shutil.copy(scene.clip, folder / "talking.mp4")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("code", python_blocks())
def test_every_python_block_runs(code: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "block", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_error_is_explained() -> None:
    text = (ROOT / "docs" / "how-to" / "errors.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    known = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    } - {"StillmotionError"}
    assert explained == known


def test_every_preset_is_on_the_page_of_its_method() -> None:
    from stillmotion.methods import names, presets

    assert [page.stem for page in sorted((ROOT / "docs" / "methods").glob("*.md"))] == names()
    for name in names():
        text = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
        assert set(re.findall(r"^\| `([\w-]+-\d+)` \|", text, re.MULTILINE)) == set(presets(name)), name


def test_ci_runs_the_second_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if line.startswith("python3 -m venv .venv-test ")]
    assert len(lines) == 1
    assert lines[0] in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "grep -m1 '^python3 -m venv .venv-test ' README.md" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_changelog_has_its_numbers() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.index("## Unreleased") < text.index("### Numbers")
