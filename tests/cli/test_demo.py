"""The demo: it needs the weights and the motion file that ship, once they do."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from PIL import Image

import stillmotion.weights
from stillmotion.cli import demo, main
from stillmotion.session.motionfile import MotionClip
from tests.scene import Scene, pictures

SHIPPED = demo.DRIVING.is_file() and stillmotion.weights.DEFAULT in stillmotion.weights.shipped()
needs_weights = pytest.mark.skipif(not SHIPPED, reason="this checkout ships no weights or no example motion yet")


def test_the_portrait_ships_with_its_terms() -> None:
    with Image.open(demo.SOURCE) as image:
        assert image.size == (512, 512)
    text = (demo.EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert "public domain" in text
    assert demo.SOURCE.name in text
    assert demo.DRIVING.name in text


@needs_weights
def test_the_motion_was_read_by_the_weights_that_ship() -> None:
    MotionClip.open(demo.DRIVING).check_weights(stillmotion.load().spec)


@needs_weights
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-o", str(tmp_path / "demo.mp4")]) == 0
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("the same by hand: ")
    frames = len(pictures(tmp_path / "demo.mp4"))
    assert frames == len(MotionClip.open(demo.DRIVING))
    first = pictures(tmp_path / "demo.mp4")
    program, *words = shlex.split(line)
    assert program == "stillmotion"
    assert main(words) == 0
    again = pictures(tmp_path / "demo.mp4")  # a signature carries its time, so the bytes may differ
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_demo_with_other_weights(
    tmp_path: Path, tiny_bundle: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "DRIVING", tmp_path / "driving.safetensors")
    words = ["demo", "-o", str(tmp_path / "demo.mp4"), "--weights", str(tiny_bundle)]
    assert main(words) == 1
    assert capsys.readouterr().err.startswith("error: this copy of stillmotion ships no example motion")
    stillmotion.read_motion(scene.clip, demo.DRIVING, weights=tiny_bundle)
    assert main(words) == 0
    assert f"--weights {tiny_bundle}" in capsys.readouterr().out
