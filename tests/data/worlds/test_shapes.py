"""The world of shapes: its truth is true, and needs no assets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillmotion.core.errors import DataError
from stillmotion.core.flow import make_grid, warp
from stillmotion.data.worlds.shapes import make_shapes, render_shapes
from stillmotion.data.worlds.store import list_clips, read_clip
from stillmotion.data.worlds.truth import pack_truth, read_truth


def shrink(mask: np.ndarray, pixels: int = 1) -> np.ndarray:
    """Leave out pixels next to an edge of the mask, where pictures are antialiased."""
    out = mask.copy()
    for axis in (0, 1):
        for step in range(-pixels, pixels + 1):
            out &= np.roll(mask, step, axis)
    return out


def psnr(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((first[mask].astype(float) - second[mask]) ** 2)))


@pytest.mark.parametrize("seed", range(4))
def test_warping_by_the_true_flow_shows_the_visible_pixels(seed: int) -> None:
    frames, truth = make_shapes(seed, size=96)
    flow = truth.flow(12, 2)
    assert flow.occlusion is not None
    kept = flow.occlusion > 0.5
    assert 0.3 < kept.mean() < 1.0
    assert psnr(warp(frames[2], flow), frames[12], shrink(kept)) > 34


def test_what_is_hidden_really_is_hidden() -> None:
    frames, truth = make_shapes(3, size=96)
    flow = truth.flow(12, 2)
    assert flow.occlusion is not None
    hidden = shrink(flow.occlusion < 0.5) & (np.abs(flow.grid) < 1).all(-1)
    assert psnr(warp(frames[2], flow), frames[12], hidden) < 25


def test_flow_to_itself_is_identity() -> None:
    _, truth = make_shapes(0)
    flow = truth.flow(4, 4)
    np.testing.assert_allclose(flow.grid, make_grid((64, 64), "edges"), atol=1e-5)
    assert flow.occlusion is not None
    assert flow.occlusion.all()


def test_other_shapes_perform_the_same_motion() -> None:
    first, a = make_shapes(1)
    second, b = make_shapes(2, motion=1)
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    assert (first != second).any()
    assert (a.person, b.person, b.motion) == ("shapes-1", "shapes-2", "paths-1")


def test_an_unknown_frame_is_refused() -> None:
    _, truth = make_shapes(0, frames=3)
    with pytest.raises(DataError, match="frames 0 to 2, not 3"):
        truth.flow(0, 3)


def test_truth_survives_the_disk(tmp_path: Path) -> None:
    _, truth = make_shapes(5)
    path = tmp_path / "truth.npz"
    path.write_bytes(pack_truth(truth))
    back = read_truth(path)
    before, after = truth.flow(9, 1), back.flow(9, 1)
    np.testing.assert_allclose(after.grid, before.grid, atol=3e-4)
    assert (after.occlusion == before.occlusion).mean() > 0.995
    np.testing.assert_array_equal(back.parts(3), truth.parts(3))
    np.testing.assert_array_equal(back.landmarks_visible, truth.landmarks_visible)


def test_damaged_truth_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="is not the truth of a rendered clip"):
        read_truth(path)


def test_sets_are_deterministic_and_resumable(tmp_path: Path) -> None:
    assert render_shapes(tmp_path / "a", clips=3, frames=4) == [0, 1, 2]
    assert render_shapes(tmp_path / "b", clips=2, frames=4) == [0, 1]
    for name in ("00000.mp4", "00000.npz", "00001.mp4", "00001.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "a" / "00001.npz").unlink()
    assert list_clips(tmp_path / "a") == [0, 2]
    assert render_shapes(tmp_path / "a", clips=3, frames=4) == [1]
    frames, truth = read_clip(tmp_path / "a", 1)
    assert frames.shape == (4, 64, 64, 3)
    assert len(truth) == 4
    assert not list((tmp_path / "a").glob(".*"))


def test_a_missing_clip_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_clip(tmp_path, 7)
