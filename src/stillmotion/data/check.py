"""Look at a data folder before a run: what is in it, and what is wrong with it.

Source: requirements of users of the published code, whose loaders fail late or silently on badly
named, empty, mixed or corrupt data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.data.clips import Clip, find_clips, has_own_split, other_files, select_clips
from stillmotion.data.decode import LONGEST, raw_frames

TINY = 64
"""Frames with a shorter side below this are reported."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: `corrupt`, `short`, `empty`, `mixed sizes`, `shared identity`, `other file`, `tiny`,
            `grey`, `still`, `long` or `no test`.
        severe: True where training cannot use the clip (or the folder), False where it can.
        where: Clip, file or identity.
        message: What was seen.
        hint: What to do.
    """

    kind: str
    severe: bool
    where: str
    message: str
    hint: str


@dataclass
class Report:
    """What `check` found.

    Attributes:
        path: The folder.
        clips: Usable clips per subset (`all` where the folder is not split).
        frames: Frames per subset.
        identities: Identities per subset.
        sizes: Clips per frame size, `"width x height"`.
        problems: In the order found.
    """

    path: str
    clips: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether training can start: at least one usable clip for it."""
        return bool(self.clips.get("train", self.clips.get("all", 0)))

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"ok": self.ok}

    def text(self) -> str:
        """For people: counts, then problems, the severe ones first."""
        lines = [f"{self.path}"]
        for subset, count in self.clips.items():
            frames, people = self.frames[subset], self.identities[subset]
            lines.append(f"  {subset}: {count} clips, {frames} frames, {people} identities")
        lines += [f"  {size}: {count} clips" for size, count in self.sizes.items()]
        for problem in sorted(self.problems, key=lambda p: not p.severe):
            mark = "problem" if problem.severe else "note"
            lines.append(f"{mark}: {problem.kind}: {problem.where}: {problem.message}")
            lines.append(f"   hint: {problem.hint}")
        lines.append("ready to train" if self.ok else "not ready: no usable clip")
        return "\n".join(lines)


@dataclass
class _Seen:
    """Running facts of one clip, gathered frame by frame."""

    frames: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    grey: bool = True
    moving: bool = False
    first: np.ndarray | None = None

    def add(self, frame: np.ndarray) -> None:
        self.frames += 1
        self.sizes[frame.shape[:2]] += 1
        self.grey = self.grey and bool((frame == frame[..., :1]).all())
        if self.first is None:
            self.first = frame
        elif not self.moving:
            self.moving = frame.shape != self.first.shape or not np.array_equal(frame, self.first)


def check(
    path: str | Path,
    *,
    strip_frame: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read every frame of every clip below a folder and report.

    Args:
        path: As for `ClipFolder`.
        strip_frame: `(h, w)` of one frame in image strips; None takes squares.
        progress: Called with `(clips done, clips)`.

    Raises:
        DataError: The folder does not exist. An empty one is a problem in the report.
    """
    root = Path(path)
    report = Report(str(root))
    parts = _parts(root, report)
    total = sum(map(len, parts.values()))
    done = 0
    people: dict[str, set[str]] = {}
    for subset, clips in parts.items():
        usable = []
        frames = 0
        for clip in clips:
            seen = _inspect(clip, report, strip_frame)
            if seen is not None:
                usable.append(clip)
                frames += seen.frames
            done += 1
            if progress is not None:
                progress(done, total)
        people[subset] = {clip.identity for clip in usable}
        report.clips[subset] = len(usable)
        report.frames[subset] = frames
        report.identities[subset] = len(people[subset])
    _shared_identities(people, report)
    for file in other_files(root):
        report.problems.append(
            Problem("other file", False, file.relative_to(root).as_posix(), "not a video or picture", "it is ignored")
        )
    return report


def _parts(root: Path, report: Report) -> dict[str, list[Clip]]:
    if not root.is_dir():
        select_clips(root, "all")  # raises the error that says why
    if not has_own_split(root):
        parts = {"all": find_clips(root)}
    else:
        parts = {part: find_clips(root / part) for part in ("train", "test") if (root / part).is_dir()}
        if not parts.get("test"):
            hint = "put some clips of people who are not in train/ there, to score the result"
            report.problems.append(Problem("no test", False, "test/", "no clips to test on", hint))
    first = next(iter(parts))
    if not parts[first]:
        hint = "put videos, folders of pictures, or image strips there"
        report.problems.append(Problem("empty", True, first, "no clips found", hint))
    return parts


def _inspect(clip: Clip, report: Report, strip_frame: tuple[int, int] | None) -> _Seen | None:
    """Read one clip; None if training cannot use it."""
    seen = _Seen()
    try:
        for frame in raw_frames(clip, strip_frame=strip_frame):
            seen.add(frame)
    except DataError as error:
        report.problems.append(Problem("corrupt", True, clip.name, error.message, error.hint or "remove it"))
        return None
    if seen.frames < 2:
        hint = "give at least two frames; the pictures of one clip belong in a sub-folder"
        report.problems.append(Problem("short", True, clip.name, f"{seen.frames} frames", hint))
        return None
    for size in seen.sizes:
        name = f"{size[1]}x{size[0]}"
        report.sizes[name] = report.sizes.get(name, 0) + 1
    report.problems += _doubts(clip, seen)
    return seen


def _doubts(clip: Clip, seen: _Seen) -> list[Problem]:
    """What may hurt the result although the clip can be used."""
    found = []
    shortest = min(min(size) for size in seen.sizes)
    if len(seen.sizes) > 1:
        sizes = ", ".join(f"{w}x{h}" for h, w in seen.sizes)
        found.append(("mixed sizes", f"frames of {sizes}", "each frame is resized on its own: export them at one size"))
    if shortest < TINY:
        found.append(("tiny", f"only {shortest} pixels on the shorter side", "frames will be enlarged and blurred"))
    if seen.grey:
        found.append(("grey", "all frames are grey", "fine if the source pictures will be grey too"))
    if not seen.moving:
        found.append(("still", "all frames are the same", "nothing moves, so nothing is learnt: remove it"))
    if seen.frames > LONGEST:
        found.append(("long", f"{seen.frames} frames", f"training thins it to {LONGEST}: cut it into shorter clips"))
    return [Problem(kind, False, clip.name, message, hint) for kind, message, hint in found]


def _shared_identities(people: dict[str, set[str]], report: Report) -> None:
    for identity in sorted(people.get("train", set()) & people.get("test", set())):
        hint = "move all its clips to one side: test numbers of a known identity are too good"
        report.problems.append(Problem("shared identity", False, identity, "in both train and test", hint))
