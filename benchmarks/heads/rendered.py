"""Pairs from rendered clips with the true flow, occlusion and landmarks (`stillmotion render heads`)."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from heads.marks import MIRRORED, Colours, anchored, face_weights, plane
from stillmotion.data.worlds.store import list_clips, read_clip
from stillmotion.data.worlds.truth import ClipTruth


class RenderedHeads:
    """A world of rendered clips. The folder is listed anew now and then, so that rendering can go on meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache: dict[int, tuple[np.ndarray, ClipTruth]] = {}
        self.indices: list[int] = []
        self.listed = 0.0

    def _clip(self, rng: np.random.Generator) -> tuple[np.ndarray, ClipTruth]:
        if time.monotonic() - self.listed > 60 or not self.indices:
            self.indices, self.listed = list_clips(self.folder), time.monotonic()
        index = self.indices[rng.integers(len(self.indices))]
        if index not in self.cache:
            self.cache[index] = read_clip(self.folder, index)
        return self.cache[index]

    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        """As `RealClips.sample`, with true `flow (64, 64, 2)`, `visible (64, 64)` in {0, 1}; `true` is 1."""
        frames, truth = self._clip(rng)
        source, driving = (int(i) for i in rng.integers(0, len(frames), 2))
        flow = truth.flow(driving, source)
        grid, visible = flow.grid.copy(), flow.occlusion.copy()
        points, seen = truth.landmarks[driving].copy(), truth.landmarks_visible[driving].copy()
        pair = [frames[source], frames[driving]]
        if rng.random() < 0.5:
            pair = [picture[:, ::-1] for picture in pair]
            grid, visible = grid[:, ::-1] * np.float32([-1, 1]), visible[:, ::-1]
            points, seen = points[MIRRORED] * np.float32([-1, 1]), seen[MIRRORED]
        look = Colours(rng)
        pair = [look(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)) for picture in pair]
        pixels = (points + 1) / 2 * size
        eyes = pixels[36:42].mean(0), pixels[42:48].mean(0)
        unit = max(float(np.linalg.norm(eyes[0] - eyes[1])), 0.15 * size)
        anchors, weights = anchored(points, seen)
        return {
            "source": plane(pair[0]),
            "driving": plane(pair[1]),
            "emphasis": face_weights(*eyes, pixels[48:].mean(0), unit, size)[None],
            "flow": np.ascontiguousarray(grid, np.float32),
            "visible": np.ascontiguousarray(visible, np.float32),
            "true": np.ones((), np.float32),
            "anchors": anchors,
            "anchor_weights": weights,
        }
