"""`stillmotion data check`: what it counts and what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stillmotion.core.errors import DataError
from stillmotion.data.check import check

from .conftest import moving_square, write_folder, write_strip


def kinds(root: Path) -> dict[str, str]:
    return {problem.where: problem.kind for problem in check(root).problems}


def test_a_clean_folder(tmp_path: Path) -> None:
    for part, name in (("train", "a#1"), ("train", "a#2"), ("test", "b#1")):
        write_strip(tmp_path / part / f"{name}.png", moving_square(4, side=64))
    seen: list[tuple[int, int]] = []
    report = check(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert report.problems == []
    assert report.clips == {"train": 2, "test": 1}
    assert report.frames == {"train": 8, "test": 4}
    assert report.identities == {"train": 1, "test": 1}
    assert report.sizes == {"64x64": 3}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "train: 2 clips, 8 frames, 1 identities" in report.text()
    assert report.text().endswith("ready to train")
    json.dumps(report.as_dict())


def test_every_problem_is_named(tmp_path: Path) -> None:
    train, test = tmp_path / "train", tmp_path / "test"
    good = moving_square(4, side=64)
    write_strip(train / "a#1.png", good)
    write_strip(test / "a#2.png", good)
    (train / "text.mp4").write_text("this is no video")
    write_strip(train / "one.png", good[:1])
    write_strip(train / "tiny.png", moving_square(3))
    write_strip(train / "still.png", np.stack([good[0], good[0]]))
    grey = np.repeat(good.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)
    write_strip(train / "grey.png", grey)
    (train / "readme.txt").write_text("notes")
    folder = write_folder(train / "mixed", good)
    write_folder(tmp_path / "spare", moving_square(1, side=80))
    (tmp_path / "spare" / "0.png").rename(folder / "9.png")
    found = kinds(tmp_path)
    assert found["text"] == "corrupt"
    assert found["one"] == "short"
    assert found["tiny"] == "tiny"
    assert found["still"] == "still"
    assert found["grey"] == "grey"
    assert found["mixed"] == "mixed sizes"
    assert found["a"] == "shared identity"
    assert found["train/readme.txt"] == "other file"
    assert all(problem.hint for problem in check(tmp_path).problems)


def test_severe_problems_come_first_and_cost_only_their_clip(strips: Path) -> None:
    (strips / "p0#0.png").write_bytes(b"no")
    report = check(strips)
    assert report.ok
    assert report.clips == {"all": 9}
    lines = [line for line in report.text().splitlines() if line.startswith(("problem:", "note:"))]
    assert lines[0].startswith("problem: corrupt: p0#0:")


def test_an_empty_folder_is_not_ready(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert not report.ok
    assert report.problems[0].kind == "empty"
    assert report.text().endswith("not ready: no usable clip")


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        check(tmp_path / "nowhere")


def test_published_shapes(shared: Path, tmp_path: Path) -> None:
    """The published strips, if they are here: 64², 32 frames."""
    (tmp_path / "train").mkdir()
    for source in sorted((shared / "datasets" / "shapes" / "train").iterdir())[:5]:
        (tmp_path / "train" / source.name).symlink_to(source)
    report = check(tmp_path)
    assert report.clips == {"train": 5}
    assert report.frames == {"train": 160}
    assert report.sizes == {"64x64": 5}
