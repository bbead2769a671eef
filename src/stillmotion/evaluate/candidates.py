"""Who is scored: weights that rebuild clips, folders of clips that something else has made, and copying.

truth, batch by batch ──▶ Answering.next ──▶ planes to score
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from stillmotion import methods
from stillmotion.core.errors import ConfigError, DataError
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import Method, State
from stillmotion.data.clips import Clip, find_clips
from stillmotion.data.decode import Fit, raw_frames
from stillmotion.evaluate.naming import find_weights, told_apart
from stillmotion.evaluate.table import COPYING
from stillmotion.weights import is_shipped


class Answering(Protocol):
    """One candidate on one clip."""

    def next(self, frames: np.ndarray) -> np.ndarray:
        """What the candidate makes of the next true frames `uint8 (n, h, w, 3)`: `float32 (n, 3, h, w)`."""
        ...

    def close(self) -> None:
        """Called after the last true frame.

        Raises:
            DataError: The candidate has more.
        """
        ...


class Candidate(Protocol):
    """Somebody to score.

    Attributes:
        name: In the table.
    """

    name: str

    @property
    def fit(self) -> Fit | None:
        """Size and crop of the frames it wants; None takes any."""
        ...

    def answering(self, clip: str, first: Frame) -> Answering:
        """Start on a clip, given its name and its first frame."""
        ...


@dataclass
class Rebuilding:
    """Weights that rebuild a clip from its first frame; absolute motion, as published."""

    name: str
    method: Method

    @property
    def fit(self) -> Fit | None:
        """What the weights want."""
        return Fit.of(self.method.spec)

    def answering(self, clip: str, first: Frame) -> Answering:
        """See `Candidate`."""
        return _Driven(self.method, self.method.encode([first]))


@dataclass
class _Driven:
    method: Method
    state: State

    def next(self, frames: np.ndarray) -> np.ndarray:
        return self.method.render(self.state, self.method.read(frames)).planes

    def close(self) -> None:
        pass


@dataclass
class Copying:
    """The first frame as the answer to all."""

    name: str = COPYING
    fit: Fit | None = None

    def answering(self, clip: str, first: Frame) -> Answering:
        """See `Candidate`."""
        return _Still(to_planes(first[None]))


@dataclass
class _Still:
    planes: np.ndarray

    def next(self, frames: np.ndarray) -> np.ndarray:
        return np.repeat(self.planes, len(frames), 0)

    def close(self) -> None:
        pass


class Made:
    """A folder of clips that something else has made, named like the true ones.

    Args:
        folder: Videos, frame folders or strips.

    Raises:
        DataError: There are none.
    """

    fit: Fit | None = None

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.clips: dict[str, Clip] = {clip.name: clip for clip in find_clips(folder)}
        if not self.clips:
            raise DataError(f"there are no clips in {folder}", hint="give a bundle, a run, or a folder of clips")

    def answering(self, clip: str, first: Frame) -> Answering:
        """See `Candidate`.

        Raises:
            DataError: It has no clip of that name.
        """
        if clip not in self.clips:
            raise DataError(f"{self.name} has no clip {clip}", hint="name clips like the true ones")
        size = (first.shape[0], first.shape[1])
        return _Played(clip, raw_frames(self.clips[clip], strip_frame=size), size)


@dataclass
class _Played:
    clip: str
    frames: Iterator[Frame]
    size: tuple[int, int]
    done: int = 0

    def next(self, frames: np.ndarray) -> np.ndarray:
        found = list(islice(self.frames, len(frames)))
        self.done += len(found)
        if len(found) < len(frames):
            raise DataError(
                f"clip {self.clip} ends after {self.done} frames, the true one goes on",
                hint="make a frame for every true frame; nothing is cut to fit",
            )
        if found[0].shape[:2] != self.size:
            raise DataError(
                f"clip {self.clip} has frames of {found[0].shape[:2]}, the true one of {self.size}",
                hint="make both of one size; nothing is scaled to fit",
            )
        return to_planes(np.stack(found))

    def close(self) -> None:
        if next(self.frames, None) is not None:
            raise DataError(
                f"clip {self.clip} goes on after the {self.done} frames of the true one",
                hint="make a frame for every true frame; nothing is cut to fit",
            )


def open_candidate(given: str, *, engine: methods.EngineName = "auto", device: str | None = None) -> Candidate:
    """A candidate from a name of shipped weights, a bundle, a run, a checkpoint, or a folder of clips.

    Args:
        given: Which.
        engine: See `methods.load`.
        device: For torch.

    Raises:
        WeightsError: The weights cannot be used, or are of something that is no method.
        DataError: A folder with neither weights nor clips.
    """
    where = find_weights(given)
    path = Path(where)
    if not is_shipped(given) and path.is_dir() and not (path / "model.json").is_file():
        return Made(path)
    method = methods.load(where, engine=engine, device=device)
    return Rebuilding(f"{method.spec.weights} ({method.spec.name})", method)


def named_apart(candidates: Sequence[Candidate], given: Sequence[str]) -> list[Candidate]:
    """The same candidates, those of equal names told apart; see `naming.told_apart`."""
    names = told_apart([candidate.name for candidate in candidates], given)
    for candidate, name in zip(candidates, names, strict=True):
        candidate.name = name
    return list(candidates)


def common_fit(
    candidates: Sequence[Candidate], *, size: int | None = None, crop: Literal["whole", "face", "squash"] | None = None
) -> Fit:
    """Size and crop that all candidates want.

    Args:
        candidates: Who is scored.
        size: Side of square frames where no candidate says it.
        crop: Taken in place of what the weights want.

    Raises:
        ConfigError: They want different frames, or nobody says which.
    """
    wanted = {c.name: c.fit if crop is None else Fit(c.fit.size, crop=crop) for c in candidates if c.fit is not None}
    if not wanted and size is None:
        raise ConfigError("no weights say which frames to score", hint="give --size, such as --size 256")
    if not wanted and size is not None:
        return Fit((size, size), crop=crop or "whole")
    (first, fit), *others = wanted.items()
    for name, other in others:
        if other != fit:
            raise ConfigError(
                f"{first} and {name} want different frames: {_said(fit)} and {_said(other)}",
                hint="their numbers would not compare: score them apart, or give --crop whole where only crops differ",
            )
    if size is not None and fit.size != (size, size):
        raise ConfigError(f"{first} wants {_said(fit)}, not {size}x{size}", hint="leave --size out")
    return fit


def _said(fit: Fit) -> str:
    return f"{fit.size[1]}x{fit.size[0]}, {fit.crop} crop"
