"""The published ablation of the first-order method: five rows, trained alike, in one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stillmotion.core.recipe import Schedule
from stillmotion.data.decode import Fit
from stillmotion.evaluate.candidates import Candidate, open_candidate
from stillmotion.evaluate.evaluation import open_clips
from stillmotion.evaluate.scores import Score
from stillmotion.evaluate.standing import draw_standing, standing, standing_csv
from stillmotion.evaluate.table import COPYING, TRUTH
from stillmotion.evaluate.tally import COLUMNS
from stillmotion.methods.firstorder.ablation import ablation
from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.train.trials import Ground, Outcome, Trial, bundle_of, make
from stillmotion.video.image import write_image
from stillmotion.video.mark import software
from stillmotion.video.target import replacing

FILES = ("ablation.md", "ablation.csv", "ablation.json", "ablation.png")
SHOWN_CLIPS = 2
"""In the picture."""
COST = {
    "parameters": Score("parameters", 0, "learned numbers of all networks that animate"),
    "pairs": Score("pairs seen", 0, "in training"),
    "minutes": Score("minutes", 1, "of processor time in training"),
}
"""Columns that are no scores."""


@dataclass(frozen=True)
class Ablation:
    """What came of it.

    Attributes:
        outcomes: Of every row and seed that is done.
        page: The table and what it means, Markdown.
        files: What was written.
    """

    outcomes: tuple[Outcome, ...]
    page: str
    files: tuple[Path, ...]


def trials_of(full: FirstOrderConfig, output: Path, seeds: Sequence[int]) -> list[Trial]:
    """All trials, first every row with the first seed: a table with one seed is complete early.

    Args:
        full: The last row's config.
        output: Folder of the ablation.
        seeds: Of the trials.

    Raises:
        ConfigError: The config leaves out what the ablation would take away.
    """
    rows = ablation(full)
    return [Trial(row, seed, rows[row], output / rows[row].name / f"seed-{seed}") for seed in seeds for row in rows]


def ablate(
    full: FirstOrderConfig,
    ground: Ground,
    output: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    unmeasured: dict[str, str] | None = None,
    progress: Callable[[Trial, int, int], None] | None = None,
) -> Ablation:
    """Train and score all five rows, and write `ablation.md`, `.csv`, `.json` and `.png`.

    Rows that are done are taken as they are; the table is written after each, so that it is never lost.

    Args:
        full: The last row's config.
        ground: Data, budget and instruments, the same for all.
        output: Folder of the ablation; created.
        seeds: Each row is trained once with each.
        unmeasured: Scores that have no instrument, with the reason.
        progress: Called with a trial before it starts, its place, and how many there are.

    Raises:
        ConfigError: The config leaves out what the ablation would take away.
        OutputError: The folder holds something else, or cannot be written.
        StillmotionError: As `train` raises.
    """
    output = Path(output)
    trials = trials_of(full, output, seeds)
    done: list[tuple[Trial, Outcome]] = []
    for place, trial in enumerate(trials):
        if progress is not None:
            progress(trial, place, len(trials))
        done.append((trial, make(trial, ground)))
        page = write_tables(done, ground, output, unmeasured=unmeasured or {})
    outcomes = tuple(outcome for _, outcome in done)
    first = [trial for trial, _ in done if trial.seed == done[0][0].seed]
    write_image(output / FILES[3], draw_trials(first, ground))
    return Ablation(outcomes, page, tuple(output / name for name in FILES))


def summed(outcomes: Sequence[Outcome]) -> dict[str, dict[str, list[float]]]:
    """Rows of the table: values of all seeds by row and column, copying and the right answer first."""
    rows: dict[str, dict[str, list[float]]] = {COPYING: {}, TRUTH: {}}
    seen: set[int] = set()
    for outcome in outcomes:
        cost = {
            "parameters": sum(outcome.parameters.values()),
            "pairs": outcome.pairs,
            "minutes": outcome.processor_seconds / 60,
        }
        given = [(outcome.row, outcome.scores | cost)]
        if outcome.seed not in seen:  # the same for all rows
            given += [(COPYING, outcome.copying), (TRUTH, outcome.truth)]
            seen.add(outcome.seed)
        for row, values in given:
            for name, value in values.items():
                rows.setdefault(row, {}).setdefault(name, []).append(value)
    return {row: values for row, values in rows.items() if values}


def draw_trials(trials: Sequence[Trial], ground: Ground) -> np.ndarray:
    """The picture `uint8 (h, w, 3)`: the same frames of a few test clips by all trials, which are of one seed."""
    candidates: list[Candidate] = []
    for trial in trials:
        candidate = open_candidate(str(bundle_of(trial)))
        candidate.name = trial.row
        candidates.append(candidate)
    fit = candidates[0].fit
    assert isinstance(fit, Fit)
    clips = open_clips(ground.data, fit, seed=trials[0].seed)
    count = len(clips) if ground.videos is None else min(ground.videos, len(clips))
    chosen = np.unique(np.linspace(0, count - 1, min(SHOWN_CLIPS, count)).round().astype(int))
    return draw_standing(candidates, {clips.clips[int(i)].name: np.stack(list(clips.stream(int(i)))) for i in chosen})


def write_tables(
    done: Sequence[tuple[Trial, Outcome]], ground: Ground, output: Path, *, unmeasured: dict[str, str]
) -> str:
    """Write `ablation.md`, `.csv` and `.json` of the trials that are done; returns the page.

    Args:
        done: Trials with their outcomes, at least one.
        ground: What they share.
        output: Folder for the files.
        unmeasured: Scores that have no instrument, with the reason.

    Raises:
        OutputError: The folder cannot be written.
    """
    outcomes = [outcome for _, outcome in done]
    rows, columns = summed(outcomes), COLUMNS | COST
    meanings = [f"- {columns[n].title}: {columns[n].meaning}." for n in columns if any(n in rows[row] for row in rows)]
    told = {name for values in rows.values() for name in values}
    unmeasured = {
        n: unmeasured.get(n, "there is nothing to measure in the test clips") for n in COLUMNS if n not in told
    }
    gone = [f"- {COLUMNS[n].title}: *not measured* ({why})." for n, why in unmeasured.items()]
    parts = [_facts(done, ground), standing(rows, columns).rstrip()]
    parts += ["In brackets: the least and the greatest over the seeds.", "\n".join(meanings + gone)]
    page = "\n\n".join(parts) + "\n"
    content = {"rows": rows, "outcomes": [asdict(outcome) for outcome in outcomes]}
    texts = (page, standing_csv(rows, columns), json.dumps(content, indent=1) + "\n")
    for name, text in zip(FILES, texts, strict=False):
        with replacing(output / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return page


def _facts(done: Sequence[tuple[Trial, Outcome]], ground: Ground) -> str:
    trial, outcome = done[0]
    schedule: Schedule = trial.config.training
    size, seeds = trial.config.size, sorted({other.seed for _, other in done})
    budget = f"{outcome.pairs} pairs" if ground.budget.steps else f"{ground.budget.minutes:g} minutes"
    lines = [
        f"{software()}, ablation of the first-order method on {ground.data.name}, {size}x{size}, {budget} each in "
        f"batches of {schedule.batch}, seeds {', '.join(map(str, seeds))}; test clips rebuilt from frame 0."
    ]
    if ground.instruments.detector is not None:
        lines += [f"Points: {ground.instruments.detector.name}."]
    if ground.features is None:
        lines += [
            "No feature network was given, and the pyramid acts through it alone: the first two rows are the same."
        ]
    return "\n".join(lines)
