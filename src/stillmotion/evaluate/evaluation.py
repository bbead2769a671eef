"""Candidates against the test clips of a folder: one table with intervals, and everything that was left out.

Source: the reconstruction protocol of Siarohin et al. 2019, section 4: the source is frame 0, motion
is absolute, every frame drives, means are over all frames of all clips.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from stillmotion.core.errors import DataError, OutputError
from stillmotion.core.frame import Frame, to_planes
from stillmotion.data.clips import Subset
from stillmotion.data.decode import Fit
from stillmotion.data.folder import ClipFolder
from stillmotion.evaluate.candidates import Answering, Candidate, Copying
from stillmotion.evaluate.frechet import frechet_interval
from stillmotion.evaluate.reconstruct import batches, check_videos
from stillmotion.evaluate.steadiness import StepFinder
from stillmotion.evaluate.table import TRUTH, Entry, Interval, as_csv, finite, mean_of, names, task_table
from stillmotion.evaluate.tally import COLUMNS, Instruments, Tally, Watch
from stillmotion.session.faces import face_detector
from stillmotion.video.mark import software
from stillmotion.video.target import output_error, replacing

TASK = "reconstruct"
FILES = ("evaluate.md", "evaluate.csv", "evaluate.json")
SHOWN_CLIPS = 4
"""Clips of a kind that the page names; the JSON file has them all."""


@dataclass
class Evaluation:
    """What was measured, and what was not.

    Attributes:
        facts: Lines about data and instruments.
        entries: A row per clip and candidate.
        whole: Scores of all clips together, by candidate and score.
        unmeasured: Scores nobody has, with the reason.
        missed: Clips that a candidate, or everybody, has no scores of: `(who, clip, why)`.
        partly: Scores that a candidate has not on a clip: `(who, clip, score, why)`.
    """

    facts: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    whole: dict[tuple[str, str], Interval] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    partly: list[tuple[str, str, str, str]] = field(default_factory=list)

    def markdown(self) -> str:
        """The page: facts, table, what the columns mean, what was left out."""
        shown = [name for name in COLUMNS if self._has(name)]
        meanings = [f"- {COLUMNS[name].title}: {COLUMNS[name].meaning}." for name in shown]
        gone = [f"- {COLUMNS[name].title}: *not measured* ({why})." for name, why in self.unmeasured.items()]
        lost = [f"- {who}, clip {clip}: not scored ({why})." for who, clip, why in self.missed] + self._partly_lines()
        parts = ["\n".join(self.facts), task_table(self.entries, TASK, columns=COLUMNS, whole=self.whole).rstrip()]
        parts += ["In brackets: 95 % bootstrap interval, whole clips drawn 2000 times (Fréchet: 200)."]
        parts += ["\n".join(lines) for lines in (meanings, gone, lost) if lines]
        return "\n\n".join(parts) + "\n"

    def _partly_lines(self) -> list[str]:
        """A line for each reason and those whom it concerns alike; `evaluate.json` has every clip."""
        scores: dict[tuple[str, str, str], list[str]] = {}
        for who, clip, score, why in self.partly:
            scores.setdefault((who, clip, why), []).append(COLUMNS[score].title)
        clips: dict[tuple[str, str, str], list[str]] = {}
        for (who, clip, why), titles in scores.items():
            clips.setdefault((who, ", ".join(titles), why), []).append(clip)
        concerned: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        for (who, titled, why), found in clips.items():
            concerned.setdefault((titled, why, tuple(found)), []).append(who)
        everybody = {who for who in names(self.entries, TASK) if who != TRUTH}
        return [
            f"- {'everybody' if set(who) == everybody else ', '.join(who)}, {_clips_said(found)}: "
            f"{titled} *not measured* ({why})."
            for (titled, why, found), who in concerned.items()
        ]

    def as_dict(self) -> dict[str, object]:
        """For JSON: means with intervals, every clip, and what was left out; null where an end is unknown."""
        means: dict[str, dict[str, object]] = {}
        for who in names(self.entries, TASK):
            found = {name: mean_of(self.entries, TASK, who, score=name) for name in COLUMNS}
            found |= {score: interval for (name, score), interval in self.whole.items() if name == who}
            means[who] = {name: finite(interval) for name, interval in found.items() if interval is not None}
        return {
            "facts": self.facts,
            "means": means,
            "unmeasured": self.unmeasured,
            "missed": [dict(zip(("who", "clip", "why"), row, strict=True)) for row in self.missed],
            "partly": [dict(zip(("who", "clip", "score", "why"), row, strict=True)) for row in self.partly],
            "clips": [
                {"clip": e.clip, "who": e.who, "scores": dict(e.scores), "counts": dict(e.counts)} for e in self.entries
            ],
        }

    def save(self, folder: Path) -> list[Path]:
        """Write `evaluate.md`, `.csv` and `.json` into a folder, which is made where it is missing.

        Raises:
            OutputError: They cannot be written.
        """
        open_output(folder)
        texts = (self.markdown(), as_csv(self.entries), json.dumps(self.as_dict(), indent=1) + "\n")
        for name, text in zip(FILES, texts, strict=True):
            with replacing(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
        return [folder / name for name in FILES]

    def _has(self, score: str) -> bool:
        return any(score in entry.scores for entry in self.entries) or any(s == score for _, s in self.whole)


def _clips_said(clips: Sequence[str]) -> str:
    """`clip a`, or `12 clips (a, b, c, …)`."""
    if len(clips) == 1:
        return f"clip {clips[0]}"
    named = ", ".join(clips[:SHOWN_CLIPS])
    return f"{len(clips)} clips ({named}{', …' if len(clips) > SHOWN_CLIPS else ''})"


def open_output(folder: Path) -> None:
    """Make the folder of the results, before anything is scored.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{folder} is a file, or lies in one", hint="name a folder", path=folder) from error
    except OSError as error:
        raise output_error(error, folder) from error


def open_clips(path: Path, fit: Fit, *, subset: Subset = "test", seed: int = 0) -> ClipFolder:
    """The clips to score on.

    Args:
        path: Folder of clips.
        fit: See `candidates.common_fit`.
        subset: Which clips of the folder.
        seed: Of the split where the folder has none.

    Raises:
        DataError: No such folder, or none of that subset.
    """
    detector = face_detector() if fit.crop == "face" else None
    return ClipFolder(path, fit=fit, subset=subset, seed=seed, memory=0, detector=detector)


def evaluate(
    candidates: Sequence[Candidate],
    data: ClipFolder,
    instruments: Instruments,
    *,
    videos: int | None = None,
    unmeasured: dict[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score candidates, and copying the source, on the clips of a folder.

    Args:
        candidates: Of different names; see `candidates.open_candidate`.
        data: At the size that all of them want; see `candidates.common_fit`.
        instruments: What looks at the frames.
        videos: How many clips, the first ones; None takes all.
        unmeasured: Scores that have no instrument, with the reason.
        progress: Called with `(clips done, clips)`.

    Raises:
        ConfigError: No clip is asked for.
        DataError: No clip could be scored, or none of some candidate; what the others came to is its field `others`.
    """
    check_videos(videos)
    count = len(data) if videos is None else min(videos, len(data))
    out = Evaluation(_facts(data, instruments), unmeasured=dict(unmeasured or {}))
    everybody = [Copying(), *candidates]
    features: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for index in range(count):
        name = data.clips[index].name
        try:
            round_ = _Round(name, data.stream(index), everybody, instruments, out)
            round_.run()
        except DataError as error:
            out.missed.append(("everybody", name, error.message))
        else:
            round_.file(features)
        if progress is not None:
            progress(index + 1, count)
    for who, pairs in features.items():
        found = frechet_interval([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        if found is not None:
            out.whole[who, "frechet"] = found
    _check_scored(out, candidates, data)
    places = {who: place for place, who in enumerate([candidate.name for candidate in everybody] + [TRUTH])}
    out.entries.sort(key=lambda entry: places[entry.who])  # whoever lacks the first clip keeps his row
    return out


def _facts(data: ClipFolder, instruments: Instruments) -> list[str]:
    height, width = data.fit.size
    lines = [
        f"{software()}, reconstruction from frame 0, {data.subset} clips of {data.path.name}, {width}x{height}, "
        f"{data.fit.crop} crop."
    ]
    told = (("Points", instruments.detector), ("Embeddings", instruments.embedder), ("Features", instruments.features))
    return lines + [f"{what}: {tool.name}." for what, tool in told if tool is not None]


def _check_scored(out: Evaluation, candidates: Sequence[Candidate], data: ClipFolder) -> None:
    scored = names(out.entries, TASK)
    for who in [candidate.name for candidate in candidates if candidate.name not in scored]:
        whose, _, why = next((row for row in out.missed if row[0] in (who, "everybody")), ("", "", "there are none"))
        hint = (
            "a folder of clips is named like the true ones, with a frame of their size for every frame" if whose == who
            else f"stillmotion data check {data.path}"
        )  # fmt: skip
        said = f"no clip of {data.path} could be scored for {who}: {why}"
        raise DataError(said, hint=hint, others=out if any(c.name in scored for c in candidates) else None)


class _Round:
    """One clip: its truth and everybody's answers, in step."""

    def __init__(
        self,
        name: str,
        frames: Iterator[Frame],
        everybody: Sequence[Candidate],
        instruments: Instruments,
        out: Evaluation,
    ) -> None:
        first = next(frames, None)
        if first is None:
            raise DataError(f"clip {name} holds no frames", hint="remove it")
        self.name, self.frames, self.out = name, chain([first], frames), out
        self.truth = Watch(instruments)
        self.tallies: dict[str, Tally] = {}
        self.answers: dict[str, Answering] = {}
        self.lost: list[tuple[str, str, str]] = []
        for candidate in everybody:
            with self._costing(candidate.name):
                self.answers[candidate.name] = candidate.answering(self.name, first)
                self.tallies[candidate.name] = Tally(instruments)

    @contextmanager
    def _costing(self, who: str) -> Iterator[None]:
        """What goes wrong with one candidate costs it this clip, and is told."""
        try:
            yield
        except DataError as error:
            self.lost.append((who, self.name, error.message))
            self.answers.pop(who, None)
            self.tallies.pop(who, None)

    def run(self) -> None:
        finder = StepFinder()
        last: Frame | None = None
        for batch in batches(self.frames):
            before = [last, *batch[:-1]]
            last = batch[-1]
            steps = [None if a is None else finder.find(a, b) for a, b in zip(before, batch, strict=True)]
            target = to_planes(batch)
            self.truth.look(batch, steps)
            for who in list(self.answers):
                with self._costing(who):
                    planes = self.answers[who].next(batch)
                    self.tallies[who].add(planes, batch, target=target, steps=steps)
        for who in list(self.answers):
            with self._costing(who):
                self.answers[who].close()

    def file(self, features: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> None:
        """Put the scores of this clip to those of the others."""
        self.out.missed += self.lost
        for who, tally in self.tallies.items():
            missing: dict[str, str] = {}
            self._enter(who, tally.values(self.truth, missing=missing))
            self.out.partly += [(who, self.name, score, why) for score, why in missing.items()]
            if self.truth.features:
                pair = np.stack(tally.watch.features), np.stack(self.truth.features)
                features.setdefault(who, []).append(pair)
        self._enter(TRUTH, self.truth.values())

    def _enter(self, who: str, values: dict[str, np.ndarray]) -> None:
        scores = {name: float(found.mean()) for name, found in values.items()}
        self.out.entries.append(Entry(TASK, self.name, who, scores, {n: len(found) for n, found in values.items()}))
