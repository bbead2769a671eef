"""AKD, MKR, AED, Fréchet distance, warping error: formulas on fixed arrays, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import DataError
from stillmotion.evaluate.distances import aed_exact, aed_paper, akd_exact, akd_paper, mkr_exact, mkr_paper
from stillmotion.evaluate.frechet import WIDEST, frechet, frechet_interval
from stillmotion.evaluate.steadiness import StepFinder, warping_error

NAN = np.nan


def points(frames: int = 3, count: int = 68) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 256, (frames, count, 2))


def test_two_pixels_to_the_right() -> None:
    """The published script averages |dx| and |dy|: half of the distance."""
    truth = points()
    assert akd_exact(truth + np.array([2, 0]), truth) == pytest.approx(np.full(3 * 68, 2.0))
    assert akd_paper(truth + np.array([2, 0]), truth) == pytest.approx(np.full(3, 1.0))


def test_three_and_four_are_five() -> None:
    truth = points()
    assert akd_exact(truth + np.array([3, -4]), truth).mean() == pytest.approx(5)
    assert akd_paper(truth + np.array([3, -4]), truth).mean() == pytest.approx(3.5)


def test_a_frame_without_a_face_is_passed_over_on_paper_and_counted_exactly() -> None:
    truth = points(4)
    found = truth + np.array([2, 0])
    found[1] = NAN
    assert akd_paper(found, truth) == pytest.approx(np.full(3, 1.0))
    assert len(akd_exact(found, truth)) == 3 * 68
    assert mkr_exact(found, truth).mean() == pytest.approx(1 / 4)


def test_the_script_for_faces_stops_at_a_true_frame_without_one() -> None:
    truth = points(4)
    truth[2] = NAN
    with pytest.raises(DataError, match="true frame 2 shows no face"):
        akd_paper(points(4), truth)
    assert len(akd_paper(points(4), truth, kind="bodies")) == 3
    assert len(mkr_exact(points(4), truth)) == 3 * 68


def test_three_of_eighteen_joints_are_lost() -> None:
    truth = points(1, 18)
    found = truth.copy()
    found[0, [2, 5, 11]] = NAN
    assert mkr_paper(found, truth) == pytest.approx([3 / 18])
    assert mkr_exact(found, truth).mean() == pytest.approx(3 / 18)


def test_frames_weigh_alike_on_paper_and_joints_exactly() -> None:
    truth, found = points(3, 18), points(3, 18)
    truth[0, 2:] = NAN  # two joints, one of them lost
    found[0, 0] = NAN
    truth[2] = NAN  # nobody: not looked at
    assert mkr_paper(found, truth) == pytest.approx([1 / 2, 0])
    assert mkr_exact(found, truth).mean() == pytest.approx(1 / 20)


def test_joints_that_only_the_answer_has_do_not_count() -> None:
    truth = points(1, 18)
    truth[0, :17] = NAN
    assert akd_exact(points(1, 18) + np.array([0, 1]), truth) == pytest.approx([1])
    assert akd_paper(points(1, 18) + np.array([0, 1]), truth, kind="bodies") == pytest.approx([0.5])
    assert len(mkr_exact(points(1, 18), truth)) == 1


def test_embeddings_squared_on_paper() -> None:
    truth = np.zeros((2, 3))
    found = np.array([[1.0, 2, 2], [0, 0, 4]])
    assert aed_paper(found, truth) == pytest.approx([9, 16])
    assert aed_exact(found, truth) == pytest.approx([3, 4])


@pytest.mark.parametrize("score", [akd_paper, akd_exact, mkr_paper, mkr_exact, aed_paper, aed_exact])
def test_clips_of_different_length_are_refused(score) -> None:
    with pytest.raises(DataError, match="3 frames cannot be scored against 4") as caught:
        score(points(3), points(4))
    assert "nothing is cut to fit" in caught.value.hint


@pytest.mark.parametrize("score", [akd_paper, akd_exact, mkr_exact])
def test_other_layouts_are_refused(score) -> None:
    with pytest.raises(DataError, match="values a frame"):
        score(points(3, 68), points(3, 478))


def test_gaussians_apart_by_their_means() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4))
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-9)
    assert frechet(rows + np.array([3, 0, 4, 0]), rows) == pytest.approx(25)


def test_gaussians_apart_by_their_spread() -> None:
    """Isotropic: the sum of squared differences of the deviations."""
    rows = np.random.default_rng(0).normal(size=(60, 5))
    rows -= rows.mean(0)
    spread = (rows**2).sum() / 59
    assert frechet(3 * rows, rows) == pytest.approx(4 * spread)


@pytest.mark.parametrize("width", [3, 40])
def test_the_short_way_is_the_way_by_covariances(width: int) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 30, width))
    b = b[:20] * 1.5 + 0.3
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.maximum(np.linalg.eigvals(one @ two).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * root
    assert frechet(a, b) == pytest.approx(expected, rel=1e-5)


def test_frechet_needs_frames_of_one_network() -> None:
    with pytest.raises(DataError, match="not of one network"):
        frechet(np.zeros((5, 3)), np.zeros((5, 4)))
    with pytest.raises(DataError, match="two frames or more"):
        frechet(np.zeros((1, 3)), np.zeros((5, 3)))


def test_frechet_interval() -> None:
    truth = list(np.random.default_rng(0).normal(size=(6, 8, 3)))
    value, low, high = frechet_interval([clip + 1 for clip in truth], truth)  # type: ignore[misc]
    assert value == pytest.approx(3)
    assert low <= value <= high
    assert np.isnan(frechet_interval(truth[:1], truth[:1])[1])  # type: ignore[index]
    wide = [np.zeros((2, WIDEST + 1), np.float32)] * 2
    assert np.isnan(frechet_interval(wide, wide)[1])  # type: ignore[index]
    assert frechet_interval([], []) is None


def moving(shift: int) -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    waves = 120 + 60 * np.sin((x - shift) / 4) + 50 * np.sin((y + x - shift) / 7)
    return np.repeat(waves[..., None], 3, -1).astype(np.uint8)


def test_what_moves_with_the_truth_is_steady() -> None:
    step = StepFinder().find(moving(0), moving(2))
    assert step.kept.mean() > 0.7
    with_it = warping_error(moving(0), moving(2), step)
    standing = warping_error(moving(0), moving(0), step)
    flicker = warping_error(moving(0), moving(2) // 2, step)
    assert with_it < standing / 5
    assert with_it < flicker / 5


def test_no_flow_between_other_sizes() -> None:
    with pytest.raises(DataError, match="no flow between frames"):
        StepFinder().find(moving(0), moving(0)[:, :50])
