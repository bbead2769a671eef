"""Published data sets as they lie on disk after their own download: where everything is, and who is who.

| set | what is read |
|---|---|
| `voxceleb` | videos `VIDEO.mp4`, and `vox-metadata.csv` or a folder of `idXXXXX/VIDEO/NNNNN.txt` |
| `nemo` | UvA-Nemo: `SUBJECT_deliberate_smile_N.mp4` and `SUBJECT_spontaneous_smile_N.mp4` |
| `bair` | `train` and `test` of videos or frame folders, one robot, each clip on its own |
| `taichi` | Tai-Chi-HD: videos `VIDEO.mp4` and `taichi-metadata.csv` |
| `fashion` | videos and `fashion_train.txt`, `fashion_test.txt` (addresses), or `train` and `test` |
| `mgif` | `train` and `test` of `.gif` |
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from stillmotion.core.errors import ConfigError, DataError, did_you_mean
from stillmotion.data.clips import natural_key
from stillmotion.data.preparation.annotations import read_annotations
from stillmotion.data.preparation.boxes import Box
from stillmotion.data.preparation.entries import (
    Entry,
    Guide,
    Listing,
    list_annotated,
    list_folder,
    plain_name,
    videos_by_name,
)

SetName: TypeAlias = Literal["voxceleb", "nemo", "bair", "taichi", "fashion", "mgif"]

PUBLISHED: dict[str, dict[str, int]] = {
    "voxceleb": {"train": 19550, "test": 525},
    "nemo": {"train": 1116, "test": 124},
    "bair": {"train": 42880, "test": 128},
    "taichi": {"train": 3049, "test": 285},
}
"""Clips per side: for VoxCeleb and Tai-Chi-HD the rows of the released files, otherwise the paper's numbers."""

RULES: dict[str, dict[str, object]] = {
    "nemo": {"follow": "first", "least_frames": 1, "least_side": 1},
    "taichi": {"least_frames": 128},
    "bair": {"least_frames": 1},
    "mgif": {"least_frames": 1},
    "fashion": {"least_frames": 1},
}
"""How a set's rule differs from VoxCeleb's."""

VOX_TEST = range(10270, 10310)
"""VoxCeleb1's own test identities."""

_VOX_PERSON = re.compile(r"id(\d{5})")
_NEMO = re.compile(r"(\d+)_(deliberate|spontaneous)_smile_(\d+)")


def read_set(name: str, videos: Path, annotations: Path | None = None) -> Listing:
    """List a published set.

    Args:
        name: One of `SetName`.
        videos: Its folder.
        annotations: Its annotation file, or VoxCeleb's folder of text files.

    Raises:
        ConfigError: No set of that name, or one that needs annotations and got none.
        DataError: Nothing there that looks like it.
    """
    if name not in get_args(SetName):
        raise ConfigError(f"there is no data set {name!r}", hint=did_you_mean(name, get_args(SetName)))
    if annotations is not None and annotations.is_dir():
        if name != "voxceleb":
            raise ConfigError(f"{annotations} is a folder", hint="only VoxCeleb has a folder of text files; give a CSV")
        return _voxceleb_texts(videos, annotations)
    if annotations is not None:
        rows, wrong = read_annotations(annotations)
        listing = list_annotated(videos, rows)
        return replace(listing, notes=wrong)
    if name in ("voxceleb", "taichi"):
        hint = "add --annotations with vox-metadata.csv or taichi-metadata.csv"
        raise ConfigError(f"{name} needs its annotations", hint=hint)
    return {"nemo": _nemo, "fashion": _fashion}.get(name, _each_alone)(videos)


def _each_alone(videos: Path) -> Listing:
    """Every clip is its own identity, whatever its name."""
    listing = list_folder(videos)
    entries = [replace(entry, identity=entry.name.replace("#", "-")) for entry in listing.entries]
    return replace(listing, entries=[replace(entry, name=entry.identity) for entry in entries])


def _nemo(videos: Path) -> Listing:
    listing = Listing([])
    for entry in list_folder(videos).entries:
        match = _NEMO.fullmatch(entry.name.rpartition("+")[2])
        if match is None:
            listing.notes.append(f"{entry.name}: not named SUBJECT_deliberate_smile_N or SUBJECT_spontaneous_smile_N")
            continue
        subject, kind, number = match.groups()
        listing.entries.append(replace(entry, name=f"{subject}#{kind}{number}", identity=subject))
    if not listing.entries:
        raise DataError(f"no UvA-Nemo videos in {videos}", hint="they are named like 001_deliberate_smile_1.mp4")
    return listing


def _fashion(videos: Path) -> Listing:
    lists = {part: videos / f"fashion_{part}.txt" for part in ("train", "test")}
    if not any(path.is_file() for path in lists.values()):
        return _each_alone(videos)
    found = videos_by_name(videos)
    sides: dict[str, set[str]] = defaultdict(set)
    listing = Listing([])
    for part, path in lists.items():
        if not path.is_file():
            listing.notes.append(f"{path.name} is not there: the {part} side is empty")
            continue
        for line in filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())):
            name = PurePosixPath(urlsplit(line).path).stem
            if part in sides[name]:
                listing.notes.append(f"{path.name}: {name} stands there twice")
                continue
            # On both sides it is a leak, which is reported; its two clips need two names.
            own = plain_name(name) + (f"#{part}" if sides[name] else "")
            listing.entries.append(Entry(own, found.get(name), name, part))
            sides[name].add(part)
    return listing


def _voxceleb_texts(videos: Path, folder: Path) -> Listing:
    found = videos_by_name(videos)
    guides: dict[tuple[str, str], list[Guide]] = defaultdict(list)
    listing = Listing([])
    for path in sorted(folder.rglob("*.txt"), key=lambda p: natural_key(p.as_posix())):
        person, video = path.parent.parent.name, path.parent.name
        try:
            guides[person, video].append(read_utterance(path))
        except DataError as error:
            listing.notes.append(error.message)
    if not guides:
        raise DataError(f"no VoxCeleb text files in {folder}", hint="they lie in idXXXXX/VIDEO/NNNNN.txt")
    for (person, video), parts in guides.items():
        number = _VOX_PERSON.fullmatch(person)
        side = "test" if number and int(number[1]) in VOX_TEST else "train"
        clip = found.get(f"{person}/{video}") or found.get(video)
        listing.entries.append(Entry(f"{person}#{plain_name(video)}", clip, person, side, guides=tuple(parts)))
    return listing


def read_utterance(path: Path) -> Guide:
    """One of VoxCeleb's text files: after a head, lines of `FRAME X Y W H` at 25 frames per second.

    Boxes of VoxCeleb1 are pixels of a frame of 360 lines, those of VoxCeleb2 shares of the frame.

    Raises:
        DataError: It holds no such lines, or frames that are not in a row.
    """
    numbers, boxes = [], []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="copy it again") from error
    for line in lines:
        words = line.split()
        if len(words) == 5 and words[0].isdigit():
            try:
                x, y, w, h = map(float, words[1:])
            except ValueError:
                continue
            numbers.append(int(words[0]))
            boxes.append(Box(x, y, x + w, y + h))
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise DataError(f"{path} is no VoxCeleb text file: no lines of FRAME X Y W H in a row", hint="copy it again")
    is_share = all(max(box.right, box.bottom) <= 2 for box in boxes)
    return Guide(numbers[0], tuple(boxes), "share" if is_share else "lines")
