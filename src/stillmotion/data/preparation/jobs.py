"""One video, from finding to clips: what a process or a machine of a cluster does at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from stillmotion.core.errors import ConfigError, OutputError, StillmotionError, WeightsError
from stillmotion.data.clips import name_below
from stillmotion.data.preparation.annotations import Annotation
from stillmotion.data.preparation.boxes import Box, grown
from stillmotion.data.preparation.entries import Entry, Guide, plain_name
from stillmotion.data.preparation.finders import Provider, opened
from stillmotion.data.preparation.footage import Cutter, Footage, Kind
from stillmotion.data.preparation.tracking import Cut, Rule, cuts, follow
from stillmotion.video.target import remove

Status: TypeAlias = Literal["done", "failed", "missing"]
Record: TypeAlias = dict[str, Any]
"""What became of a video, as it stands in the journal: `video`, `status`, `clips`, `dropped`,
`problems`, `source` (bytes and time of the file), `found` (the file's own name below the folder)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done with every video.

    Attributes:
        videos: Folder that the videos come from.
        output: Folder of the set; `train` and `test` are made in it.
        size: Side of the clips, pixels.
        rule: What makes a clip.
        finder: Who is looked for; None takes the whole frame.
        kind: See `footage.Kind`.
        rate: Frames per second to read videos at; None for their own.
    """

    videos: Path
    output: Path
    size: int = 256
    rule: Rule = field(default_factory=Rule)
    finder: Provider | None = None
    kind: Kind = "mp4"
    rate: Fraction | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            ConfigError: The size or the rate makes no sense, or the clips would be taken for videos.
        """
        if self.output == self.videos or self.videos in self.output.parents:
            raise ConfigError(
                f"{self.output} lies in the folder of videos: the next run would take its clips for videos",
                hint="choose an output folder outside of it",
            )
        if not 16 <= self.size <= 4096 or self.size % 2:
            raise ConfigError(f"size {self.size} makes no sense", hint="an even number of pixels from 16 to 4096")
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise ConfigError(f"fps {self.rate} makes no sense", hint="above 0 and up to 1000, or leave it out")

    def as_dict(self) -> Record:
        """What decides how the clips look, for the journal."""
        facts: Record = {"videos": str(self.videos), "size": self.size, "kind": self.kind}
        facts |= {"rate": str(self.rate or "own"), "finder": repr(self.finder)}
        return facts | asdict(self.rule)


@dataclass(frozen=True)
class Job:
    """A video and what to do with it."""

    plan: Plan
    entry: Entry

    def __call__(self) -> Record:
        """Do it, see `do`."""
        return do(self)


@dataclass(frozen=True)
class Wanted:
    """A cut on its way to a file.

    Attributes:
        cut: What to cut.
        file: Path below the output, with `/`.
        path: The file.
        partition: `train` or `test`.
        identity: Who it is.
    """

    cut: Cut
    file: str
    path: Path
    partition: str
    identity: str


def source_mark(entry: Entry) -> list[int] | None:
    """Size and time of change of a video's file; None where it is missing."""
    if entry.clip is None or not entry.clip.path.exists():
        return None
    stat = entry.clip.path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def do(job: Job) -> Record:
    """Find, follow and cut in one video.

    Returns:
        The record. A video that cannot be read is `failed`, and costs nobody else anything.

    Raises:
        OutputError: The clips cannot be written: no other video's could be either.
        WeightsError: The detector cannot be opened: the same.
    """
    plan, entry = job.plan, job.entry
    record: Record = {"video": entry.name, "status": "done", "clips": [], "dropped": {}, "problems": []}
    record |= {"source": source_mark(entry), "rows": len(entry.annotations)}
    if entry.clip is None:
        return record | {"status": "missing", "problems": [f"there is no video {entry.name}"]}
    path = entry.clip.path
    record["found"] = name_below(path, plan.videos) if path.is_relative_to(plan.videos) else entry.clip.name
    finder = opened(plan.finder) if plan.finder is not None and not entry.annotations else None
    began = time.monotonic()
    cutter = Cutter((plan.size, plan.size), plan.kind)
    try:
        footage = Footage.open(entry.clip, rate=plan.rate)
        wanted, dropped = _wanted(plan, entry, footage, finder)
        if wanted:
            for part in {one.partition for one in wanted}:
                (plan.output / part).mkdir(parents=True, exist_ok=True)
            cutter.cut(footage, wanted)
    except (OutputError, WeightsError):
        raise
    except Exception as error:  # whatever a damaged file makes a library do: it is this video's alone
        message = error.message if isinstance(error, StillmotionError) else f"{type(error).__name__}: {error}"
        for path in cutter.written:
            remove(path)
        return record | {"status": "failed", "problems": [message]}
    record["dropped"] = dict(dropped)
    record["seconds"] = round(time.monotonic() - began, 2)
    _tell(record, wanted, cutter, footage)
    return record


def _tell(record: Record, wanted: Sequence[Wanted], cutter: Cutter, footage: Footage) -> None:
    """Put the clips into the record, and what is odd about them."""
    if footage.damaged:
        record["problems"].append(f"{footage.damaged} pictures could not be decoded and were skipped or patched up")
    for one in wanted:
        frames, length = cutter.written.get(one.path, 0), one.cut.stop - one.cut.start
        if frames < length:
            record["problems"].append(
                f"{one.file}: {frames} of {length} frames, the video ends before" if frames
                else f"{one.file}: not made, the video ends before frame {one.cut.start}"
            )  # fmt: skip
        if not frames:
            record["dropped"]["after the end"] = record["dropped"].get("after the end", 0) + 1
            continue
        box = one.cut.box
        record["clips"].append(
            {
                "file": one.file,
                "identity": one.identity,
                "partition": one.partition,
                "start": one.cut.start,
                "stop": one.cut.start + frames,
                "box": [box.left, box.top, box.right, box.bottom],
                "fps": str(footage.fps),
                "size": list(footage.size),
                "wander": one.cut.wander,
            }
        )


def _wanted(plan: Plan, entry: Entry, footage: Footage, finder: Any) -> tuple[list[Wanted], Counter[str]]:
    """The clips to cut and their files."""
    if entry.annotations:
        found = [_annotated(one, footage, plan.rule) for one in entry.annotations]
        owners = [(one.partition, one.identity) for one in entry.annotations]
        dropped = Counter[str]()
    else:
        found, dropped = _found(plan, entry, footage, finder)
        owners = [(entry.partition, entry.identity)] * len(found)
    names: Counter[str] = Counter()
    wanted = []
    for cut, (part, identity) in zip(found, owners, strict=True):
        person = plain_name(identity)
        stem = entry.name if entry.name.split("#")[0] == person else f"{person}#{entry.name}"
        name = f"{stem}#{cut.start:06d}#{cut.stop:06d}"
        names[name] += 1
        name += f"#{names[name]}" if names[name] > 1 else ""
        file = f"{part}/{name}.mp4"
        wanted.append(Wanted(cut, file, plan.output / file, part, identity))
    return wanted, dropped


def _annotated(one: Annotation, footage: Footage, rule: Rule) -> Cut:
    """Published boxes have their margin already; where a square leaves the frame, its edge is repeated."""
    cut = one.cut_of(size=footage.size, fps=footage.fps)
    if rule.shape == "stretched":
        return cut
    return replace(cut, box=grown(cut.box, 0.0, shape="square").slid_into(footage.size).rounded())


def _found(plan: Plan, entry: Entry, footage: Footage, finder: Any) -> tuple[list[Cut], Counter[str]]:
    if finder is None:
        return _whole(plan.rule, footage)
    found = _boxes(entry.guides, footage, finder)
    tracks = follow(_first_only(found, footage) if plan.rule.follow == "first" else found, plan.rule)
    kept, dropped = cuts(tracks, plan.rule, size=footage.size)
    if not kept and not dropped:
        dropped["nobody found"] += 1
    return kept, dropped


def _boxes(guides: Sequence[Guide], footage: Footage, finder: Any) -> Iterator[Sequence[Box]]:
    """Who is found in each frame; with guides, only the one that a guide means."""
    for index, frame in enumerate(footage.frames()):
        if not guides:
            yield finder(frame)
            continue
        seconds = float(index / footage.fps)
        meant = [box for guide in guides if (box := guide.box_at(seconds, size=footage.size)) is not None]
        found = finder(frame) if meant else ()
        best = max(((box, guess) for box in found for guess in meant), key=lambda p: p[0].overlap(p[1]), default=None)
        yield [best[0]] if best is not None and best[0].overlap(best[1]) > 0 else []


def _first_only(found: Iterator[Sequence[Box]], footage: Footage) -> Iterator[Sequence[Box]]:
    """Who is found first, and then nothing for the rest of the frames, which nobody needs to look at."""
    looked = 0
    for boxes in found:
        looked += 1
        yield boxes
        if boxes:
            break
    for _ in islice(footage.frames(), looked, None):
        yield ()


def _whole(rule: Rule, footage: Footage) -> tuple[list[Cut], Counter[str]]:
    """The whole frame, or the largest square in its middle, in parts of at most the longest clip."""
    count = sum(1 for _ in footage.frames())
    height, width = footage.size
    side = min(height, width) if rule.shape == "square" else None
    left, top = ((width - side) // 2, (height - side) // 2) if side else (0, 0)
    box = Box(left, top, left + (side or width), top + (side or height))
    kept, dropped = [], Counter[str]()
    for start in range(0, count, rule.most_frames):
        stop = min(start + rule.most_frames, count)
        if stop - start < rule.least_frames:
            dropped["too short"] += 1
        elif box.longer_side < rule.least_side:
            dropped["too small"] += 1
        else:
            kept.append(Cut(start, stop, box))
    return kept, dropped
