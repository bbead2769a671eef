"""Benchmarks on rendered worlds: who does what, written down once, so that anyone renders the same clips.

`heads-1` asks for rigged avatars; `shapes-1` is the same idea with moving sprites and needs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from stillmotion.core.errors import ConfigError
from stillmotion.data.worlds.heads import Recipe, Theatre, open_cast, play_all
from stillmotion.data.worlds.identity import blend
from stillmotion.data.worlds.look import make_look
from stillmotion.data.worlds.motion import make_track
from stillmotion.data.worlds.performance import make_framing
from stillmotion.data.worlds.shapes import make_shapes
from stillmotion.data.worlds.store import has_clip, save_clip

HELD_OUT = (
    "AIAN_M_2_Casual",
    "Asian_F_2_Casual",
    "Black_F_1_Casual",
    "Hispanic_M_3_Casual",
    "MENA_F_2_Casual",
    "White_M_1_Casual",
)
"""The people of `heads-1`. Weights that saw them, or a blend with them, must not be scored on it."""


@dataclass(frozen=True)
class Shoot:
    """One clip of a benchmark.

    Attributes:
        people: Who; several are blended evenly, the first gives hair and clothes. In the world of
            shapes, the seed of the sprites.
        motion: Seed of the track.
        look: Seed of light, backdrop, framing and the camera's flaws.
    """

    people: tuple[str, ...]
    motion: int
    look: int


@dataclass(frozen=True)
class Task:
    """One thing to do: the source is frame 0 of the clip `truth`, `driving` is the clip that drives it."""

    kind: Literal["reconstruct", "animate"]
    driving: int
    truth: int


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: Such as `heads-1`.
        world: What renders it.
        size: Side of the pictures in pixels.
        truth_size: Side of the true flow and occlusion.
        frames: Length of a clip.
        fps: Frames a second of the performance.
        clips: What is rendered, by number.
        tasks: What is scored.
    """

    name: str
    world: Literal["heads", "shapes"]
    size: int
    truth_size: int
    frames: int
    fps: float
    clips: tuple[Shoot, ...]
    tasks: tuple[Task, ...]


def heads_1() -> Benchmark:
    """18 clips to reconstruct (two of each held-out person, six of blends) and 12 pairs to animate.

    In a pair, person A performs the motion of a clip of person B, filmed like a clip of A's own.
    """
    people = HELD_OUT
    solos = [
        Shoot((name,), 7100 + 10 * i + take, 7100 + 10 * i + take) for i, name in enumerate(people) for take in (0, 1)
    ]
    blends = [Shoot((name, people[(i + 1) % 6]), 7105 + 10 * i, 7105 + 10 * i) for i, name in enumerate(people)]
    return _assemble("heads-1", "heads", solos, blends, size=256, truth_size=256, frames=24, reach=(1, 3))


def shapes_1() -> Benchmark:
    """Six clips to reconstruct and six pairs to animate, of moving sprites at 64×64."""
    solos = [Shoot((str(910 + i),), 900 + 10 * i + take, 0) for i in range(3) for take in (0, 1)]
    return _assemble("shapes-1", "shapes", solos, [], size=64, truth_size=64, frames=8, reach=(1, 2))


def _assemble(
    name: str,
    world: Literal["heads", "shapes"],
    solos: list[Shoot],
    blends: list[Shoot],
    *,
    size: int,
    truth_size: int,
    frames: int,
    reach: tuple[int, int],
) -> Benchmark:
    """Two takes of each person, blends, and each person performing one take of two others."""
    clips = [*solos, *blends]
    tasks = [Task("reconstruct", index, index) for index in range(len(clips))]
    for index, own in enumerate(solos):
        person, take = divmod(index, 2)
        driving = (2 * (person + reach[take]) + take) % len(solos)
        tasks.append(Task("animate", driving, len(clips)))
        clips.append(Shoot(own.people, solos[driving].motion, own.look))
    return Benchmark(name, world, size, truth_size, frames, 10.0, tuple(clips), tuple(tasks))


BENCHMARKS: dict[str, Callable[[], Benchmark]] = {"heads-1": heads_1, "shapes-1": shapes_1}
"""All benchmarks by name."""


def find_benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark called {name!r}", hint=f"use {' or '.join(BENCHMARKS)}", seen=name)
    return BENCHMARKS[name]()


def render_benchmark(
    benchmark: Benchmark,
    output: str | Path,
    *,
    avatars: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[int]:
    """Render what is missing of a benchmark.

    Args:
        benchmark: From `find_benchmark`.
        output: Folder; clip `i` becomes `0000i.mp4` and `0000i.npz`.
        avatars: Folder of GLB files, or a pack of them; only for the world of heads.
        workers: Processes; as many as there are cores by default.
        progress: Show a bar.

    Returns:
        Numbers of the clips that were rendered now.

    Raises:
        ConfigError: Heads are to be rendered and there are no avatars.
        DataError: No avatars there, or not all people of the benchmark.
        EngineError: No EGL context can be made.
        OutputError: The folder cannot be written.
    """
    missing = [index for index in range(len(benchmark.clips)) if not has_clip(output, index)]
    if benchmark.world == "shapes":
        for index in missing:
            _draw_shapes(benchmark, index, Path(output))
    elif missing:
        if avatars is None:
            raise ConfigError(f"{benchmark.name} is rendered from avatars", hint="give their folder: --avatars PATH")
        recipe = Recipe(
            frames=benchmark.frames, fps=benchmark.fps, size=benchmark.size, truth_size=benchmark.truth_size
        )
        jobs = [partial(_film, shoot=benchmark.clips[index], index=index, output=Path(output)) for index in missing]
        play_all(open_cast(avatars), recipe, jobs, workers=workers, progress=progress)
    return missing


def _draw_shapes(benchmark: Benchmark, index: int, output: Path) -> None:
    shoot = benchmark.clips[index]
    frames, truth = make_shapes(
        int(shoot.people[0]), frames=benchmark.frames, size=benchmark.size, fps=benchmark.fps, motion=shoot.motion
    )
    save_clip(output, index, frames, truth, quality=14)


def _film(theatre: Theatre, *, shoot: Shoot, index: int, output: Path) -> None:
    """Render and store one clip of heads."""
    recipe = theatre.recipe
    people = [theatre.cast.person(name) for name in shoot.people]
    who = blend(theatre.cast.template, people, np.full(len(people), 1 / len(people)), theatre.regions)
    frames, truth = theatre.play(
        who,
        make_track(shoot.motion, recipe.frames, fps=recipe.fps),
        look=shoot.look,
        framing=make_framing(shoot.look),
        motion=f"track-{shoot.motion}",
    )
    save_clip(output, index, frames, truth, quality=make_look(shoot.look, clean=recipe.clean).quality)
