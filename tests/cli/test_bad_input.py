"""Bad input: one `error:` line, one `hint:` line, exit 1, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import stillmotion.weights
from stillmotion.cli import main
from stillmotion.runtime.bundle import sha256
from stillmotion.video.containers import EncodedClip
from tests.scene import Scene


@pytest.fixture
def refuse(tmp_path: Path, tiny_bundle: Path, scene: Scene, capsys) -> Callable[..., tuple[str, str]]:
    """`refuse(source=..., driving=..., ...)`: animate must refuse; returns its error and its hint."""
    room = tmp_path / "room"
    room.mkdir()

    def run(*more: str, **changes: Any) -> tuple[str, str]:
        given = {"source": scene.picture, "driving": scene.clip, "output": room / "out.mp4", "weights": tiny_bundle}
        given |= changes
        words = [str(given["source"]), str(given["driving"]), "-o", str(given["output"])]
        status = main(["animate", *words, "--weights", str(given["weights"]), *more])
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line]
        assert status == 1
        assert out == ""
        assert [line.partition(":")[0] for line in lines] == ["error", "hint"], err
        assert not list(room.iterdir()), "something half-written was left"
        return lines[0].removeprefix("error: "), lines[1].removeprefix("hint: ")

    return run


def altered(bundle: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a bundle with another card."""
    copy = shutil.copytree(bundle, folder)
    card = json.loads((copy / "model.json").read_text())
    change(card)
    (copy / "model.json").write_text(json.dumps(card))
    return copy


def test_corrupt_clip(tmp_path: Path, refuse, scene: Scene) -> None:
    clip = tmp_path / "corrupt.mp4"
    data = bytearray(scene.clip.read_bytes())
    data[32:] = bytes(255 - byte for byte in data[32:])
    clip.write_bytes(data)
    error, hint = refuse(driving=clip)
    assert error.startswith(f"{clip} is not a video that can be read")
    assert "convert it to mp4" in hint


def test_clip_whose_frames_are_corrupt(tmp_path: Path, refuse, scene: Scene) -> None:
    clip = tmp_path / "corrupt.mp4"
    data = bytearray(scene.clip.read_bytes())
    start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    clip.write_bytes(data)
    error, hint = refuse(driving=clip)
    assert "no frame that can be decoded" in error
    assert "damaged" in hint


def test_empty_clip(tmp_path: Path, refuse) -> None:
    (tmp_path / "empty.mp4").touch()
    error, hint = refuse(driving=tmp_path / "empty.mp4")
    assert error == f"{tmp_path / 'empty.mp4'} is empty (0 bytes)"
    assert hint == "copy or download it again"


def test_text_file_named_mp4(tmp_path: Path, refuse) -> None:
    (tmp_path / "notes.mp4").write_text("dear diary\n" * 50)
    error, hint = refuse(driving=tmp_path / "notes.mp4")
    assert "notes.mp4 is not a video that can be read" in error
    assert "play it in another program" in hint


def test_one_pixel(tmp_path: Path, refuse) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    error, hint = refuse(source=tmp_path / "dot.png")
    assert error.endswith("dot.png is 1 × 1 pixels, too small to animate")
    assert "at least 16 pixels" in hint


def test_twenty_thousand_pixels(tmp_path: Path, refuse) -> None:
    Image.new("L", (20_000, 20)).save(tmp_path / "wide.png")
    error, hint = refuse(source=tmp_path / "wide.png")
    assert error.endswith("wide.png is 20000 × 20 pixels: too large")
    assert "at most 16384 pixels" in hint


@pytest.mark.parametrize(("which", "option"), [("source", "--crop-driving"), ("driving", "--crop-source")])
def test_no_face(tmp_path: Path, refuse, tiny_bundle: Path, which: str, option: str) -> None:
    wants_faces = altered(tiny_bundle, tmp_path / "faces", lambda card: card.update(crop={"kind": "face", "margin": 2}))
    error, hint = refuse(option, "none", weights=wants_faces)
    assert error.startswith(f"no face found in the {which}")
    assert "--crop none" in hint


def test_one_frame(refuse, scene: Scene) -> None:
    error, hint = refuse(driving=scene.picture)
    assert error == "the driving clip has one frame, so nothing moves"
    assert hint == "give a clip of two frames or more"


def test_missing_folder(tmp_path: Path, refuse) -> None:
    error, hint = refuse(output=tmp_path / "nowhere" / "out.mp4")
    assert error == f"the folder {tmp_path / 'nowhere'} does not exist, so out.mp4 cannot be written there"
    assert hint == f"create it first: mkdir -p {tmp_path / 'nowhere'}"


def test_unwritable_folder(tmp_path: Path, refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root may write anywhere, so the system's answer is played

        def deny(path: Path, *_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(Path, "touch", deny)
    error, hint = refuse(output=folder / "out.mp4")
    assert error == f"no permission to write {folder / 'out.mp4'}"
    assert hint == "write to a folder that you own"
    assert not list(folder.iterdir())


def test_full_disk(tmp_path: Path, refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = EncodedClip.write, iter(range(100))

    def fill(*args: Any) -> None:
        if next(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*args)

    monkeypatch.setattr(EncodedClip, "write", fill)
    error, hint = refuse()
    assert error.startswith("the disk is full:")
    assert hint == "free some space or write to another disk; nothing was left behind"


def test_weights_for_another_method(tmp_path: Path, refuse, tiny_bundle: Path) -> None:
    other = altered(tiny_bundle, tmp_path / "other", lambda card: card.update(method="first-ordr"))
    error, hint = refuse(weights=other)
    assert error == "other holds weights for 'first-ordr', a method that is not installed"
    assert hint == "did you mean 'first-order'?"


def test_nan_in_weights(tmp_path: Path, refuse, tiny_bundle: Path) -> None:
    def resign(card: dict[str, Any]) -> None:
        path = tmp_path / "broken" / "network.safetensors"
        tensors = load_file(path)
        name = "kp_detector.kp.weight"
        tensors[name] = np.full_like(tensors[name], np.nan)
        save_file(tensors, path)
        card["checksums"]["network.safetensors"] = sha256(path)

    error, hint = refuse(weights=altered(tiny_bundle, tmp_path / "broken", resign))
    assert error == "broken holds NaN or infinity in kp_detector.kp.weight"
    assert "use other weights" in hint


def test_misspelt_weights(tmp_path: Path, refuse, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "shipped" / "grid-compact")
    monkeypatch.setattr(stillmotion.weights, "FOLDER", tmp_path / "shipped")
    error, hint = refuse(weights="grid-compct")
    assert error == "there are no shipped weights called 'grid-compct'"
    assert hint == "did you mean 'grid-compact'?"


def test_missing_files(tmp_path: Path, refuse) -> None:
    error, hint = refuse(source=tmp_path / "me.jpg")
    assert error == f"there is no file {tmp_path / 'me.jpg'}"
    assert hint == "check the path"
    error, _ = refuse(driving=tmp_path / "me.mp4")
    assert error == f"there is no file or folder {tmp_path / 'me.mp4'}"
    error, _ = refuse(weights=tmp_path / "bundle")
    assert error == f"there is no weights bundle at {tmp_path / 'bundle'}"


def test_picture_and_clip_swapped(refuse, scene: Scene) -> None:
    error, hint = refuse(source=scene.clip, driving=scene.picture)
    assert error == f"{scene.clip} is not an image that can be read"
    assert "PNG" in hint


def test_options_that_make_no_sense(refuse) -> None:
    assert refuse("--crop", "left")[0] == "crop 'left' is neither auto, none nor x,y,w,h"
    assert refuse("--fps", "fast")[0] == "fps 'fast' is no frame rate"
    assert refuse("--reference", "99")[0] == "the driving clip has no frame 99 to take as reference"
    assert refuse("--face-model", "nowhere.onnx")[0] == "face model nowhere.onnx does not exist"


def test_unknown_kind_of_output(tmp_path: Path, refuse) -> None:
    error, hint = refuse(output=tmp_path / "room" / "out.avi")
    assert ".avi" in error
    assert ".mp4" in hint


def test_a_checkpoint_in_place_of_a_bundle(tmp_path: Path, refuse) -> None:
    (tmp_path / "vox.pth.tar").write_text("<html>quota exceeded</html>")
    error, hint = refuse(weights=tmp_path / "vox.pth.tar")
    assert "vox.pth.tar" in error
    assert hint
