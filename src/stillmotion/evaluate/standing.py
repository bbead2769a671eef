"""A table of trainings: a row each, the mean over seeds with the least and the greatest."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from stillmotion.core.frame import Frame, to_frames
from stillmotion.evaluate.candidates import Candidate
from stillmotion.evaluate.grid import draw_grid
from stillmotion.evaluate.scores import Score

Rows: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]
"""By row and score: a value for each seed."""


def cell(values: Sequence[float], digits: int) -> str:
    """`0.0512 (0.0500–0.0524)`: mean, least and greatest; one value alone, none as `–`."""
    if not values:
        return "–"
    mean, low, high = (f"{x:,.{digits}f}" for x in (float(np.mean(values)), min(values), max(values)))
    return mean if low == high else f"{mean} ({low}–{high})"


def standing(rows: Rows, columns: Mapping[str, Score], *, blank: Mapping[str, str] | None = None) -> str:
    """The table in Markdown.

    Args:
        rows: In order.
        columns: In order; one that no row has is left out.
        blank: What stands in a column that nobody could measure, by score.
    """
    blank = blank or {}
    shown = [name for name in columns if name in blank or any(values.get(name) for values in rows.values())]
    titles = [columns[name].title + (" ↑" if columns[name].up else "") for name in shown]
    lines = [["", *titles], ["---"] * (len(shown) + 1)]
    for row, values in rows.items():
        lines.append([row, *(blank.get(name) or cell(values.get(name, ()), columns[name].digits) for name in shown)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def standing_csv(rows: Rows, columns: Mapping[str, Score]) -> str:
    """A line for every row, score and seed's place."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "score", "place", "value"])
    for row, values in rows.items():
        for name in columns:
            writer.writerows([row, name, place, f"{value:.6g}"] for place, value in enumerate(values.get(name, ())))
    return out.getvalue()


def draw_standing(
    candidates: Sequence[Candidate], clips: Mapping[str, np.ndarray], *, shown: int = 4, side: int = 96
) -> Frame:
    """What everybody makes of the same frames: the truth on top, then a row each.

    Args:
        candidates: Who answers.
        clips: True frames `uint8 (t, h, w, 3)` by clip; frame 0 is the source.
        shown: Moments of each clip, evenly spread, the source first.
        side: Of a tile, pixels.

    Returns:
        `uint8 (h, w, 3)`.
    """
    moments = {name: np.linspace(0, len(frames) - 1, shown).round().astype(int) for name, frames in clips.items()}
    titles = [f"{'source' if index == 0 else 'frame'} {index}" for found in moments.values() for index in found]
    rows = {"the truth": [clips[name][index] for name, found in moments.items() for index in found]}
    for candidate in candidates:
        tiles: list[Frame] = []
        for name, found in moments.items():
            planes = candidate.answering(name, clips[name][0]).next(clips[name][found])
            tiles += list(to_frames(planes))
        rows[candidate.name] = tiles
    return draw_grid(rows, side=side, titles=titles)
