"""What is trained and scored on: a published set or heads-1, arranged as a folder that `train` takes.

OUT/data/<set>/train   links to the training clips, where they are
OUT/data/<set>/test/   the fixed test clips: their first frames, small, losslessly, as strips
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stillmotion.core.errors import DataError
from stillmotion.data.decode import Fit
from stillmotion.data.folder import ClipFolder
from stillmotion.data.worlds.benchmark import HELD_OUT, Task, find_benchmark
from stillmotion.video.target import replacing

FRAMES = 24
"""Most frames of a test clip, the first ones."""
TRAINING = 1200
"""Most training strips of a published set, evenly spread: an epoch must be short enough for the rates to fall."""
HEADS = "heads-1"
LARGE = "heads-1-128"
"""The same clips, at 128×128."""
SIZES = {"shapes": 64, "actions": 64, HEADS: 64, LARGE: 128}
"""Sets, in the order of the work, and the side of their frames in pixels."""


def shows_heads(name: str) -> bool:
    """Whether a set is heads-1, of either size."""
    return name in (HEADS, LARGE)


def spread(count: int, most: int) -> list[int]:
    """At most `most` of so many numbers, evenly."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def heads_tasks(kind: str, most: int) -> list[Task]:
    """Tasks of heads-1 of one kind, at most so many, evenly spread."""
    tasks = [task for task in find_benchmark(HEADS).tasks if task.kind == kind]
    return [tasks[index] for index in spread(len(tasks), most)]


def arrange(name: str, data: Path, folder: Path, *, most: int, bench: Path | None = None) -> Path:
    """Make the folder of a set, or take the one that is there.

    Args:
        name: One of `SIZES`.
        data: The published set with `train/` and `test/`; for heads-1, rendered clips.
        folder: Where the sets lie.
        most: Test clips, evenly spread over the sorted names.
        bench: Where heads-1 was rendered.

    Raises:
        DataError: Clips are missing, or a training clip shows somebody who is held out.
    """
    place = folder / name
    if (place / "test").is_dir():
        return place
    place.mkdir(parents=True, exist_ok=True)
    fit = Fit((SIZES[name], SIZES[name]))
    if shows_heads(name):
        if bench is None:
            raise DataError("heads-1 is scored on its rendered benchmark", hint="give its folder: --bench")
        check_people(data)
        clips = ClipFolder(bench, fit=fit, subset="all", memory=0)
        chosen = [task.truth for task in heads_tasks("reconstruct", most)]
        _link(place / "train", data)
    else:
        clips = ClipFolder(data, fit=fit, subset="test", memory=0)
        chosen = spread(len(clips), most)
        strips = sorted(path for path in (data / "train").iterdir() if not path.name.startswith("."))
        (place / "train").mkdir(exist_ok=True)
        for index in spread(len(strips), TRAINING):
            _link(place / "train" / strips[index].name, strips[index])
    with replacing(place / "test") as partial:
        partial.mkdir()
        for index in chosen:
            frames = [frame for frame, _ in zip(clips.stream(index), range(FRAMES), strict=False)]
            Image.fromarray(np.concatenate(frames, axis=1)).save(partial / f"{clips.clips[index].name}.png")
    return place


def _link(place: Path, target: Path) -> None:
    if place.is_symlink():
        place.unlink()
    place.symlink_to(target.resolve(), target_is_directory=target.is_dir())


def check_people(data: Path) -> None:
    """See that no training clip shows a held-out person of heads-1, or a blend with one.

    Raises:
        DataError: One does.
    """
    for path in sorted(data.glob("*.npz")):
        with np.load(path, allow_pickle=False) as truth:
            person = str(truth["person"])
        found = [name for name in HELD_OUT if name in person]
        if found:
            raise DataError(f"{path} shows {found[0]}, who is held out", hint="render with --hold-out heads-1")
