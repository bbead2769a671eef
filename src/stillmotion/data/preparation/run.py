"""Prepare a whole set: who is where, what is left to do, and what became of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

from stillmotion.core.errors import ConfigError, DataError
from stillmotion.data.preparation.annotations import Annotation, write_annotations
from stillmotion.data.preparation.boxes import Box
from stillmotion.data.preparation.entries import (
    Entry,
    Leaks,
    Listing,
    assigned,
    find_leaks,
    split,
    undecided,
    without_leaks,
)
from stillmotion.data.preparation.jobs import Job, Plan, Record, source_mark
from stillmotion.data.preparation.journal import Journal
from stillmotion.data.preparation.pool import run_here, run_processes, run_ray
from stillmotion.video.target import remove, replacing

Engine: TypeAlias = Literal["processes", "ray"]
REPORT, ANNOTATIONS = "prepared.json", "annotations.csv"
SHOWN = 20
"""Lines of a kind that the report for people lists; the file has them all."""


@dataclass
class Summary:
    """What a prepared folder holds, of this run and earlier ones.

    Attributes:
        output: The folder.
        clips: Clips per partition.
        frames: Frames per partition.
        identities: Identities per partition.
        videos: Videos per status: `done`, `failed`, `missing`.
        skipped: Videos of this run that were done before.
        missing: Annotated clips whose video is missing.
        dropped: Tracks that made no clip, by reason.
        leaked_identities, leaked_videos: On both sides of the split.
        leaks_dropped: Training clips or videos left out for that.
        wander: Median over the clips of `Track.wander`; None where nobody was followed.
        published: Clips per partition that the published set has; empty for other sets.
        problems: One line on each thing that went wrong.
    """

    output: str
    clips: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    videos: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    missing: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    leaked_identities: list[str] = field(default_factory=list)
    leaked_videos: list[str] = field(default_factory=list)
    leaks_dropped: int = 0
    wander: float | None = None
    published: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is a clip to train on."""
        return bool(self.clips.get("train"))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"ok": self.ok}

    def text(self) -> str:
        """For people."""
        lines = [self.output]
        for part, count in self.clips.items():
            said = f" ({self.published[part]} published)" if part in self.published else ""
            lines.append(
                f"  {part}: {count} clips{said}, {self.frames[part]} frames, {self.identities[part]} identities"
            )
        lines.append("  videos: " + ", ".join(f"{count} {status}" for status, count in self.videos.items()))
        if self.skipped:
            lines.append(f"  {self.skipped} videos were done before")
        if self.dropped:
            lines.append("  no clip: " + ", ".join(f"{count} {why}" for why, count in sorted(self.dropped.items())))
        if self.missing:
            lines.append(f"  {self.missing} annotated clips have no video")
        lines += self._leak_lines()
        lines += [f"problem: {line}" for line in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"problem: {len(self.problems) - SHOWN} more are listed in {Path(self.output) / REPORT}")
        return "\n".join(lines)

    def _leak_lines(self) -> list[str]:
        leaked = [*self.leaked_identities, *(f"video {name}" for name in self.leaked_videos)]
        if not leaked:
            return []
        what = (
            f"{self.leaks_dropped} on the training side left out" if self.leaks_dropped
            else "test numbers of people known from training are too good; --leaks drop leaves them out"
        )  # fmt: skip
        return [f"warning: in both train and test: {', '.join(leaked[:SHOWN])}: {what}"]


def prepare(
    listing: Listing,
    plan: Plan,
    *,
    workers: int | None = None,
    engine: Engine = "processes",
    test_share: float = 0.2,
    seed: int = 0,
    leaks: Literal["keep", "drop"] = "keep",
    published: dict[str, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Make a training set; what is done already stays, so that a killed run is simply run again.

    Args:
        listing: The videos.
        plan: What to do with each.
        workers: Processes; None for one a core, 0 for this process alone.
        engine: Who does the work.
        test_share: Of the identities, held out where the listing does not say who.
        seed: Of that choice.
        leaks: Whether training clips of people and videos that are also tested stay or go.
        published: Clips per side of the published set, to compare with.
        progress: Called with `(videos done, videos)`.

    Raises:
        ConfigError: The folder was begun with other options, or a number is out of its range.
        OutputError: Clips cannot be written.
        WeightsError: The detector cannot be opened.
        DataError: Nobody is left to prepare.
    """
    _check(test_share, workers)
    with Journal(plan.output, plan.as_dict() | {"leaks": leaks}) as journal:
        _sweep(plan.output)
        parts = split(undecided(listing.entries), _known(journal, listing), share=test_share, seed=seed)
        entries = assigned(listing.entries, parts)
        journal.assign(parts)
        found = find_leaks(entries)
        entries, left_out = without_leaks(entries, found) if leaks == "drop" else (entries, 0)
        if not entries:
            raise DataError("nobody is left to prepare", hint="all were on both sides of the split")
        todo = [entry for entry in entries if not _is_done(entry, journal.records.get(entry.name), plan)]
        for entry in todo:
            _forget(journal.records.get(entry.name), plan)
        for count, record in enumerate(_work(todo, plan, workers, engine), start=1):
            journal.add(record)
            if progress is not None:
                progress(len(entries) - len(todo) + count, len(entries))
        records = list(journal.records.values())
    summary = summarise(records, plan.output, leaks=found, notes=listing.notes)
    summary.skipped, summary.leaks_dropped = len(entries) - len(todo), left_out
    summary.published = published or {}
    summary.problems += _strangers(records, plan.output)
    if summary.clips["train"] and not summary.clips["test"] and "test" in parts.values():
        summary.problems.append(
            "nobody is held out: of the people chosen for testing no clip came; move clips of others into test, "
            "or prepare into another folder with another --seed"
        )
    _write(summary, records, plan.output)
    return summary


def _check(test_share: float, workers: int | None) -> None:
    if not 0 <= test_share < 1:
        raise ConfigError(f"test share {test_share} makes no sense", hint="a share of the people, from 0 to below 1")
    if workers is not None and workers < 0:
        raise ConfigError(f"{workers} workers make no sense", hint="1 or more, or 0 for this process alone")


def _sweep(output: Path) -> None:
    """Remove what a killed run left under a partial name."""
    for part in ("train", "test"):
        for pattern in ("*.partial.mp4", "*.mp4.partial"):
            for left in (output / part).glob(pattern):
                remove(left)


def _strangers(records: Sequence[Record], output: Path) -> Iterator[str]:
    """Clips in the folder that no record names: somebody else's, or of a video that is gone since a killed run."""
    ours = {clip["file"] for record in records for clip in record["clips"]}
    for part in ("train", "test"):
        for path in sorted((output / part).glob("*")):
            if f"{part}/{path.name}" not in ours and not path.name.startswith("."):
                yield f"{part}/{path.name} was not made here: remove it, or know why it is there"


def _known(journal: Journal, listing: Listing) -> dict[str, str]:
    """Earlier choices, of those whose side the listing leaves open."""
    open_ones = undecided(listing.entries)
    return {name: part for name, part in journal.parts.items() if name in open_ones}


def _is_done(entry: Entry, record: Record | None, plan: Plan) -> bool:
    """Whether nothing has changed since, and all clips are there; failed and missing videos are tried again."""
    return (
        record is not None
        and record["status"] == "done"
        and record["source"] == source_mark(entry)
        and record.get("asked") == _asked(entry)
        and all((plan.output / clip["file"]).exists() for clip in record["clips"])
    )


def _asked(entry: Entry) -> str:
    """What the journal compares to see whether the same parts of a video are wanted."""
    facts = (entry.identity, entry.partition, entry.annotations, entry.guides)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _forget(record: Record | None, plan: Plan) -> None:
    """Remove the clips of an earlier record: none may stay beside the new ones."""
    for clip in record["clips"] if record else ():
        remove(plan.output / clip["file"])


def _work(entries: Sequence[Entry], plan: Plan, workers: int | None, engine: Engine) -> Iterator[Record]:
    """Records in the order in which videos end."""
    jobs = [Job(plan, entry) for entry in entries]

    def lost(index: int) -> Record:
        entry = entries[index]
        why = "its process died: a decoder crashed, or the memory was full"
        record = {"video": entry.name, "status": "failed", "clips": [], "dropped": {}, "problems": [why]}
        return record | {"source": source_mark(entry), "rows": len(entry.annotations)}

    count = min(os.cpu_count() or 1 if workers is None else workers, max(len(jobs), 1))
    if not jobs:
        return
    if engine == "ray":
        running = run_ray(jobs, workers=max(count, 1), lost=lost)
    elif count:
        running = run_processes(jobs, workers=count, lost=lost)
    else:
        running = run_here(jobs)
    for index, record in running:
        yield record | {"asked": _asked(entries[index])}


def summarise(records: Sequence[Record], output: Path, *, leaks: Leaks, notes: Sequence[str] = ()) -> Summary:
    """Count what became of all videos.

    Args:
        records: One a video.
        output: The folder.
        leaks: Who is on both sides.
        notes: Lines on what was passed over before.
    """
    clips = [clip for record in records for clip in record["clips"]]
    summary = Summary(str(output), problems=list(notes))
    for part in ("train", "test"):
        own = [clip for clip in clips if clip["partition"] == part]
        summary.clips[part] = len(own)
        summary.frames[part] = sum(clip["stop"] - clip["start"] for clip in own)
        summary.identities[part] = len({clip["identity"] for clip in own})
    summary.videos = dict(Counter(record["status"] for record in records))
    summary.missing = sum(record["rows"] for record in records if record["status"] == "missing")
    summary.dropped = dict(sum((Counter(record["dropped"]) for record in records), Counter()))
    summary.leaked_identities, summary.leaked_videos = list(leaks.identities), list(leaks.videos)
    wander = sorted(clip["wander"] for clip in clips if clip["wander"] is not None)
    summary.wander = wander[len(wander) // 2] if wander else None
    for record in records:
        rows = f" ({record['rows']} annotated clips)" if record["status"] == "missing" and record["rows"] else ""
        summary.problems += [f"{record['video']}: {record['status']}: {line}{rows}" for line in record["problems"]]
    return summary


def _write(summary: Summary, records: Sequence[Record], output: Path) -> None:
    with replacing(output / REPORT) as partial:
        partial.write_text(json.dumps(summary.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_annotations(
        output / ANNOTATIONS, (_annotation(r.get("found") or r["video"], clip) for r in records for clip in r["clips"])
    )


def _annotation(video: str, clip: Record) -> Annotation:
    size = (clip["size"][0], clip["size"][1])
    box, fps = Box(*clip["box"]), Fraction(clip["fps"])
    return Annotation(video, clip["start"], clip["stop"], box, fps, size, clip["partition"], clip["identity"])
