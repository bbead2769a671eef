"""From scores of clips to a table: means with bootstrap intervals, ratios to copying, bars."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

import numpy as np

from stillmotion.evaluate.scores import SCORES, Score

COPYING = "copying the source"
TRUE_WARP = "true flow, nothing invented"
TRUTH = "the right answer"
"""Only its landmarks are scored: the landmark network's own error."""
BASELINES = (COPYING, TRUE_WARP, TRUTH)
DRAWS = 2000
"""Resamplings of the clips for an interval."""


@dataclass(frozen=True)
class Entry:
    """Scores of one candidate on one clip.

    Attributes:
        task: `reconstruct`, `animate` or `speakers`.
        clip: Name of the sample.
        who: The candidate: weights or a baseline.
        scores: By name.
        counts: What a score is the mean of, such as its frames; one that is not here counts as much as any
            other clip's.
    """

    task: str
    clip: str
    who: str
    scores: Mapping[str, float]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """What weights should reach: at most `most` times what copying the source scores."""

    task: str
    score: str
    most: float


BARS = (
    Bar("reconstruct", "l1", 0.5),
    Bar("reconstruct", "lpips", 0.6),
    Bar("reconstruct", "l1_mouth", 0.6),
    Bar("reconstruct", "l1_eyes", 0.6),
    Bar("animate", "l1", 0.6),
    Bar("speakers", "l1", 1.0),
    Bar("speakers", "l1_mouth", 0.8),
)
"""Bars of the weights for heads."""

Interval: TypeAlias = tuple[float, float, float]
"""A value with the ends of its 95 % interval."""


def names(entries: Sequence[Entry], task: str) -> list[str]:
    """Candidates that were scored on a task, in order."""
    return list(dict.fromkeys(entry.who for entry in entries if entry.task == task))


def values(entries: Sequence[Entry], task: str, who: str, *, score: str) -> dict[str, float]:
    """One score of one candidate, by clip."""
    rows = (entry for entry in entries if entry.task == task and entry.who == who)
    return {entry.clip: entry.scores[score] for entry in rows if score in entry.scores}


def _draws(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


def mean(found: Mapping[str, float], counts: Mapping[str, int] | None = None) -> Interval | None:
    """Mean over clips with its bootstrap interval; None for no clips.

    Args:
        found: Scores by clip.
        counts: Weight of each clip, 1 unless told. Whole clips are drawn all the same: frames of one
            clip are alike.
    """
    if not found:
        return None
    array = np.array(list(found.values()))
    weights = np.array([(counts or {}).get(clip, 1) for clip in found], np.float64)
    pick = _draws(len(array))
    low, high = np.percentile((array * weights)[pick].sum(1) / weights[pick].sum(1), [2.5, 97.5])
    return float((array * weights).sum() / weights.sum()), float(low), float(high)


def mean_of(entries: Sequence[Entry], task: str, who: str, *, score: str) -> Interval | None:
    """Mean of one score of one candidate, clips weighed by their counts; of one clip, its ends are not a number."""
    rows = [entry for entry in entries if entry.task == task and entry.who == who]
    counts = {entry.clip: entry.counts[score] for entry in rows if score in entry.counts}
    found = values(entries, task, who, score=score)
    interval = mean(found, counts)
    return (interval[0], float("nan"), float("nan")) if interval is not None and len(found) == 1 else interval


def finite(interval: Interval | None) -> list[float | None] | None:
    """For JSON: null where an end is unknown."""
    return None if interval is None else [x if np.isfinite(x) else None for x in interval]


def ratio(found: Mapping[str, float], copied: Mapping[str, float]) -> Interval | None:
    """Mean over the mean of copying, clips drawn in pairs; None where no clip has both or copying is perfect."""
    clips = [clip for clip in found if clip in copied]
    top, bottom = (np.array([side[clip] for clip in clips]) for side in (found, copied))
    if not clips or bottom.mean() <= 0:
        return None
    pick = _draws(len(clips))
    low, high = np.percentile(top[pick].mean(1) / np.maximum(bottom[pick].mean(1), 1e-12), [2.5, 97.5])
    return float(top.mean() / bottom.mean()), float(low), float(high)


def check_bars(entries: Sequence[Entry], who: str, *, bars: Sequence[Bar] = BARS) -> list[tuple[Bar, Interval | None]]:
    """Every bar whose task was run, with the ratio that a candidate reached; None: not measured."""
    return [
        (
            bar,
            ratio(values(entries, bar.task, who, score=bar.score), values(entries, bar.task, COPYING, score=bar.score)),
        )
        for bar in bars
        if who in names(entries, bar.task)
    ]


def markdown(
    entries: Sequence[Entry], *, unmeasured: Mapping[str, str] | None = None, bars: Sequence[Bar] = BARS
) -> str:
    """All tables as Markdown.

    Args:
        entries: Of all tasks and candidates.
        unmeasured: Scores that could not be measured, with the reason.
        bars: What the candidates should reach; none where the benchmark sets none.
    """
    tasks = list(dict.fromkeys(entry.task for entry in entries))
    parts = [task_table(entries, task) for task in tasks] + [_bar_table(entries, bars)]
    notes = [f"{SCORES[name].title}: not measured ({why})." for name, why in (unmeasured or {}).items()]
    return "\n".join([*parts, *notes]).rstrip() + "\n"


def task_table(
    entries: Sequence[Entry],
    task: str,
    *,
    columns: Mapping[str, Score] = SCORES,
    whole: Mapping[tuple[str, str], Interval] | None = None,
) -> str:
    """One task's table as Markdown: a row per candidate, a column per score that anyone has.

    Args:
        entries: Of this task and any others.
        task: Which.
        columns: What columns may be there, in order.
        whole: Scores of all clips together by candidate and score, which are no means; ends that are not a
            number are left out.
    """
    candidates, whole = names(entries, task), whole or {}
    clips = {entry.clip for entry in entries if entry.task == task}
    found = {(who, score): mean_of(entries, task, who, score=score) for who in candidates for score in columns}
    found |= whole
    shown = [score for score in columns if any(found[who, score] for who in candidates)]
    titles = [columns[score].title + (" ↑" if columns[score].up else "") for score in shown]
    lines = [f"### {task}: {len(clips)} clips", "", _row(["", *titles]), _row(["---"] * (len(shown) + 1))]
    lines += [_row([who, *(_cell(found[who, score], columns[score].digits) for score in shown)]) for who in candidates]
    return "\n".join([*lines, ""])


def _cell(found: Interval | None, digits: int) -> str:
    if found is None:
        return "–"
    value, low, high = (f"{number:.{digits}f}" for number in found)
    return f"{value} ({low}–{high})" if np.isfinite(found[1]) else value


def _bar_table(entries: Sequence[Entry], bars: Sequence[Bar]) -> str:
    tasks = list(dict.fromkeys(entry.task for entry in entries))
    candidates = [who for who in dict.fromkeys(e.who for e in entries) if who not in BASELINES]
    bars = [bar for bar in bars if bar.task in tasks]
    lines = [
        "### ratio to copying the source",
        "",
        _row(["", "bar", *candidates]),
        _row(["---"] * (len(candidates) + 2)),
    ]
    for bar in bars:
        cells = []
        for who in candidates:
            found = dict(check_bars(entries, who, bars=[bar]))[bar]
            if found is None:
                cells.append("not measured")
            else:
                cells.append(
                    f"{found[0]:.2f} ({found[1]:.2f}–{found[2]:.2f}) {'met' if found[0] <= bar.most else 'missed'}"
                )
        lines.append(_row([f"{bar.task} {SCORES[bar.score].title}", f"at most {bar.most:g}", *cells]))
    return "\n".join([*lines, ""]) if bars and candidates else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def as_csv(entries: Sequence[Entry]) -> str:
    """One line per clip, candidate and score."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["task", "clip", "who", "score", "value"])
    for entry in entries:
        writer.writerows([entry.task, entry.clip, entry.who, name, f"{x:.6g}"] for name, x in entry.scores.items())
    return out.getvalue()


def as_dict(entries: Sequence[Entry], *, bars: Sequence[Bar] = BARS) -> dict[str, object]:
    """For JSON: means, ratios to copying, bars, and every clip."""
    tasks = list(dict.fromkeys(entry.task for entry in entries))
    means: dict[str, object] = {}
    for task in tasks:
        means[task] = {
            who: {
                score: {
                    "mean": finite(mean_of(entries, task, who, score=score)),
                    "ratio": ratio(
                        values(entries, task, who, score=score), values(entries, task, COPYING, score=score)
                    ),
                }
                for score in SCORES
                if values(entries, task, who, score=score)
            }
            for who in names(entries, task)
        }
    candidates = [who for who in dict.fromkeys(e.who for e in entries) if who not in BASELINES]
    reached = {
        who: [
            asdict(bar) | {"got": got, "met": got is not None and got[0] <= bar.most}
            for bar, got in check_bars(entries, who, bars=bars)
        ]
        for who in candidates
    }
    return {"means": means, "bars": reached, "clips": [asdict(entry) for entry in entries]}
