"""Pictures to judge by eye: source, driving, truth, answers, and where the answers are wrong."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from stillmotion.core.frame import Frame
from stillmotion.core.method import Rendering
from stillmotion.evaluate.protocol import Sample

SIDE = 128
"""Side of a picture on the sheet."""
GAIN = 3.0
"""Errors are shown this many times as large."""
_HEAD = 18


def telling_frame(sample: Sample) -> int:
    """The frame that differs most from the source."""
    gap = np.abs(sample.target.astype(np.float32) - sample.source).mean((1, 2, 3))
    return int(gap.argmax())


def sheet_row(sample: Sample, answers: Mapping[str, Rendering]) -> Frame:
    """One sample at its most telling frame: source, driving, truth, then answer and error of each."""
    index = telling_frame(sample)
    target = sample.target[index]
    tiles = [sample.source, sample.driving[index], target]
    for rendering in answers.values():
        picture = rendering.frames[index]
        wrong = np.abs(picture.astype(np.float32) - target) * GAIN
        tiles += [picture, np.clip(wrong, 0, 255).astype(np.uint8)]
    return np.hstack([cv2.resize(tile, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for tile in tiles])


def sheet_titles(answers: Mapping[str, Rendering]) -> Frame:
    """The line of titles above the rows."""
    titles = ["source", "driving", "truth"] + [title for name in answers for title in (name, f"error x{GAIN:g}")]
    out = np.full((_HEAD, SIDE * len(titles), 3), 255, np.uint8)
    for column, title in enumerate(titles):
        place = (column * SIDE + 3, _HEAD - 5)
        cv2.putText(out, title[:22], place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return out
