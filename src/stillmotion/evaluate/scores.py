"""Scores of one answer on one sample, against everything that a rendered world knows.

A score that cannot be measured (no landmark network, no occlusion map, no face) is left out. All are
means over the clip; lengths are in pixels of the frame, colours in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor

from stillmotion.core.errors import DataError
from stillmotion.core.flow import Flow
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import Rendering
from stillmotion.evaluate import metrics
from stillmotion.evaluate.flows import distance, flow_at, resample_flow, resample_occlusion
from stillmotion.evaluate.lpips import Lpips
from stillmotion.evaluate.protocol import BATCH, Sample


@dataclass(frozen=True)
class Score:
    """What a column of the table means.

    Attributes:
        title: Head of the column.
        digits: After the point.
        meaning: One line.
        up: Whether more is better.
    """

    title: str
    digits: int
    meaning: str
    up: bool = False


SCORES = {
    "l1": Score("L1", 4, "mean absolute difference"),
    "psnr": Score("PSNR", 2, "dB, from the mean squared error of the clip", up=True),
    "ssim": Score("SSIM", 3, "structural similarity", up=True),
    "lpips": Score("LPIPS", 4, "learned perceptual distance, SqueezeNet, version 0.1, each third frame"),
    "l1_visible": Score("L1 visible", 4, "L1 where the source shows the same surface point"),
    "l1_disoccluded": Score("L1 disoccluded", 4, "L1 where it does not"),
    "l1_mouth": Score("L1 mouth", 4, "L1 in the box around the true landmarks of the mouth"),
    "l1_eyes": Score("L1 eyes", 4, "L1 in the box around those of the eyes"),
    "flow_error": Score("flow px", 2, "end-point error of the flow where the truth is visible"),
    "flow_error_landmarks": Score("flow px at landmarks", 2, "the same at the visible true landmarks alone"),
    "occlusion_iou": Score("occlusion IoU", 3, "overlap of what is invented with what is hidden", up=True),
    "landmark_distance": Score("landmarks px", 2, "landmarks found in the answer, to the true ones"),
    "found": Score("faces found", 3, "share of the frames in which they are found at all", up=True),
    "jitter": Score(
        "jitter px", 3, "second difference of landmarks beyond that in the true frames; below 0 is stiller"
    ),
}
"""All scores, in the order of the table."""

MOUTH, EYES = slice(48, 68), slice(36, 48)
"""Landmarks of the 68-point layout."""
PAD = 6 / 256
"""A box reaches this share of the frame's side beyond its landmarks."""

LPIPS_EVERY = 3
"""LPIPS, by far the dearest score, looks at each third frame of a clip."""

FindLandmarks: TypeAlias = Callable[[Frame], np.ndarray | None]
"""A frame `uint8 (h, w, 3)` to landmarks `float (k, 2)`, `edges`, in the layout of the truth; None: no face."""


def score(
    given: Rendering, sample: Sample, *, lpips: Lpips | None = None, find_landmarks: FindLandmarks | None = None
) -> dict[str, float]:
    """All scores that can be measured.

    Args:
        given: The answer to score.
        sample: What was asked.
        lpips: With its weights, or None.
        find_landmarks: Finds landmarks in frames, or None.

    Returns:
        Scores by name, in the order of `SCORES`.
    """
    target = to_planes(sample.target)
    found = _picture_scores(given.planes, target)
    if lpips is not None:
        few = np.unique(sample.index // LPIPS_EVERY, return_index=True)[1]
        found["lpips"] = _mean_of(lpips, given.planes[few], target[few])
    error = np.abs(given.planes - target).mean(1)
    found |= _region_scores(error, sample) | _box_scores(error, sample) | _flow_scores(given, sample)
    if find_landmarks is not None:
        found |= landmark_scores(given.frames, sample, find_landmarks)
    return {name: found[name] for name in SCORES if name in found and np.isfinite(found[name])}


def _picture_scores(planes: np.ndarray, target: np.ndarray) -> dict[str, float]:
    return {
        "l1": float(np.abs(planes - target).mean()),
        "psnr": float(-10 * np.log10(max(float(((planes - target) ** 2).mean()), 1e-10))),
        "ssim": _mean_of(metrics.ssim, planes, target),
    }


def _mean_of(measure: Callable[[Tensor, Tensor], Tensor], planes: np.ndarray, target: np.ndarray) -> float:
    """Mean of a torch metric over frames, a batch at a time."""
    ours, theirs = (torch.from_numpy(np.ascontiguousarray(array)).split(BATCH) for array in (planes, target))
    return float(torch.cat([measure(a, b) for a, b in zip(ours, theirs, strict=True)]).mean())


def _region_scores(error: np.ndarray, sample: Sample) -> dict[str, float]:
    """L1 by what the source shows; pixels of all frames count alike."""
    kept = np.stack([_enlarged(flow.occlusion, sample.size) for flow in sample.flows if flow.occlusion is not None])
    out = {}
    for name, mask in (("l1_visible", kept), ("l1_disoccluded", ~kept)):
        if mask.any():
            out[name] = float(error[mask].mean())
    return out


def _enlarged(occlusion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`bool (h, w)` of the frame's size."""
    return cv2.resize(occlusion, (size[1], size[0]), interpolation=cv2.INTER_NEAREST) > 0.5


def box_of(points: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the box around `edges` points `(k, 2)` in a frame of `size (h, w)`."""
    extent = np.array([size[1], size[0]], np.float64)
    pixels = (np.asarray(points, np.float64) + 1) / 2 * extent
    low = np.floor(np.clip(pixels.min(0) - PAD * extent, 0, extent - 1)).astype(int)
    high = np.ceil(np.clip(pixels.max(0) + PAD * extent, low + 1, extent)).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _box_scores(error: np.ndarray, sample: Sample) -> dict[str, float]:
    """L1 in the boxes of mouth and eyes; frames count alike."""
    landmarks = sample.truth.landmarks[sample.index]
    if landmarks.shape[1] != 68:
        return {}
    out = {}
    for name, part in (("l1_mouth", MOUTH), ("l1_eyes", EYES)):
        pairs = zip(error, landmarks[:, part], strict=True)
        out[name] = float(np.mean([frame[box_of(points, sample.size)].mean() for frame, points in pairs]))
    return out


def _flow_scores(given: Rendering, sample: Sample) -> dict[str, float]:
    """End-point errors and the overlap of occlusions; pixels of all frames count alike."""
    if len(given.flows) != len(sample.flows):
        return {}
    errors, marks, shared, either = [], [], 0.0, 0.0
    told = all(flow.occlusion is not None for flow in given.flows)
    for ours, true, frame in zip(given.flows, sample.flows, sample.index, strict=True):
        kept = true.occlusion > 0.5 if true.occlusion is not None else np.ones(true.size, bool)
        ends = resample_flow(ours, true.size, frame=sample.size)
        errors.append(distance(ends, true.grid, frame=sample.size)[kept])
        marks.append(_landmark_errors(ours, sample, int(frame)))
        invented = resample_occlusion(ours, true.size, frame=sample.size)
        if invented is not None:
            shared += float(((invented < 0.5) & ~kept).sum())
            either += float(((invented < 0.5) | ~kept).sum())
    out = {"flow_error": float(np.concatenate(errors).mean())}
    at_landmarks = np.concatenate(marks)
    if len(at_landmarks):
        out["flow_error_landmarks"] = float(at_landmarks.mean())
    if told and either:
        out["occlusion_iou"] = shared / either
    return out


def _landmark_errors(flow: Flow, sample: Sample, frame: int) -> np.ndarray:
    """Where the flow says a frame's landmarks come from, against where they are in the source."""
    truth = sample.truth
    seen = truth.landmarks_visible[frame] & truth.landmarks_visible[0]
    ends = flow_at(flow, truth.landmarks[frame][seen], frame=sample.size)
    return distance(ends, truth.landmarks[0][seen], frame=sample.size)


def landmark_scores(frames: np.ndarray, sample: Sample, find_landmarks: FindLandmarks) -> dict[str, float]:
    """Distance of found landmarks to the true ones, and jitter beyond the true frames'.

    Frames in which nothing is found count for neither; their share is told.

    Args:
        frames: `uint8 (t, h, w, 3)` to look at.
        sample: What was asked.
        find_landmarks: Finds landmarks in frames.

    Raises:
        DataError: The landmarks are not in the layout of the truth.
    """
    wanted = sample.truth.landmarks[sample.index]
    found = _find_all(frames, find_landmarks, wanted)
    seen = np.isfinite(found[:, 0, 0])
    out = {"found": float(seen.mean())}
    if seen.any():
        out["landmark_distance"] = float(distance(found[seen], wanted[seen], frame=sample.size).mean())
    if len(found) > 2 and (np.diff(sample.index) == 1).all():
        there = _find_all(sample.target, find_landmarks, wanted)
        out["jitter"] = shake(found, frame=sample.size) - shake(there, frame=sample.size)
    return out


def _find_all(frames: np.ndarray, find_landmarks: FindLandmarks, like: np.ndarray) -> np.ndarray:
    """Landmarks of all frames `(t, k, 2)`; not a number where no face is found."""
    out = np.full(like.shape, np.nan)
    for row, frame in zip(out, frames, strict=True):
        points = find_landmarks(frame)
        if points is not None and points.shape != row.shape:
            raise DataError(f"landmarks {points.shape} were found, the truth has {row.shape}", hint="use 68 points")
        row[:] = np.nan if points is None else points
    return out


def shake(points: np.ndarray, *, frame: tuple[int, int]) -> float:
    """Mean length of the second difference in time of `edges` points `(t, k, 2)`, in pixels.

    Frames that are not a number are passed over; not a number where fewer than three in a row are known.
    """
    second = np.diff(np.asarray(points, np.float64), n=2, axis=0)
    second = second[np.isfinite(second).all((1, 2))]
    return float(distance(second, np.zeros_like(second), frame=frame).mean()) if len(second) else float("nan")
