"""The reconstruction protocol, with a method whose every answer is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stillmotion.core.errors import ConfigError, DataError, OutputError
from stillmotion.core.flow import Flow, make_grid
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import MethodSpec, Rendering, State
from stillmotion.core.motion import Keypoints
from stillmotion.data.clips import select_clips
from stillmotion.evaluate.reconstruct import reconstruct

SIDE = 16


class Brightness:
    """Keypoint = the driving frame's level; renders a flat picture of that level, off by `error`."""

    def __init__(self, *, error: float = 0.0) -> None:
        self.spec = MethodSpec("brightness", "none", (SIDE, SIDE), "keypoints", ("absolute",), 1, "centers")
        self.error = error
        self.sources: list[Frame] = []
        self.driven = 0

    def encode(self, sources: Sequence[Frame]) -> State:
        self.sources += sources
        return {"source": to_planes(np.stack(sources))}

    def source_motion(self, state: State) -> Keypoints:
        return Keypoints(np.zeros((1, 2)))

    def read(self, frames: np.ndarray) -> list[Keypoints]:
        self.driven += len(frames)
        return [Keypoints(np.full((1, 2), frame.mean() / 255)) for frame in frames]

    def render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        planes = np.stack([np.full((3, SIDE, SIDE), m.value[0, 0] + self.error, np.float32) for m in motions])
        return Rendering(planes, (Flow(make_grid((4, 4), "centers"), "centers"),) * len(motions))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three test clips of 3, 10 and 2 flat frames; frame i has level 20·i."""
    folder = tmp_path / "clips" / "test"
    (tmp_path / "clips" / "train").mkdir(parents=True)
    folder.mkdir()
    for name, count in (("a", 3), ("b", 10), ("c", 2)):
        frames = [np.full((SIDE, SIDE, 3), 20 * i, np.uint8) for i in range(count)]
        Image.fromarray(np.concatenate(frames, axis=1)).save(folder / f"{name}.png")
    return tmp_path / "clips"


def test_a_perfect_method(data: Path) -> None:
    report = reconstruct(Brightness(), data)
    assert report.mean()["l1"] == pytest.approx(0, abs=1e-7)
    assert (len(report.clips), report.frames) == (3, 15)


def test_frame_zero_is_the_source_and_drives_too(data: Path) -> None:
    method = Brightness()
    reconstruct(method, data)
    assert method.driven == 15
    assert [int(source.max()) for source in method.sources] == [0, 0, 0]


def test_scores_are_means_over_all_frames_of_all_clips(data: Path) -> None:
    """Not means of clip means: a long clip weighs more, as published."""
    report = reconstruct(Brightness(error=0.01), data)
    assert report.mean()["l1"] == pytest.approx(0.01, rel=1e-4)
    levels = [20 * i / 255 for count in (3, 10, 2) for i in range(count)]
    assert report.mean("copying")["l1"] == pytest.approx(np.mean(levels), rel=1e-5)


def test_l1_is_taken_before_quantisation(data: Path) -> None:
    report = reconstruct(Brightness(error=0.0007), data)
    assert report.mean()["l1"] == pytest.approx(0.0007, rel=1e-3)


@pytest.mark.parametrize("videos", [1, 2, 3])
def test_n_videos_are_n_videos(data: Path, videos: int) -> None:
    """The published loop breaks on `it > num_videos` and so processes one more."""
    seen: list[tuple[int, int]] = []
    report = reconstruct(Brightness(), data, videos=videos, progress=lambda *at: seen.append(at))
    assert len(report.clips) == videos
    assert seen[-1] == (videos, videos)


def test_long_clips_are_scored_whole(data: Path) -> None:
    frames = [np.full((SIDE, SIDE, 3), i % 250, np.uint8) for i in range(1030)]
    Image.fromarray(np.concatenate(frames, axis=1)).save(data / "test" / "long.png")
    assert max(clip.frames for clip in reconstruct(Brightness(), data).clips) == 1030


def test_what_cannot_be_measured_is_said(data: Path) -> None:
    text = reconstruct(Brightness(error=0.01), data).text()
    assert "LPIPS: not measured (no weights given)" in text
    assert "MS-SSIM: not measured (needs 161 pixels a side, the frames have 16)" in text
    assert "copying the source" in text
    assert "0.0100" in text


def test_report_file(data: Path, tmp_path: Path) -> None:
    reconstruct(Brightness(error=0.01), data, output=tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["mean"]["method"]["l1"] == pytest.approx(0.01, rel=1e-4)
    assert set(content["mean"]["method"]) == {"l1", "psnr", "ssim"}
    assert [clip["name"] for clip in content["clips"]] == ["a", "b", "c"]
    assert content["protocol"] == "reconstruct"
    assert not list(tmp_path.glob("*partial*"))


def test_a_broken_clip_costs_only_itself(data: Path) -> None:
    (data / "test" / "b.png").write_bytes(b"no picture")
    report = reconstruct(Brightness(), data)
    assert [clip.name for clip in report.clips] == ["a", "c"]
    assert list(report.skipped) == ["b"]
    assert "skipped b:" in report.text()


def test_nothing_to_score_is_an_error(data: Path) -> None:
    for clip in select_clips(data, "test"):
        clip.path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no clip of .* could be scored"):
        reconstruct(Brightness(), data)


def test_frames_are_fitted_to_the_method(tmp_path: Path) -> None:
    wide = np.full((40, 3 * 60, 3), 99, np.uint8)
    (tmp_path / "test").mkdir()
    (tmp_path / "train").mkdir()
    folder = tmp_path / "test" / "clip"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(wide[:, :60]).save(folder / f"{i}.png")
    method = Brightness()
    reconstruct(method, tmp_path)
    assert method.sources[0].shape == (SIDE, SIDE, 3)


def test_lpips_joins_the_table(data: Path) -> None:
    class Constant(torch.nn.Module):
        def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return torch.full((len(prediction),), 0.25)

    report = reconstruct(Brightness(), data, lpips=Constant())  # type: ignore[arg-type]
    assert report.mean()["lpips"] == pytest.approx(0.25)
    assert "LPIPS: not measured" not in report.text()


def test_what_cannot_come_to_a_report_is_refused_before_the_first_clip(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 clips make no score"):
        reconstruct(Brightness(), data, videos=0)
    seen: list[int] = []
    with pytest.raises(OutputError, match=r"the folder .*none does not exist"):
        reconstruct(Brightness(), data, output=tmp_path / "none" / "r.json", progress=lambda done, _: seen.append(done))
    assert seen == []
