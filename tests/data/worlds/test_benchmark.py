"""What benchmarks hold, and whether a rendering is the published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillmotion.cli import main
from stillmotion.core.errors import ConfigError, DataError
from stillmotion.data.worlds.benchmark import BENCHMARKS, HELD_OUT, find_benchmark, heads_1, render_benchmark
from stillmotion.data.worlds.manifest import compare, fingerprint, make_manifest, shipped_manifest
from stillmotion.data.worlds.shapes import make_shapes
from stillmotion.data.worlds.store import encode, list_clips, read_clip


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark") / "shapes-1"
    assert len(render_benchmark(find_benchmark("shapes-1"), folder)) == 12
    return folder


@pytest.mark.parametrize("name", BENCHMARKS)
def test_pairs_share_the_motion_and_nothing_else(name: str) -> None:
    benchmark = find_benchmark(name)
    pairs = [task for task in benchmark.tasks if task.kind == "animate"]
    for task in pairs:
        driver, truth = benchmark.clips[task.driving], benchmark.clips[task.truth]
        assert driver.motion == truth.motion
        assert driver.people != truth.people
    assert len({(benchmark.clips[t.driving].people, benchmark.clips[t.truth].people) for t in pairs}) == len(pairs)
    assert len({clip.motion for clip in benchmark.clips}) == len(benchmark.clips) - len(pairs)


def test_heads_1_shows_the_held_out_people_alone_and_blended() -> None:
    benchmark = heads_1()
    assert {name for clip in benchmark.clips for name in clip.people} == set(HELD_OUT)
    assert [task.kind for task in benchmark.tasks].count("reconstruct") == 18
    assert [task.kind for task in benchmark.tasks].count("animate") == 12
    assert sum(len(clip.people) == 2 for clip in benchmark.clips) == 6


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_shipped_manifest_is_of_this_benchmark(name: str) -> None:
    benchmark, manifest = find_benchmark(name), shipped_manifest(name)
    assert len(manifest["clips"]) == len(benchmark.clips)
    assert [(t["driving"], t["truth"]) for t in manifest["tasks"]] == [(t.driving, t.truth) for t in benchmark.tasks]
    for clip, shoot in zip(manifest["clips"], benchmark.clips, strict=True):
        assert clip["motion"].endswith(f"-{shoot.motion}")
        assert all(name in clip["person"] for name in shoot.people)
        assert clip["frames"] == benchmark.frames
    assert set(compare(manifest, manifest)) == {"same"}


def test_shapes_are_rendered_as_published(shapes: Path) -> None:
    assert list_clips(shapes) == list(range(12))
    verdicts = compare(make_manifest(find_benchmark("shapes-1"), shapes), shipped_manifest("shapes-1"))
    assert "other" not in verdicts
    assert render_benchmark(find_benchmark("shapes-1"), shapes) == []


@pytest.mark.parametrize("size", [64, 96])
def test_equal_frames_give_equal_files(size: int) -> None:
    frames, truth = make_shapes(5, frames=6, size=size)
    held, seen = [], set()
    for length in range(1, 25):
        held.append(np.random.default_rng(length).random(length * 999))  # moves what is allocated next
        seen.add(encode(frames, fps=truth.fps, quality=14))
    assert len(seen) == 1


def test_last_bits_are_close_and_another_picture_is_other(shapes: Path) -> None:
    published = make_manifest(find_benchmark("shapes-1"), shapes)
    frames, truth = read_clip(shapes, 3)

    def verdict(pictures: np.ndarray) -> str:
        clips = [*published["clips"]]
        clips[3] = fingerprint(pictures, truth)
        return compare(published | {"clips": clips}, published)[3]

    noise = np.random.default_rng(0).integers(-1, 2, frames.shape)
    assert verdict(frames) == "same"
    assert verdict(np.clip(frames + noise, 0, 255).astype(np.uint8)) == "close"
    assert verdict(frames[:, :, ::-1]) == "other"
    assert verdict(frames[1:]) == "other"


def test_a_manifest_of_something_else_is_refused() -> None:
    with pytest.raises(DataError, match="not a rendering of heads-1 as published"):
        compare(shipped_manifest("shapes-1"), shipped_manifest("heads-1"))


def test_unknown_names_and_missing_avatars_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no benchmark called 'faces'"):
        find_benchmark("faces")
    with pytest.raises(ConfigError, match="heads-1 is rendered from avatars"):
        render_benchmark(heads_1(), tmp_path)
    with pytest.raises(DataError, match="no manifest of 'faces'"):
        shipped_manifest("faces")


def test_the_command_renders_and_compares(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "benchmark", "shapes-1", "-o", str(shapes)]) == 0
    assert "as published: " in capsys.readouterr().out
    assert (shapes / "manifest.json").exists()
    assert main(["render", "benchmark", "heads-1", "-o", str(shapes / "heads")]) == 1
    assert "hint: give their folder: --avatars PATH" in capsys.readouterr().err
