"""The command line: verbs, help, exit statuses, reports."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stillmotion
from stillmotion.cli import VERBS, main
from stillmotion.cli.settings import with_settings
from stillmotion.methods.firstorder.config import shapes_64
from stillmotion.session.motionfile import MotionClip
from tests.scene import NTSC, Scene, make_frame, pictures, write_clip


def test_help_lists_every_verb(capsys) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb, what in VERBS.items():
        assert f"  {verb} " in out
        assert what in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys) -> None:
    assert main([*verb.split(), "--help"]) == 0
    assert f"usage: stillmotion {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained(verb: str) -> None:
    from dataclasses import fields

    import docstring_parser

    command = importlib.import_module(f"stillmotion.cli.{verb.replace(' ', '_')}").Command
    explained = set()
    for kind in command.__mro__[:-1]:
        explained |= {param.arg_name for param in docstring_parser.parse_from_object(kind).params}
    assert {field.name for field in fields(command)} <= explained


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stillmotion {stillmotion.__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["animat"], ["there is no command 'animat'", "did you mean `stillmotion animate`?"]),
        (["data", "chek"], ["there is no command 'data chek'", "did you mean `stillmotion data check`?"]),
        (["xyzzy"], ["there is no command 'xyzzy'", "`stillmotion --help` lists the commands"]),
    ],
)
def test_unknown_commands(words: list[str], said: list[str], capsys) -> None:
    assert main(words) == 2
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == said


@pytest.mark.parametrize("words", [["animate"], ["animate", "a", "b"], ["read", "a", "--engine", "magic"], []])
def test_usage_errors(words: list[str], capsys) -> None:
    assert main(words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_animate_reports_in_a_line(tmp_path: Path, tiny_bundle: Path, scene: Scene, capsys) -> None:
    words = [str(scene.picture), str(scene.clip), "-o", str(tmp_path / "o.mp4"), "--weights", str(tiny_bundle)]
    assert main(["animate", *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"wrote {tmp_path / 'o.mp4'}: 6 frames at 29.97 fps, sound copied (")
    assert out.endswith("tiny in openvino)\n")
    assert len(pictures(tmp_path / "o.mp4")) == 6


def test_every_option_of_animate_at_once(tmp_path: Path, tiny_bundle: Path, scene: Scene, capsys) -> None:
    words = [str(scene.picture), str(scene.clip), "-o", str(tmp_path / "o.mp4"), "--weights", str(tiny_bundle)]
    words += ["--engine", "openvino", "--motion", "absolute", "--reference", "auto", "--crop", "none"]
    words += ["--crop-source", "10,10,50,50", "--crop-driving", "0,0,40,40", "--paste-back", "--side-by-side"]
    words += ["--smooth", "--show", "keypoints", "--json"]
    assert main(["animate", *words]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (report["crop_source"], report["crop_driving"]) == ("10,10,50,50", "0,0,40,40")
    assert (report["frames"], report["motion"], report["fps"]) == (6, "absolute", str(NTSC))
    assert report["size"] == [80, 2 * 96 + 80]
    assert "error" not in err


def test_read_then_animate(tmp_path: Path, tiny_bundle: Path, scene: Scene, capsys) -> None:
    motion, weights = tmp_path / "m.safetensors", ["--weights", str(tiny_bundle)]
    assert main(["read", str(scene.clip), "-o", str(motion), *weights, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 6
    assert len(MotionClip.open(motion)) == 6
    assert main(["animate", str(scene.picture), str(motion), "-o", str(tmp_path / "o.gif"), *weights]) == 0
    assert len(pictures(tmp_path / "o.gif")) == 6


def test_methods(capsys) -> None:
    assert main(["methods"]) == 0
    assert "first-order: presets bair-256, compact-256" in capsys.readouterr().out
    assert main(["methods", "--json"]) == 0
    assert "vox-256" in json.loads(capsys.readouterr().out)["methods"]["first-order"]


def test_data_check_says_whether_training_can_start(tmp_path: Path, scene: Scene, capsys) -> None:
    write_clip(tmp_path / "a.mp4", scene.frames)
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "ready to train" in capsys.readouterr().out
    (tmp_path / "a.mp4").unlink()
    assert main(["data", "check", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_export_gives_a_bundle_its_stages(tmp_path: Path, tiny_bundle: Path, capsys) -> None:
    assert main(["export", str(tiny_bundle), "-o", str(tmp_path / "light"), "--keep", "stages", "--name", "light"]) == 0
    assert "wrote" in capsys.readouterr().out
    card = json.loads((tmp_path / "light" / "model.json").read_text())
    ours = json.loads((tiny_bundle / "model.json").read_text())
    assert card["name"] == "light"
    assert card["fingerprint"] == ours["fingerprint"]
    assert sorted(path.suffix for path in (tmp_path / "light").iterdir()) == [".json", ".onnx", ".onnx", ".onnx"]


def test_convert_a_published_checkpoint(tmp_path: Path, tiny, networks_of, capsys, monkeypatch) -> None:
    torch = pytest.importorskip("torch", reason="converting needs torch")
    from stillmotion.methods.firstorder import config

    monkeypatch.setitem(config.PRESETS, "tiny", lambda: tiny)
    checkpoint = tmp_path / "tiny.pth.tar"
    torch.save({name: network.state_dict() for name, network in networks_of(tiny).items()}, checkpoint)
    words = ["convert", str(checkpoint), "--config", "tiny", "-o", str(tmp_path / "bundle"), "--keep", "tensors"]
    assert main(words) == 0
    assert f"--weights {tmp_path / 'bundle'}" in capsys.readouterr().out
    words[3] = "tny"
    assert main(words) == 1
    assert "hint: did you mean 'tiny'?" in capsys.readouterr().err


def test_settings_change_a_preset() -> None:
    changed = with_settings(shapes_64(), ("training.batch=4", "training.scales=[1.0]", "name=mine"))
    assert (changed.training.batch, changed.training.scales, changed.name) == (4, (1.0,), "mine")
    assert with_settings(shapes_64(), ()) == shapes_64()


@pytest.mark.parametrize(
    ("setting", "message", "hint"),
    [
        ("training.bach=4", "--set: unknown config field 'training.bach'", "did you mean 'batch'?"),
        ("training.batch=many", "--set: training.batch:", "correct"),
        ("batch", "cannot set 'batch'", "write part.field=value"),
        ("nothing.batch=1", "cannot set 'nothing.batch=1'", "write part.field=value"),
    ],
)
def test_settings_that_fit_nothing(setting: str, message: str, hint: str) -> None:
    with pytest.raises(stillmotion.ConfigError) as caught:
        with_settings(shapes_64(), (setting,))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import stillmotion.cli.train as verb

    def refuse(_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(verb.Command, "run", refuse)
    assert main(["train", "shapes-64", "--data", "d", "-o", "r"]) == 1
    err = capsys.readouterr().err
    assert err == ("error: this command needs torch, which is not installed\nhint: pip install 'stillmotion[train]'\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import stillmotion.cli.methods as verb

    def broken(_: object) -> None:
        raise TypeError("planted")

    monkeypatch.setattr(verb.Command, "run", broken)
    with pytest.raises(TypeError, match="planted"):
        main(["methods"])


def test_debug_shows_where_an_error_came_from(tmp_path: Path, tiny_bundle: Path, scene: Scene) -> None:
    words = [str(tmp_path / "none.png"), str(scene.clip), "-o", str(tmp_path / "o.mp4"), "--weights", str(tiny_bundle)]
    with pytest.raises(stillmotion.ImageError):
        main(["animate", *words, "--debug"])


def interrupt(room: Path, words: list[str], number: int) -> tuple[int, str]:
    """Exit status and words of a command that gets a signal once its file has begun to grow in `room`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stillmotion", *words],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background job ignores SIGINT
    )
    partial, deadline = room / "o.partial.mp4", time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert partial.exists()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, err


@pytest.fixture
def long_job(tmp_path: Path, tiny_bundle: Path, scene: Scene) -> tuple[Path, list[str]]:
    """A folder, and the words that animate a long clip into it."""
    clip = write_clip(tmp_path / "long.mp4", [make_frame(index % 9) for index in range(1000)])
    room = tmp_path / "room"
    room.mkdir()
    return room, ["animate", str(scene.picture), str(clip), "-o", str(room / "o.mp4"), "--weights", str(tiny_bundle)]


def test_ctrl_c_exits_130_and_leaves_a_playable_file(long_job: tuple[Path, list[str]]) -> None:
    room, words = long_job
    status, err = interrupt(room, words, signal.SIGINT)
    assert status == 130, err
    assert err.splitlines()[0] == "error: stopped"
    assert err.splitlines()[1].startswith("hint: the ")
    assert err.rstrip().endswith("o.partial.mp4")
    assert [path.name for path in room.iterdir()] == ["o.partial.mp4"]
    assert pictures(room / "o.partial.mp4")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_kill_leaves_no_half_file(long_job: tuple[Path, list[str]], name: str) -> None:
    room, words = long_job
    number = getattr(signal, name)
    status, err = interrupt(room, words, number)
    assert status == 128 + number, err
    assert list(room.iterdir()) == []


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m stillmotion --help | head -c 1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert "Traceback" not in done.stderr


def test_rendered_shapes_can_be_trained_on(tmp_path: Path, capsys) -> None:
    assert main(["render", "shapes", "-o", str(tmp_path / "shapes"), "--clips", "4", "--frames", "6"]) == 0
    assert "rendered 4 clips" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "shapes")]) == 0
    assert "4" in capsys.readouterr().out
