"""The benchmark's scores on moving shapes, whose truth is exact and needs no assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stillmotion.core.errors import DataError
from stillmotion.core.flow import Flow, make_grid
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import MethodSpec, Rendering, State
from stillmotion.core.motion import Keypoints
from stillmotion.data.worlds.benchmark import Task, render_benchmark, shapes_1
from stillmotion.evaluate.flows import distance, flow_at, resample_flow, resample_occlusion
from stillmotion.evaluate.protocol import Sample, answer, check_rendered, copying, read_sample, true_warp
from stillmotion.evaluate.scores import MOUTH, SCORES, box_of, landmark_scores, score, shake
from stillmotion.evaluate.sheet import SIDE, sheet_row, sheet_titles, telling_frame

PAIR = next(task for task in shapes_1().tasks if task.kind == "animate")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes-1")
    render_benchmark(shapes_1(), folder)
    return folder


@pytest.fixture(scope="module")
def sample(shapes: Path) -> Sample:
    return read_sample(shapes, Task("reconstruct", 1, 1))


def perfect(sample: Sample) -> Rendering:
    return Rendering(to_planes(sample.target), sample.flows)


class Still:
    """A method that reads the mean colour as its motion and paints the source whatever it is asked."""

    engine = None

    def __init__(self, size: int = 64, modes: tuple[str, ...] = ("relative", "absolute")) -> None:
        self.spec = MethodSpec("still", "still", (size, size), "keypoints", modes, 1, "edges")  # type: ignore[arg-type]
        self.asked: list[Keypoints] = []

    def encode(self, sources: Sequence[Frame]) -> State:
        return {"source": sources[0]}

    def source_motion(self, state: State) -> Keypoints:
        return self.read(state["source"][None])[0]

    def read(self, frames: np.ndarray) -> list[Keypoints]:
        colours = frames.mean((1, 2)) / 255
        return [Keypoints(np.outer(c, [1.0, -1.0]) + np.eye(3, 2)) for c in colours]

    def render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        self.asked += motions
        return Rendering(np.repeat(to_planes(state["source"][None]), len(motions), 0), ())


def test_a_perfect_answer_has_perfect_scores(sample: Sample) -> None:
    known = {frame.tobytes(): points for frame, points in zip(sample.target, sample.truth.landmarks, strict=True)}
    got = score(perfect(sample), sample, find_landmarks=lambda frame: known[frame.tobytes()])
    assert got["l1"] == got["l1_visible"] == got["l1_disoccluded"] == 0
    assert got["psnr"] == 100
    assert got["ssim"] == pytest.approx(1)
    assert got["flow_error"] == 0
    assert got["occlusion_iou"] == 1
    assert got["landmark_distance"] == got["jitter"] == 0
    assert list(got) == [name for name in SCORES if name in got]


def test_copying_misses_by_the_length_of_the_true_flow(sample: Sample) -> None:
    got = score(copying(sample), sample)
    still = make_grid((64, 64), "edges")
    lengths = [np.linalg.norm(flow.grid - still, axis=2)[flow.occlusion > 0.5] * 32 for flow in sample.flows]
    assert got["flow_error"] == pytest.approx(np.concatenate(lengths).mean(), rel=1e-5)
    assert got["flow_error"] > 1
    assert got["occlusion_iou"] == 0
    assert "landmark_distance" not in got
    assert "l1_mouth" not in got


def test_warping_by_the_true_flow_is_right_where_the_source_shows_it(sample: Sample) -> None:
    warped, copied = score(true_warp(sample), sample), score(copying(sample), sample)
    assert warped["flow_error"] == 0
    assert warped["l1_visible"] < 0.4 * copied["l1_visible"]
    assert warped["l1"] < copied["l1"]


def test_regions_add_up_to_the_whole(sample: Sample) -> None:
    got = score(copying(sample), sample)
    share = np.mean([flow.occlusion for flow in sample.flows])
    assert share * got["l1_visible"] + (1 - share) * got["l1_disoccluded"] == pytest.approx(got["l1"], rel=1e-4)


def test_boxes_hold_the_mouth_and_nothing_else(sample: Sample) -> None:
    landmarks = np.zeros((len(sample.truth), 68, 2), np.float32) - 0.5
    landmarks[:, MOUTH] = 0.5
    face = replace(sample, truth=replace(sample.truth, landmarks=landmarks, landmarks_visible=landmarks[..., 0] > -2))
    planes = to_planes(sample.target)
    planes[:, :, 46:50, 46:50] = 1 - planes[:, :, 46:50, 46:50]
    got = score(Rendering(planes, ()), face)
    assert got["l1_eyes"] == 0
    assert got["l1_mouth"] > 10 * got["l1"] > 0
    assert box_of(landmarks[0, MOUTH], (64, 64)) == (slice(46, 50), slice(46, 50))
    assert box_of(np.full((2, 2), 3.0), (64, 64)) == (slice(63, 64), slice(63, 64))


def test_unsteady_landmarks_jitter_and_drifting_ones_do_not() -> None:
    drift = np.linspace(0, 0.5, 6)[:, None, None] * np.ones((1, 3, 2))
    assert shake(drift, frame=(64, 64)) == pytest.approx(0, abs=1e-9)
    unsteady = drift.copy()
    unsteady[::2, :, 0] += 1 / 32
    assert shake(unsteady, frame=(64, 64)) == pytest.approx(2)


def test_frames_without_a_face_are_counted_and_passed_over(sample: Sample) -> None:
    answers = iter([None, *sample.truth.landmarks[1:4], None, *sample.truth.landmarks[5:], *sample.truth.landmarks])
    got = landmark_scores(sample.target, sample, lambda frame: next(answers))
    assert got["found"] == 0.75
    assert got["landmark_distance"] == 0
    assert abs(got["jitter"]) < 2
    nothing = score(perfect(sample), sample, find_landmarks=lambda frame: None)
    assert nothing["found"] == 0
    assert "landmark_distance" not in nothing
    assert "jitter" not in nothing
    with pytest.raises(DataError, match=r"landmarks \(68, 2\) were found, the truth has \(4, 2\)"):
        landmark_scores(sample.target, sample, lambda frame: np.zeros((68, 2)))


def test_jitter_is_left_out_where_frames_are_skipped(shapes: Path) -> None:
    few = read_sample(shapes, Task("reconstruct", 0, 0), every=3)
    assert list(few.index) == [0, 3, 6]
    got = score(perfect(few), few, find_landmarks=lambda frame: few.truth.landmarks[0])
    assert "jitter" not in got
    assert got["landmark_distance"] > 0


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (20, 33)])
@pytest.mark.parametrize("convention", ["centers", "edges"])
def test_the_identity_stays_itself_at_any_size(size: tuple[int, int], convention: str) -> None:
    still = Flow(make_grid(size, convention), convention, np.ones(size, np.float32))  # type: ignore[arg-type]
    assert np.allclose(resample_flow(still, (48, 64), frame=(48, 64)), make_grid((48, 64), "edges"), atol=1e-6)
    occlusion = resample_occlusion(still, (48, 64), frame=(48, 64))
    assert occlusion is not None
    assert np.allclose(occlusion, 1)


def test_a_flow_of_two_pixels_is_two_pixels_in_either_convention() -> None:
    for convention, step in (("centers", 4 / 63), ("edges", 4 / 64)):
        flow = Flow(make_grid((16, 16), convention) + np.float32([step, 0]), convention)  # type: ignore[arg-type]
        points = np.array([[0.0, 0.0], [0.3, -0.6]], np.float32)
        assert distance(flow_at(flow, points, frame=(64, 64)), points, frame=(64, 64)) == pytest.approx(
            [2, 2], abs=1e-4
        )


def test_animate_starts_from_the_source_itself(shapes: Path) -> None:
    pair = read_sample(shapes, PAIR)
    assert (pair.driving[0] != pair.target[0]).any()
    assert (pair.source == pair.target[0]).all()
    method = Still()
    answer(method, pair)
    own = method.source_motion({"source": pair.source})
    assert np.array_equal(method.asked[0].value, own.value)
    assert len(method.asked) == len(pair.target)


def test_reconstruct_and_methods_without_relative_motion_take_it_as_it_is(shapes: Path, sample: Sample) -> None:
    for method, asked in ((Still(), sample), (Still(modes=("absolute",)), read_sample(shapes, PAIR))):
        given = answer(method, asked)
        assert np.array_equal(method.asked[3].value, method.read(asked.driving[3:4])[0].value)
        assert "flow_error" not in score(given, asked)


def test_another_frame_size_is_refused(sample: Sample) -> None:
    with pytest.raises(DataError, match=r"wants frames of \(32, 32\), the benchmark has \(64, 64\)"):
        answer(Still(size=32), sample)


def test_missing_and_mixed_up_clips_are_named(shapes: Path, tmp_path: Path) -> None:
    check_rendered(shapes_1(), shapes)
    with pytest.raises(DataError, match="lacks 12 of the 12 clips of shapes-1"):
        check_rendered(shapes_1(), tmp_path)
    with pytest.raises(DataError, match=r"clips 0 and 1 .* do not show the same motion"):
        read_sample(shapes, Task("animate", 0, 1))


def test_the_sheet_shows_everybody_at_the_frame_that_tells_most(sample: Sample) -> None:
    answers = {"a": copying(sample), "b": true_warp(sample)}
    row = sheet_row(sample, answers)
    assert row.shape == (SIDE, 7 * SIDE, 3)
    assert sheet_titles(answers).shape[1] == row.shape[1]
    assert telling_frame(sample) > 0


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
