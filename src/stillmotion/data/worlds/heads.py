"""The world of talking heads: clips of rendered people with exact truth, on all cores, resumable.

`render_heads` is what the command line calls; `Theatre` renders single clips, of a person and a
motion of one's choice, for benchmarks.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.data.worlds.cast import Person
from stillmotion.data.worlds.figure import Figure
from stillmotion.data.worlds.glasses import GLASSES, make_glasses
from stillmotion.data.worlds.identity import blend, paint_regions, skin_level, tint
from stillmotion.data.worlds.look import Look, expose, make_look
from stillmotion.data.worlds.motion import Track, make_faces, make_track
from stillmotion.data.worlds.pack import Cast, find_glb, pack_avatars
from stillmotion.data.worlds.performance import Framing, make_framing, perform
from stillmotion.data.worlds.scene import Stage
from stillmotion.data.worlds.store import has_clip, save_clip
from stillmotion.data.worlds.truth import ClipTruth


@dataclass(frozen=True)
class Recipe:
    """What every clip of a set has in common.

    Attributes:
        seed: Of the whole set; a clip depends on it and its own number only.
        frames: Length of a clip.
        fps: Frames a second of the performance: the lower, the more a clip of that length moves.
        size: Side of the pictures in pixels.
        truth_size: Side of the stored id maps in pixels; divides `size`.
        people: Names that may appear; empty for all.
        blended: Fraction of clips that show a blend of two or three people.
        clean: No noise, blur, cast, nor coarse compression.
        faces: Fraction of clips in which somebody makes faces for the camera; the others speak.
    """

    seed: int = 0
    frames: int = 24
    fps: float = 10.0
    size: int = 256
    truth_size: int = 64
    people: tuple[str, ...] = ()
    blended: float = 0.6
    clean: bool = False
    faces: float = 0.0


class Theatre:
    """A stage and a cast: renders any person performing any track.

    Args:
        pack: File from `pack_avatars` (or a cast already open).
        recipe: What the clips have in common.

    Raises:
        DataError: A person of the recipe is not in the pack.
    """

    def __init__(self, pack: str | Path | Cast, recipe: Recipe | None = None) -> None:
        self.recipe = recipe or Recipe()
        # Twice the picture: the face has about half of the texture's side, and of the picture's.
        self.cast = pack if isinstance(pack, Cast) else Cast(pack, texture_size=2 * self.recipe.size)
        self.people = list(self.recipe.people) or self.cast.names
        unknown = sorted(set(self.people) - set(self.cast.names))
        if unknown:
            raise DataError(f"nobody called {unknown[0]!r} is in the pack", hint="see Cast.names")
        if self.recipe.size % self.recipe.truth_size:
            raise DataError(f"truth size {self.recipe.truth_size} does not divide picture size {self.recipe.size}")
        self.stage = Stage(self.recipe.size, self.recipe.truth_size)
        template = self.cast.template
        self.regions = paint_regions(template, self.cast.person(self.cast.names[0]).position)

    def someone(self, seed: int) -> Person:
        """A random person of the recipe: one of the cast, or a blend."""
        rng = np.random.default_rng([seed, 2203])
        count = 1 if rng.random() > self.recipe.blended else int(rng.integers(2, 4))
        names = [str(name) for name in rng.choice(self.people, min(count, len(self.people)), replace=False)]
        weights = rng.dirichlet(np.full(len(names), 1.5))
        # A little beyond the mix: faces the cast does not span.
        weights = weights + rng.normal(0, 0.12, len(names)) * (len(names) > 1)
        weights /= weights.sum()
        return blend(self.cast.template, [self.cast.person(name) for name in names], weights, self.regions)

    def clip(self, index: int) -> tuple[np.ndarray, ClipTruth]:
        """Clip number `index` of the recipe: frames `uint8 (t, size, size, 3)` and truth."""
        seed = clip_seed(self.recipe.seed, index)
        makes_faces = np.random.default_rng([seed, 6029]).random() < self.recipe.faces
        track = (make_faces if makes_faces else make_track)(seed, self.recipe.frames, fps=self.recipe.fps)
        return self.play(self.someone(seed), track, look=seed, framing=make_framing(seed), motion=f"track-{seed}")

    def play(
        self, person: Person | str, track: Track, *, look: int | Look, framing: Framing, motion: str = ""
    ) -> tuple[np.ndarray, ClipTruth]:
        """Anyone performs anything: the same `look` and `framing` with another track is the same shoot.

        Args:
            person: Name in the cast, or a person from `someone`.
            track: The motion.
            look: Light, backdrop, tints, glasses and the camera's flaws, or the seed of all that.
            framing: The crop.
            motion: Name of the track, kept in the truth.
        """
        who = self.cast.person(person) if isinstance(person, str) else person
        taste = look if isinstance(look, Look) else make_look(look, clean=self.recipe.clean)
        extras = {}
        if taste.glasses:
            extras[GLASSES] = make_glasses(who, self.cast.template, np.random.default_rng([taste.seed, 3371]))
        figure = Figure(who, self.cast.template, extras)
        textures = tint(who, taste.tints, self.regions)
        if not isinstance(look, Look):
            taste = expose(taste, skin_level(textures[0], self.regions))
        return perform(self.stage, figure, track, look=taste, framing=framing, textures=textures, motion=motion)

    def quality(self, index: int) -> int:
        """Rate factor with which clip `index` is stored."""
        return make_look(clip_seed(self.recipe.seed, index), clean=self.recipe.clean).quality


def clip_seed(seed: int, index: int) -> int:
    """The seed of one clip of a set."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def open_cast(avatars: str | Path) -> Path:
    """A pack file for `avatars`: itself if it is one, else packed once into the user's cache.

    Raises:
        DataError: Neither a pack nor a folder with GLB files.
    """
    path = Path(avatars)
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"{path} is neither a folder of avatars nor a pack of them")
    facts = [(file.stem, file.stat().st_size) for file in find_glb(path)]
    import hashlib

    digest = hashlib.sha256(repr((2, facts)).encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = home / "stillmotion" / f"people-{digest}.pack"
    return target if target.exists() else pack_avatars(path, target)


def render_heads(
    avatars: str | Path,
    *,
    clips: int,
    output: str | Path,
    seed: int = 0,
    size: int = 256,
    frames: int = 24,
    fps: float = 10.0,
    truth_size: int = 64,
    people: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    clean: bool = False,
    faces: float = 0.0,
    start: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> list[int]:
    """Render a set of clips to a folder; clips that are complete there are kept.

    Args:
        avatars: Folder of GLB files, or a file from `pack_avatars`.
        clips: How many.
        output: Folder; clip `i` becomes `0000i.mp4` and `0000i.npz`.
        seed: Of the set.
        size: Side of the pictures.
        frames: Length of a clip.
        fps: Frames a second of the performance.
        truth_size: Side of the stored id maps.
        people: Names that may appear; empty for all.
        hold_out: Names that may not, neither alone nor blended.
        clean: Without the camera's flaws.
        faces: Fraction of clips in which somebody makes faces for the camera, in [0, 1].
        start: Number of the first clip.
        workers: Processes; as many as there are cores by default.
        progress: Show a bar.

    Returns:
        Numbers of the clips that were rendered now.

    Raises:
        DataError: No avatars there, unknown people, or nobody left.
        EngineError: No EGL context can be made.
        OutputError: The folder cannot be written.
    """
    recipe = Recipe(seed, frames, fps, size, truth_size, tuple(people), clean=clean, faces=faces)
    missing = [index for index in range(start, start + clips) if not has_clip(output, index)]
    if not missing:
        return []
    pack = open_cast(avatars)
    if hold_out:
        recipe = replace(recipe, people=_others(pack, recipe.people, hold_out))
    jobs = [partial(_render_one, index=index, output=Path(output)) for index in missing]
    play_all(pack, recipe, jobs, workers=workers, progress=progress)
    return missing


def _others(pack: Path, people: Sequence[str], hold_out: Sequence[str]) -> tuple[str, ...]:
    """Whom the recipe names, or everybody, less those held out."""
    names = Cast(pack).names
    unknown = sorted(set(hold_out) - set(names))
    if unknown:
        raise DataError(f"nobody called {unknown[0]!r} is in the pack, to be held out", hint="see Cast.names")
    left = tuple(name for name in people or names if name not in hold_out)
    if not left:
        raise DataError("everybody is held out", hint="leave somebody to render")
    return left


Job: TypeAlias = Callable[[Theatre], None]
"""Renders and stores one clip; it is sent to another process, so it must be picklable."""

_theatre: Theatre | None = None


def play_all(pack: Path, recipe: Recipe, jobs: Sequence[Job], *, workers: int | None, progress: bool) -> None:
    """Do all jobs, each on a theatre of this recipe, on several processes.

    Args:
        pack: File from `pack_avatars`.
        recipe: What the clips have in common.
        jobs: What to do.
        workers: Processes; None for as many as there are cores.
        progress: Show a bar.

    Raises:
        DataError: See `Theatre`.
        EngineError: No EGL context can be made.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    with _bar(len(jobs), progress) as step:
        if count == 1:
            theatre = Theatre(pack, recipe)
            for job in jobs:
                job(theatre)
                step()
        else:
            _spread(pack, recipe, jobs, count, step)


def _open_theatre(pack: Path, recipe: Recipe) -> None:
    global _theatre
    _theatre = Theatre(pack, recipe)


def _do_here(job: Job) -> None:
    assert _theatre is not None
    job(_theatre)


def _render_one(theatre: Theatre, *, index: int, output: Path) -> None:
    pictures, truth = theatre.clip(index)
    save_clip(output, index, pictures, truth, quality=theatre.quality(index))


def _spread(pack: Path, recipe: Recipe, jobs: Sequence[Job], count: int, step: Callable[[], None]) -> None:
    # One rasteriser thread and one BLAS thread a process: more only get in each other's way.
    quiet = {"LP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in quiet}
    os.environ.update({name: value for name, value in quiet.items() if before[name] is None})
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(count, context, initializer=_open_theatre, initargs=(pack, recipe)) as pool:
            running = [pool.submit(_do_here, job) for job in jobs]
            try:
                for done in as_completed(running):
                    done.result()
                    step()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextmanager
def _bar(count: int, shown: bool) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not shown) as bar:
        task = bar.add_task("rendering heads", total=count)
        yield lambda: bar.advance(task)
