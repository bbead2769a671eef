"""Trainings that are to be compared: each gets the same budget, is scored alike, and is made once.

A trial has a folder of its own. What it came to lies in `trial.json` there, written last: a trial that has
one is not made again, and one that was broken off goes on from its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from stillmotion import methods
from stillmotion.core.errors import ConfigError, OutputError
from stillmotion.data.clips import select_clips
from stillmotion.evaluate.candidates import common_fit, open_candidate
from stillmotion.evaluate.evaluation import Evaluation, evaluate, open_clips
from stillmotion.evaluate.table import COPYING, TRUTH, mean_of
from stillmotion.evaluate.tally import COLUMNS, Instruments
from stillmotion.train import checkpoint
from stillmotion.train.loop import train
from stillmotion.train.setup import Config
from stillmotion.video.target import replacing

NAME = "trial.json"
FALL_AT = 0.75
"""The learning rates fall at the last whole epoch before this share of the steps, if there is one."""


@dataclass(frozen=True)
class Budget:
    """What each trial may spend: so many steps, or so many minutes by the clock.

    Raises:
        ConfigError: Neither, both, or none left.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [amount for amount in (self.steps, self.minutes) if amount is not None]
        if len(given) != 1 or given[0] <= 0:
            raise ConfigError(
                f"a budget of {self.steps} steps and {self.minutes} minutes makes no sense",
                hint="give steps or minutes, one of them, above 0",
            )


@dataclass(frozen=True)
class Ground:
    """What all trials of a comparison share.

    Attributes:
        data: Folder of clips, as `train` takes it.
        budget: Of each.
        instruments: What looks at the answers.
        features: Feature network of the perceptual terms, or None.
        videos: How many test clips are scored, the first ones; None takes all.
        device: Where to train.
        crop: How frames become square.
        cache: Folder for decoded clips, or None.
    """

    data: Path
    budget: Budget
    instruments: Instruments
    features: Path | None = None
    videos: int | None = None
    device: str = "auto"
    crop: Literal["whole", "face", "squash"] = "whole"
    cache: Path | None = None


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        row: Of the table.
        seed: Of the training, and of the split where the data has none of its own.
        config: What is trained.
        folder: Of the run.
        start: Checkpoint whose networks to start from.
    """

    row: str
    seed: int
    config: Config
    folder: Path
    start: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        row, seed, method: Who.
        key: Of config, budget and data: what must be the same for the outcome to be taken again.
        parameters: Of the networks that animate, by name.
        steps, pairs: Seen in training.
        seconds: Of the training by the clock, all sittings together.
        processor_seconds: The same by the processors' clocks.
        scores: Means over the test clips, by score.
        copying: The same for copying the source.
        truth: The same for the right answer, where it can be said without comparing.
    """

    row: str
    seed: int
    method: str
    key: str
    parameters: dict[str, int]
    steps: int
    pairs: int
    seconds: float
    processor_seconds: float
    scores: dict[str, float]
    copying: dict[str, float]
    truth: dict[str, float] = field(default_factory=dict)


def scheduled(config: Any, budget: Budget, *, clips: int) -> Any:
    """A config whose schedule suits a budget: as many epochs as it takes, one fall of the rates, one checkpoint.

    Args:
        config: Of any method.
        budget: What it may spend; by the clock, the rates stay as they are.
        clips: In the training set.
    """
    training = config.training
    repeats = max(training.repeats, -(-training.batch // clips))
    per_epoch = max(clips * repeats // training.batch, 1)
    epochs = 10**6 if budget.steps is None else -(-budget.steps // per_epoch)
    fall = 0 if budget.steps is None else int(FALL_AT * budget.steps / per_epoch)
    changed = replace(
        training, repeats=repeats, epochs=epochs, milestones=(fall,) if fall else (), checkpoint_epochs=10**6
    )
    return replace(config, training=changed)


def key_of(trial: Trial, ground: Ground) -> str:
    """What an outcome depends on, as a short sum."""
    plain: Any = trial.config
    facts = (asdict(plain), trial.seed, asdict(ground.budget), ground.data.name, ground.features is not None)
    return hashlib.sha256(repr((facts, ground.videos, ground.crop)).encode()).hexdigest()[:16]


def known(trial: Trial, ground: Ground) -> Outcome | None:
    """The outcome of a trial that is done, or None.

    Raises:
        OutputError: The folder holds another one's.
    """
    path = trial.folder / NAME
    if not path.exists():
        return None
    outcome = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    if outcome.key != key_of(trial, ground):
        raise OutputError(
            f"{trial.folder} holds a trial with other settings, budget or data", hint="choose another folder"
        )
    return outcome


def make(trial: Trial, ground: Ground) -> Outcome:
    """Train and score, or take what is there; scored anew where an instrument was added since.

    Args:
        trial: What to train.
        ground: On what, for how long.

    Raises:
        OutputError: The folder holds another trial, or cannot be written.
        StillmotionError: As `train` and `evaluate` raise.
    """
    done = known(trial, ground)
    if done is not None and not _lacks_a_score(done, ground.instruments):
        return done
    if done is not None:
        outcome = replace(done, **_means(score(trial, ground)))
    else:
        spent = _train(trial, ground)
        outcome = Outcome(
            row=trial.row,
            seed=trial.seed,
            method=methods.of_config(trial.config),
            key=key_of(trial, ground),
            parameters=count_parameters(trial.config),
            **spent,
            **_means(score(trial, ground)),
        )
    with replacing(trial.folder / NAME) as partial:
        partial.write_text(json.dumps(asdict(outcome), indent=1) + "\n", encoding="utf-8")
    return outcome


def _lacks_a_score(outcome: Outcome, tools: Instruments) -> bool:
    """Whether the instruments measure something that the outcome has no number of."""
    wanted = {"l1_paper" if name == "l1" else name for name in tools.measures}
    wanted |= {"found"} if tools.detector is not None else set()
    wanted |= {"aed_exact"} if tools.embedder is not None else set()
    return not wanted <= set(outcome.scores)


def _train(trial: Trial, ground: Ground) -> dict[str, Any]:
    """Train, or go on; what was spent by now."""
    clips = len(select_clips(ground.data, "train", seed=trial.seed))
    config = scheduled(trial.config, ground.budget, clips=clips)
    has_begun = (trial.folder / checkpoint.NAME).exists()
    ledger = trial.folder / "spent.json"
    before = json.loads(ledger.read_text(encoding="utf-8")) if has_begun and ledger.exists() else [0.0, 0.0]
    processors = time.process_time()
    minutes = ground.budget.minutes
    result = train(
        config,
        data=ground.data,
        output=trial.folder,
        features=ground.features,
        start=None if has_begun else trial.start,
        resume=has_begun,
        max_steps=ground.budget.steps,
        max_minutes=None if minutes is None else max(minutes - before[0] / 60, 1e-3),
        device=ground.device,
        crop=ground.crop,
        cache=ground.cache,
        seed=trial.seed,
        stages=False,
    )
    seconds = before[0] + result.seconds
    processor_seconds = before[1] + time.process_time() - processors
    with replacing(ledger) as partial:
        partial.write_text(json.dumps([seconds, processor_seconds]), encoding="utf-8")
    if result.status == "signal":
        raise KeyboardInterrupt
    return {
        "steps": result.step,
        "pairs": result.step * config.training.batch,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor_seconds, 1),
    }


def bundle_of(trial: Trial) -> Path:
    """The weights of a trial that is done."""
    return trial.folder / "bundle"


def score(trial: Trial, ground: Ground) -> Evaluation:
    """Rebuild the test clips, cropped as those it was trained on, from their first frames; see `evaluate`."""
    candidate = open_candidate(str(bundle_of(trial)))
    candidate.name = trial.row
    clips = open_clips(ground.data, common_fit([candidate], crop=ground.crop), seed=trial.seed)
    return evaluate([candidate], clips, ground.instruments, videos=ground.videos)


def _means(evaluation: Evaluation) -> dict[str, Any]:
    """Means by score, of the trial, of copying, and of the right answer."""
    entries = evaluation.entries
    candidate = next(entry.who for entry in entries if entry.who not in (COPYING, TRUTH))
    found: dict[str, dict[str, float]] = {}
    for name, who in (("scores", candidate), ("copying", COPYING), ("truth", TRUTH)):
        means = {score: mean_of(entries, "reconstruct", who, score=score) for score in COLUMNS}
        found[name] = {score: interval[0] for score, interval in means.items() if interval is not None}
    return found


def count_parameters(config: Config) -> dict[str, int]:
    """Learned numbers of the networks that a bundle holds, by network."""
    side = methods.method_weights(methods.of_config(config))
    built: Mapping[str, Any] = side.build(config)
    return {name: sum(p.numel() for p in built[name].parameters()) for name in side.saved(config)}
