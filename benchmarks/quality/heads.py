"""What only heads-1 can tell: landmarks against the true ones, and the right answer to other people's motion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from quality.sets import heads_tasks
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import Method, Rendering
from stillmotion.data.worlds.benchmark import Task
from stillmotion.data.worlds.store import read_clip
from stillmotion.evaluate.protocol import Sample, answer, copying
from stillmotion.evaluate.providers import Detector, FindPoints
from stillmotion.evaluate.scores import landmark_scores
from stillmotion.prepare.resize import resize_frame
from stillmotion.session.faces import landmarks68

ENLARGED = 256
"""Side at which the landmark network sees a small frame."""


def open_finder() -> FindPoints:
    """Landmarks `(68, 2)` in pixels of a small frame, looked for in a large copy; equal frames are looked at once."""
    find = landmarks68(threads=1)
    seen: dict[bytes, np.ndarray | None] = {}

    def enlarged(frame: Frame) -> np.ndarray | None:
        key = frame.tobytes()
        if key not in seen:
            points = find(cv2.resize(frame, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC))
            seen[key] = None if points is None else points * (frame.shape[1] / ENLARGED)
        return seen[key]

    return enlarged


def detector(find: FindPoints) -> Detector:
    """The same as an instrument of `evaluate`."""
    return Detector(f"the landmark network of stillmotion on frames enlarged to {ENLARGED}", "faces", find)


def small_sample(bench: Path, task: Task, *, size: int) -> Sample:
    """One task of heads-1, `size` pixels wide and high; its truth is in units of the frame and stays."""
    target, truth = read_clip(bench, task.truth)
    driving = target if task.driving == task.truth else read_clip(bench, task.driving)[0]
    shrunk = [np.stack([resize_frame(frame, (size, size)) for frame in frames]) for frames in (driving, target)]
    index = np.arange(len(truth))
    return Sample(task.kind, f"{truth.person} {truth.motion}", shrunk[1][0], *shrunk, truth, index, ())


def score_heads(
    given: Callable[[Sample], Rendering], bench: Path, find: FindPoints, *, size: int, most: int
) -> dict[str, float]:
    """Landmark distance and faces found (reconstruction), L1 of animation: means over clips.

    Args:
        given: Answers a sample.
        bench: Where heads-1 was rendered.
        find: See `open_finder`.
        size: Of the frames, pixels.
        most: Tasks of each kind.
    """

    def normalised(frame: Frame) -> np.ndarray | None:
        points = find(frame)
        return None if points is None else points * 2 / size - 1

    found: dict[str, list[float]] = {}
    for task in heads_tasks("reconstruct", most) + heads_tasks("animate", most):
        sample = small_sample(bench, task, size=size)
        rendering = given(sample)
        if task.kind == "animate":
            values = {"animate_l1": float(np.abs(rendering.planes - to_planes(sample.target)).mean())}
        else:
            values = landmark_scores(rendering.frames, sample, normalised)
            values = {"landmark_distance": values.get("landmark_distance", np.nan), "found_true": values["found"]}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: float(np.nanmean(values)) for name, values in found.items() if np.isfinite(values).any()}


def score_method(method: Method, bench: Path, find: FindPoints, *, size: int, most: int) -> dict[str, float]:
    """Of a method."""
    return score_heads(lambda sample: answer(method, sample), bench, find, size=size, most=most)


def score_copying(bench: Path, find: FindPoints, *, size: int, most: int) -> dict[str, float]:
    """Of the source as it is."""
    return score_heads(copying, bench, find, size=size, most=most)


def score_truth(bench: Path, find: FindPoints, *, size: int, most: int) -> dict[str, float]:
    """Of the right answer: the landmark network's own error."""
    found = score_heads(lambda sample: Rendering(to_planes(sample.target), ()), bench, find, size=size, most=most)
    return {name: value for name, value in found.items() if name != "animate_l1"}
