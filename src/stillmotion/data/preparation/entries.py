"""What there is to prepare: a video, whose it is, and which parts of it are clips."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from stillmotion.core.errors import DataError
from stillmotion.data.clips import Clip, find_clips
from stillmotion.data.preparation.annotations import Annotation
from stillmotion.data.preparation.boxes import Box

IdentityRule: TypeAlias = Literal["name", "folder"]
"""`name`: the file's name up to the first `#`; `folder`: the folder that the file is in."""


@dataclass(frozen=True)
class Guide:
    """A rough box for each frame of a part of a video: which of the faces there is meant.

    Attributes:
        start: Number of the first frame, at `fps`.
        boxes: One for each frame from there on.
        unit: Boxes are a `share` of the frame's sides, or `lines` of a frame that is 360 lines high.
        fps: What frames are counted at.
    """

    start: int
    boxes: tuple[Box, ...]
    unit: Literal["share", "lines"]
    fps: int = 25

    def box_at(self, seconds: float, *, size: tuple[int, int]) -> Box | None:
        """The box at a time, pixels of a frame of `size (h, w)`; None before and after."""
        index = int(seconds * self.fps + 1e-6) - self.start
        if not 0 <= index < len(self.boxes):
            return None
        scale = (size[1], size[0]) if self.unit == "share" else (size[0] / 360, size[0] / 360)
        return self.boxes[index].scaled(*scale)


@dataclass(frozen=True)
class Entry:
    """One video.

    Attributes:
        name: How its clips are called, unique; no `/`.
        clip: The video on disk; None where it is missing.
        identity: Who is in it; unused where `annotations` say so for each clip.
        partition: `train` or `test`, or empty where it is to be chosen.
        annotations: Its clips, where they are known.
        guides: Parts to look at, where they are known.
    """

    name: str
    clip: Clip | None
    identity: str
    partition: str = ""
    annotations: tuple[Annotation, ...] = ()
    guides: tuple[Guide, ...] = ()

    @property
    def identities(self) -> set[str]:
        """Everybody in it."""
        return {one.identity for one in self.annotations} or {self.identity}


@dataclass
class Listing:
    """All entries, and what was odd about where they came from.

    Attributes:
        entries: In natural order.
        notes: One line on each thing that was passed over.
    """

    entries: list[Entry]
    notes: list[str] = field(default_factory=list)


def plain_name(name: str) -> str:
    """A clip's name without slashes, so that all clips lie side by side: `a/b` -> `a+b`."""
    return name.replace("/", "+").replace("\\", "+")


def list_folder(folder: Path, *, identity: IdentityRule = "name") -> Listing:
    """All videos, frame folders and strips below a folder; `train` and `test` inside are kept apart.

    Raises:
        DataError: No such folder, or nothing in it.
    """
    check_videos(folder)
    parts = [part for part in ("train", "test") if (folder / part).is_dir()]
    entries = []
    for part in parts or [""]:
        for clip in find_clips(folder / part if part else folder):
            person = clip.path.parent.name if identity == "folder" else plain_name(clip.identity)
            # The identity stands first in a clip's name, where the loaders look for it.
            name = f"{person}#{clip.path.stem}" if identity == "folder" else plain_name(clip.name)
            entries.append(Entry(name, clip, person, part))
    if not entries:
        raise DataError(f"no videos in {folder}", hint="give a folder of videos, frame folders or strips")
    _check_names(entries)
    return Listing(entries)


def check_videos(folder: Path) -> None:
    """Refuse a folder that is not there.

    Raises:
        DataError: It is missing, or a file.
    """
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"the folder of videos {folder} {kind}", hint="give the folder that the videos are in")


def _check_names(entries: Sequence[Entry]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        twin = seen.setdefault(entry.name, entry)
        if twin is not entry and twin.clip and entry.clip:
            raise DataError(
                f"{twin.clip.path} and {entry.clip.path} would give clips of the same name {entry.name}",
                hint="rename one of them",
            )


def videos_by_name(folder: Path) -> dict[str, Clip]:
    """Videos below a folder by their name below it and by their file name alone, the first where two share it."""
    check_videos(folder)
    found: dict[str, Clip] = {}
    clips = find_clips(folder)
    for clip in clips:
        found[clip.name] = clip
    for clip in clips:
        found.setdefault(clip.path.stem if clip.kind == "video" else clip.name.rpartition("/")[2], clip)
    return found


def list_annotated(folder: Path, annotations: Iterable[Annotation]) -> Listing:
    """The videos that annotations speak of, missing ones with `clip=None`.

    Raises:
        DataError: No such folder.
    """
    videos = videos_by_name(folder)
    rows = defaultdict(list)
    for one in annotations:
        rows[one.video].append(one)
    listing = Listing([])
    for video, own in rows.items():
        listing.entries.append(Entry(plain_name(video), videos.get(video), own[0].identity, "", tuple(own)))
    return listing


def split(identities: Iterable[str], known: Mapping[str, str], *, share: float, seed: int) -> dict[str, str]:
    """Who is for training and who for testing.

    Args:
        identities: Everybody.
        known: Who was assigned before: they stay where they are when videos are added later.
        share: Of the identities to hold out; at least one of two or more, unless 0.
        seed: Of the choice, which depends on it and on the names alone.

    Returns:
        `train` or `test` for everybody.
    """
    everybody = sorted(set(identities) | set(known))
    new = [name for name in everybody if name not in known]
    new.sort(key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).hexdigest())
    wanted = round(share * len(everybody))
    if share > 0 and len(everybody) > 1:
        wanted = max(1, min(wanted, len(everybody) - 1))
    else:
        wanted = 0
    held = set(new[: max(wanted - sum(part == "test" for part in known.values()), 0)])
    return {name: known.get(name) or ("test" if name in held else "train") for name in everybody}


def assigned(entries: Iterable[Entry], parts: Mapping[str, str]) -> list[Entry]:
    """The entries with a partition each; what they were given already stays."""
    done = []
    for entry in entries:
        rows = tuple(one if one.partition else replace(one, partition=parts[one.identity]) for one in entry.annotations)
        done.append(replace(entry, partition=entry.partition or parts.get(entry.identity, "train"), annotations=rows))
    return done


def undecided(entries: Iterable[Entry]) -> set[str]:
    """Identities whose partition nobody has given."""
    return {
        identity
        for entry in entries
        for identity, part in (
            [(one.identity, one.partition) for one in entry.annotations] or [(entry.identity, entry.partition)]
        )
        if not part
    }


@dataclass(frozen=True)
class Leaks:
    """Who is on both sides of the split, which makes test numbers too good.

    Attributes:
        identities: People.
        videos: Videos of which both sides have a part.
    """

    identities: tuple[str, ...]
    videos: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.identities or self.videos)


def find_leaks(entries: Iterable[Entry]) -> Leaks:
    """People and videos that are in both `train` and `test`."""
    people: dict[str, set[str]] = defaultdict(set)
    videos: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for identity, part in [(one.identity, one.partition) for one in entry.annotations] or [
            (entry.identity, entry.partition)
        ]:
            people[identity].add(part)
            videos[entry.name].add(part)

    def both(sides: Mapping[str, set[str]]) -> tuple[str, ...]:
        return tuple(sorted(name for name, parts in sides.items() if {"train", "test"} <= parts))

    return Leaks(both(people), both(videos))


def without_leaks(entries: Iterable[Entry], leaks: Leaks) -> tuple[list[Entry], int]:
    """The entries without the training clips of whoever is also tested, and how many clips or videos that were."""
    kept, dropped = [], 0
    for entry in entries:
        if not entry.annotations:
            is_leak = entry.partition == "train" and entry.identity in leaks.identities
            dropped += is_leak
            kept += [] if is_leak else [entry]
            continue
        rows = tuple(
            one
            for one in entry.annotations
            if one.partition != "train" or not (one.identity in leaks.identities or entry.name in leaks.videos)
        )
        dropped += len(entry.annotations) - len(rows)
        kept += [replace(entry, annotations=rows)] if rows else []
    return kept, dropped
