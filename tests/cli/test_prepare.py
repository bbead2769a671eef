"""`stillmotion prepare`: the three verbs as typed."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stillmotion.cli import main
from tests.scene import make_frame, write_clip


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("ann#1", "bob#1"):
        write_clip(folder / f"{name}.mp4", [make_frame(i) for i in range(4)], fps=Fraction(25))
    return folder


def test_folder(videos: Path, tmp_path: Path, capsys) -> None:
    words = ["prepare", "folder", str(videos), "-o", str(tmp_path / "set"), "--size", "32", "--workers", "0"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == {"train": 1, "test": 1}
    assert report["ok"]
    assert main(words) == 0
    assert "2 videos were done before" in capsys.readouterr().out
    assert main([*words, "--shape", "stretched"]) == 1
    assert "was begun with another shape: square, not stretched" in capsys.readouterr().err


def test_faces_where_nobody_is(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "dark"
    folder.mkdir()
    write_clip(folder / "dark.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2, fps=Fraction(25))
    words = ["prepare", "faces", str(folder), "-o", str(tmp_path / "set"), "--size", "32", "--workers", "0"]
    assert main([*words, "--face-model", "haar"]) == 1
    assert "no clip: 1 nobody found" in capsys.readouterr().out


def test_faces_with_annotations_look_for_nobody(videos: Path, tmp_path: Path, capsys) -> None:
    rows = ["video_id,start,end,bbox,fps,width,height,partition"]
    rows += ["ann#1,0,3,8-8-40-40,25,64,48,train", "gone,0,3,8-8-40-40,25,64,48,test", "ann#1,x,3,8-8-40-40,25,64,48,a"]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    words = ["prepare", "faces", str(videos), "-o", str(tmp_path / "set"), "--size", "32", "--workers", "0"]
    assert main([*words, "--annotations", str(tmp_path / "a.csv")]) == 0
    out = capsys.readouterr().out
    assert "train: 1 clips" in out
    assert "1 annotated clips have no video" in out
    assert "problem: gone: missing: there is no video gone (1 annotated clips)" in out
    assert "problem: line 4:" in out


def test_bodies_want_a_detector_or_boxes(videos: Path, tmp_path: Path, capsys) -> None:
    words = ["prepare", "bodies", str(videos), "-o", str(tmp_path / "set")]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "error: no detector of bodies comes with stillmotion" in err
    assert "--body-model FILE.onnx" in err
    assert main([*words, "--body-model", "none.onnx"]) == 1
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--overlap", "0"], "overlap 0.0 makes no sense"),
        (["--size", "33"], "size 33 makes no sense"),
        (["--least-frames", "0"], "least frames 0 makes no sense"),
        (["--least-side", "0"], "least side 0 makes no sense"),
        (["--test-share", "2"], "test share 2.0 makes no sense"),
        (["--workers", "-1"], "-1 workers make no sense"),
        (["--set", "taichi"], "taichi needs its annotations"),
        (["--annotations", "none.csv"], "annotations none.csv cannot be read"),
        (["--face-model", "none.onnx"], "face model none.onnx does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(videos: Path, tmp_path: Path, capsys, words: list[str], said: str) -> None:
    given = ["prepare", "faces", str(videos), "-o", str(tmp_path / "set"), *words]
    assert main(given if "--workers" in words else [*given, "--workers", "0"]) == 1
    assert f"error: {said}" in capsys.readouterr().err


def test_clips_beside_the_videos(videos: Path, capsys) -> None:
    for output in (videos, videos / "set"):
        assert main(["prepare", "folder", str(videos), "-o", str(output), "--workers", "0"]) == 1
        assert "lies in the folder of videos" in capsys.readouterr().err
    assert sorted(path.name for path in videos.iterdir()) == ["ann#1.mp4", "bob#1.mp4"]


def test_no_such_folder(tmp_path: Path, capsys) -> None:
    assert main(["prepare", "folder", str(tmp_path / "none"), "-o", str(tmp_path / "set")]) == 1
    assert "does not exist" in capsys.readouterr().err
