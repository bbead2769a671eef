"""What is asked of a method on a rendered world, and what answers it: the method, or a baseline.

Source: the reconstruction protocol of Siarohin et al. 2019, section 4 (the source is frame 0, every
frame drives), and its cross-identity counterpart, which only a rendered world can score.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.core.flow import Flow, make_grid, warp
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import Method, Rendering
from stillmotion.core.motion import transfer
from stillmotion.data.worlds.benchmark import Benchmark, Task
from stillmotion.data.worlds.store import clip_paths, read_clip
from stillmotion.data.worlds.truth import ClipTruth
from stillmotion.evaluate.flows import resample_flow

BATCH = 8
"""Frames a method renders at a time."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One task with its material.

    Attributes:
        kind: `reconstruct` or `animate`.
        name: Who performs what, for tables.
        source: `uint8 (h, w, 3)`: frame 0 of the true clip.
        driving: `uint8 (t, h, w, 3)`; its frame 0 has the pose of the source.
        target: `uint8 (t, h, w, 3)`: what should come out.
        truth: Of the true clip.
        index: `(t,)` numbers of these frames in the clip.
        flows: True flow from each frame to the source.
    """

    kind: Literal["reconstruct", "animate"]
    name: str
    source: Frame
    driving: np.ndarray
    target: np.ndarray
    truth: ClipTruth
    index: np.ndarray
    flows: tuple[Flow, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Frame size `(h, w)`."""
        return self.source.shape[0], self.source.shape[1]


def read_sample(folder: str | Path, task: Task, *, every: int = 1) -> Sample:
    """Read what one task needs.

    Args:
        folder: Where the benchmark was rendered.
        task: Which.
        every: Take each `every`-th frame only, from frame 0 on.

    Raises:
        DataError: A clip is missing or damaged, or the two clips do not show the same motion.
    """
    target, truth = read_clip(folder, task.truth)
    driving, other = (target, truth) if task.driving == task.truth else read_clip(folder, task.driving)
    if other.motion != truth.motion or len(other) != len(truth):
        raise DataError(
            f"clips {task.driving} and {task.truth} in {folder} do not show the same motion",
            hint="render the benchmark again into an empty folder",
        )
    index = np.arange(0, len(truth), every)
    name = f"{truth.person} · {truth.motion}" + ("" if driving is target else f" of {other.person}")
    flows = tuple(truth.flow(int(frame), 0) for frame in index)
    return Sample(task.kind, name, target[0], driving[index], target[index], truth, index, flows)


def check_rendered(benchmark: Benchmark, folder: str | Path) -> None:
    """See that all clips of a benchmark are there.

    Raises:
        DataError: They are not.
    """
    gone = [index for index in range(len(benchmark.clips)) if not all(p.exists() for p in clip_paths(folder, index))]
    if gone:
        raise DataError(
            f"{folder} lacks {len(gone)} of the {len(benchmark.clips)} clips of {benchmark.name}",
            hint=f"stillmotion render benchmark {benchmark.name} -o {folder}",
        )


def answer(method: Method, sample: Sample) -> Rendering:
    """What a method makes of a sample.

    `reconstruct` takes the driving motion as it is. `animate` transfers it relative to driving
    frame 0, whose pose the source has; a method that offers no relative transfer takes it as it is.

    Raises:
        DataError: The frames have another size than the method's.
    """
    if tuple(method.spec.size) != sample.size:
        raise DataError(
            f"{method.spec.weights} wants frames of {method.spec.size}, the benchmark has {sample.size}",
            hint="score weights of the benchmark's frame size",
        )
    state = method.encode([sample.source])
    parts = [method.read(sample.driving[start : start + BATCH]) for start in range(0, len(sample.driving), BATCH)]
    motions = [motion for part in parts for motion in part]
    if sample.kind == "animate" and "relative" in method.spec.modes:
        own, rest = method.source_motion(state), motions[0]
        motions = [transfer(own, motion, rest, mode="relative") for motion in motions]
    renderings = [method.render(state, motions[start : start + BATCH]) for start in range(0, len(motions), BATCH)]
    return Rendering(
        np.concatenate([part.planes for part in renderings]), tuple(flow for part in renderings for flow in part.flows)
    )


def copying(sample: Sample) -> Rendering:
    """The source as it is: no motion, nothing hidden."""
    height, width = sample.size
    still = Flow(make_grid((height, width), "edges"), "edges", np.ones((height, width), np.float32))
    count = len(sample.target)
    return Rendering(np.repeat(to_planes(sample.source[None]), count, 0), (still,) * count)


def true_warp(sample: Sample) -> Rendering:
    """The source read where the true flow says, nothing invented: the bound of pure warping.

    Outside of the picture its edge is repeated.
    """
    height, width = sample.size
    limit = np.array([1 - 1 / width, 1 - 1 / height], np.float32)
    image = sample.source.astype(np.float32) / np.float32(255)
    planes = []
    for flow in sample.flows:
        points = resample_flow(flow, (height, width), frame=(height, width))
        inside = Flow(np.clip(points, -limit, limit), "edges")
        planes.append(warp(image, inside).transpose(2, 0, 1))
    return Rendering(np.stack(planes), sample.flows)
