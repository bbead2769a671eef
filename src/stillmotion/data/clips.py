"""Which clips a folder holds, and how they are split into train and test.

A clip is one of three things:

- `video`: a file such as `.mp4`, `.mov`, `.gif`, `.webm`, `.mpg`, `.avi`;
- `frames`: a sub-folder of pictures, one per frame, taken in natural order (`2.png` before `10.png`);
- `strip`: one picture with the frames side by side.

A clip's identity is its file name up to the first `#` (`id10270#video#003.mp4` -> `id10270`), the
whole name where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.video.image import IMAGE_SUFFIXES
from stillmotion.video.pictures import list_frames

Subset: TypeAlias = Literal["train", "test", "all"]

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".gif", ".webm", ".mpg", ".mpeg", ".avi", ".mkv", ".m4v"})
PICTURE_SUFFIXES = frozenset(IMAGE_SUFFIXES)
TEST_SHARE = 0.2
"""Share of the identities held out where the folder has no `train` and `test` of its own."""


@dataclass(frozen=True)
class Clip:
    """One clip on disk.

    Attributes:
        name: Path below the folder, with `/` and without the suffix; unique together with `path`.
        path: The file, or the folder of frames.
        kind: `video`, `frames` or `strip`.
    """

    name: str
    path: Path
    kind: Literal["video", "frames", "strip"]

    @property
    def identity(self) -> str:
        """Exactly what stands before the first `#`: `12#a` is not of identity `123`."""
        return self.name.split("#", 1)[0]


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that counts: `frame2` before `frame10`."""
    parts = re.split(r"(\d+)", name)
    return (*((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts), (1, 0, name))


def _visible(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: natural_key(p.name))


def name_below(path: Path, root: Path) -> str:
    """What a clip is called: its path below `root`, with `/`, without a suffix that loaders know."""
    known = path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES
    return (path.with_suffix("") if known else path).relative_to(root).as_posix()


def _walk(folder: Path, root: Path) -> Iterator[Clip]:
    for path in _visible(folder):
        suffix = path.suffix.lower()
        if path.is_dir():
            # Frame folders made by the published scripts are *named* like videos: `id#clip.mp4/0000001.png`.
            if list_frames(path):
                yield Clip(name_below(path, root), path, "frames")
            else:
                yield from _walk(path, root)
        elif suffix in VIDEO_SUFFIXES:
            yield Clip(name_below(path, root), path, "video")
        elif suffix in PICTURE_SUFFIXES and folder == root:
            yield Clip(name_below(path, root), path, "strip")


def find_clips(folder: Path) -> list[Clip]:
    """Every clip below `folder`, in natural order of their names.

    Pictures that lie directly in `folder` are strips; sub-folders of pictures are frame folders;
    videos are found at any depth. Hidden files are passed over.
    """
    return sorted(_walk(folder, folder), key=lambda clip: natural_key(clip.name))


def other_files(folder: Path) -> list[Path]:
    """Visible files below `folder` that are no part of any clip."""
    known = VIDEO_SUFFIXES | PICTURE_SUFFIXES
    found = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return sorted(p for p in found if p.suffix.lower() not in known)


def has_own_split(path: Path) -> bool:
    """Whether the folder says itself what is for training: it has a `train` sub-folder."""
    return (path / "train").is_dir()


def split_identities(identities: Sequence[str], *, seed: int = 0) -> set[str]:
    """The identities held out for testing: a fifth of them, at least one of two or more.

    The choice depends on the sorted names and `seed` alone, so all clips of one person fall on the
    same side on every machine.
    """
    ordered = sorted(set(identities))
    if len(ordered) < 2:
        return set()
    count = max(1, round(len(ordered) * TEST_SHARE))
    chosen = np.random.default_rng(seed).permutation(len(ordered))[:count]
    return {ordered[i] for i in chosen}


def select_clips(path: str | Path, subset: Subset, *, seed: int = 0) -> list[Clip]:
    """The clips of one subset of a data folder.

    Args:
        path: Folder with `train/` and `test/`, or with clips directly.
        subset: `train`, `test`, or `all`.
        seed: Of the split, where the folder has none of its own: 80 / 20 by identity.

    Raises:
        DataError: No such folder, or the subset is empty.
    """
    root = Path(path)
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataError(
            f"the data folder {root} {kind}",
            hint="give a folder of videos, of frame folders, or of image strips",
            path=str(root),
        )
    if has_own_split(root):
        parts = ("train", "test") if subset == "all" else (subset,)
        clips = [clip for part in parts if (root / part).is_dir() for clip in find_clips(root / part)]
    else:
        clips = find_clips(root)
        held = split_identities([clip.identity for clip in clips], seed=seed)
        if subset != "all":
            clips = [clip for clip in clips if (clip.identity in held) == (subset == "test")]
    if not clips:
        raise DataError(
            f"no {'' if subset == 'all' else subset + ' '}clips in {root}",
            hint=f"looked for {', '.join(sorted(VIDEO_SUFFIXES))}, folders of pictures, and image strips; "
            "run: stillmotion data check " + str(root),
            path=str(root),
        )
    return clips
