"""Which trainings there are, where each lies, and what all on one set share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from quality import heads
from quality.contenders import BATCH, LANDMARKED, METHODS, OURS, REDUCED, contenders
from quality.sets import HEADS, LARGE, SIZES, shows_heads
from stillmotion.evaluate.tally import Instruments, open_instruments
from stillmotion.train import checkpoint
from stillmotion.train.trials import Budget, Ground, Trial

ABLATED = ("shapes", HEADS)
"""Sets on which the ablation is run."""
EXTRA = "heads.json"
SEEDS = {LARGE: 1}
"""Most seeds of a set that costs more."""
PAIRS = [("*", 4800)]
"""Pattern of sets, and pairs that each training on them sees; of several that fit, the last counts."""


@dataclass(frozen=True)
class Job:
    """One training: a row of the table on a set with a seed."""

    row: str
    set: str
    seed: int

    @property
    def name(self) -> str:
        """As `--only` takes it."""
        return f"{self.row}/{self.set}/{self.seed}"

    @property
    def needs(self) -> Job | None:
        """The training whose keypoints this one starts from."""
        has_points = SIZES[self.set] >= LANDMARKED
        return Job("first-order", self.set, self.seed) if self.row == "few-shot" and not has_points else None


def given_sets(options: argparse.Namespace) -> dict[str, Path]:
    """The sets whose folders were given."""
    large = options.heads if options.large else None
    found = {"shapes": options.shapes, "actions": options.actions, HEADS: options.heads, LARGE: large}
    return {name: path for name, path in found.items() if path is not None}


def steps_of(name: str, options: argparse.Namespace) -> int:
    """Steps of each training on a set."""
    return [number for pattern, number in options.pairs if fnmatch(name, pattern)][-1] // BATCH


def all_jobs(options: argparse.Namespace) -> list[Job]:
    """What is to be trained, seed 0 of everything first, the methods before the ablation, shapes first; ours last."""
    sets = [name for name in SIZES if name in given_sets(options)]
    jobs = []
    for seed in range(max(options.seeds, options.ablation_seeds)):
        if seed < options.seeds:
            jobs += [Job(row, name, seed) for name in sets for row in METHODS if seed < SEEDS.get(name, options.seeds)]
        if seed < options.ablation_seeds:
            jobs += [Job(row, name, seed) for name in sets if name in ABLATED for row in REDUCED]
    jobs += [Job(row, name, 0) for name in sets for row in OURS]
    return [job for job in jobs if any(fnmatch(job.name, pattern) for pattern in options.only)]


def trial_of(job: Job, options: argparse.Namespace) -> Trial:
    """The training of a job. `full` is the ablation's name for the first-order method."""
    config = contenders(steps_of(job.set, options), size=SIZES[job.set])[job.row]
    start = None
    if job.needs is not None:
        start = trial_of(job.needs, options).folder / checkpoint.NAME
    row = "full" if job.row == "first-order" else job.row
    return Trial(row, job.seed, config, options.output / job.set / config.name / f"seed-{job.seed}", start)


def reference_of(name: str, options: argparse.Namespace) -> Path:
    """Where it is kept what copying and the right answer score on heads-1."""
    folder: Path = options.output
    return folder / "data" / f"{name}.json"


def instruments_of(name: str, options: argparse.Namespace) -> tuple[Instruments, dict[str, str]]:
    """What looks at the answers on a set."""
    files = (options.features, options.lpips_heads)
    found, unmeasured = open_instruments((SIZES[name], SIZES[name]), detector="none", lpips=files)
    if not shows_heads(name):
        return found, unmeasured
    return Instruments(found.measures, heads.detector(heads.open_finder())), unmeasured


def ground_of(name: str, options: argparse.Namespace) -> Ground:
    """What all trainings on a set share."""
    return Ground(
        options.output / "data" / name,
        Budget(steps=steps_of(name, options)),
        instruments_of(name, options)[0],
        features=options.features,
        device="cpu",
        cache=options.output / "cache",
    )


def is_done(job: Job, options: argparse.Namespace) -> bool:
    """Whether everything of a job lies there."""
    folder = trial_of(job, options).folder
    return (folder / "trial.json").exists() and (not shows_heads(job.set) or (folder / EXTRA).exists())
