"""The tables and pictures, from whatever is done."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from quality.contenders import METHODS, OURS, REDUCED
from quality.jobs import EXTRA, Job, instruments_of, reference_of, trial_of
from quality.sets import FRAMES, SIZES, shows_heads
from stillmotion import methods
from stillmotion.evaluate.scores import Score
from stillmotion.evaluate.standing import Rows, standing, standing_csv
from stillmotion.evaluate.table import COPYING, TRUTH
from stillmotion.evaluate.tally import COLUMNS
from stillmotion.train.ablation import draw_trials, summed, write_tables
from stillmotion.train.trials import Ground, Outcome, bundle_of
from stillmotion.video.image import read_image, write_image
from stillmotion.video.mark import software
from stillmotion.video.target import replacing

SHOWN = {
    "l1_paper": Score("L1", 4, "mean absolute difference before rounding, over all frames, frame 0 among them"),
    "landmark_distance": Score(
        "landmarks px", 2, "found in the answer by our network, which sees it enlarged, to the true ones"
    ),
    "found_true": Score("faces found", 3, "share of the frames in which they are found", up=True),
    "lpips": COLUMNS["lpips"],
    "warping": COLUMNS["warping"],
    "jitter": COLUMNS["jitter"],
    "animate_l1": Score("animate L1", 4, "the same where another person drives"),
    "milliseconds": Score("ms/frame", 1, "median to read the motion of a frame and to render it, PyTorch, one thread"),
    "parameters": Score("parameters", 0, "learned numbers of all networks that animate"),
    "minutes": Score("train min", 1, "processor time of the training, bundle and previews included"),
}
"""Columns of the first table."""
PAPERS: dict[str, Mapping[str, Mapping[str, Sequence[float]]]] = {
    "VoxCeleb": {
        "x2face": {"l1": [0.078], "akd": [7.687], "aed": [0.405]},
        "monkey-net": {"l1": [0.049], "akd": [1.878], "aed": [0.199]},
        "first-order": {"l1": [0.043], "akd": [1.294], "aed": [0.140]},
    },
    "Tai-Chi-HD": {
        "x2face": {"l1": [0.080], "akd": [17.654], "mkr": [0.109], "aed": [0.272]},
        "monkey-net": {"l1": [0.077], "akd": [10.798], "mkr": [0.059], "aed": [0.228]},
        "first-order": {"l1": [0.063], "akd": [6.862], "mkr": [0.036], "aed": [0.179]},
    },
    "UvA-Nemo": {
        "x2face": {"l1": [0.031], "akd": [3.539], "aed": [0.221]},
        "monkey-net": {"l1": [0.018], "akd": [1.285], "aed": [0.077]},
        "first-order": {"l1": [0.016], "akd": [1.119], "aed": [0.048]},
    },
    "BAIR": {"x2face": {"l1": [0.065]}, "monkey-net": {"l1": [0.034]}, "first-order": {"l1": [0.027]}},
}
"""Siarohin et al., NeurIPS 2019, table 3: 256×256, full training."""
PAPER_COLUMNS = {
    "l1": Score("L1", 3, ""),
    "akd": Score("AKD", 3, ""),
    "mkr": Score("MKR", 3, ""),
    "aed": Score("AED", 3, ""),
}
ROUNDS = 9
"""Each method is timed so often, in turns."""

Made: TypeAlias = tuple[Job, Outcome]
Table: TypeAlias = dict[str, dict[str, list[float]]]


def write_all(made: Sequence[Made], options: argparse.Namespace, grounds: Mapping[str, Ground]) -> str:
    """Write the tables, the pictures, and the ablation's where there is one; returns the page.

    Args:
        made: Jobs that are done, in order, with what they came to.
        options: Of the command.
        grounds: Of each set.
    """
    rivals = [(job, outcome) for job, outcome in made if job.row in (*METHODS, *OURS)]
    sizes = sorted({SIZES[name] for name in grounds})
    speeds = {size: time_methods(rivals, options, size=size) for size in sizes}
    tables, csvs, content = [], [], {}
    for name, ground in grounds.items():
        mine = [(job, outcome) for job, outcome in rivals if job.set == name]
        if mine:
            found = rows_of(mine, options, speeds[SIZES[name]])
            content[name] = {"rows": found, "outcomes": [asdict(outcome) for _, outcome in mine]}
            blank = {} if shows_heads(name) else {"landmark_distance": "not measured"}
            tables.append(f"### {name}\n\n{_facts(mine, ground)}\n\n{standing(found, SHOWN, blank=blank)}")
            csvs.append(standing_csv({f"{name}/{row}": values for row, values in found.items()}, SHOWN))
            tables[-1] += f"\nBy L1: {order_of(found)}\n"
            write_picture(mine, options, ground)
        write_ablation([(job, outcome) for job, outcome in made if job.set == name], options, ground)
    page = "\n".join([f"{software()}\n", *tables, papers(), meanings()])
    texts = {"md": page, "csv": "".join(csvs), "json": json.dumps(content, indent=1) + "\n"}
    for suffix, text in texts.items():
        with replacing(options.output / f"quality.{suffix}") as partial:
            partial.write_text(text, encoding="utf-8")
    return page


def rows_of(made: Sequence[Made], options: argparse.Namespace, speeds: Mapping[str, float]) -> Table:
    """Values of all seeds on one set, by row and column."""
    found = summed([replace(outcome, row=job.row) for job, outcome in made])
    if shows_heads(made[0][0].set):
        extra = json.loads(reference_of(made[0][0].set, options).read_text(encoding="utf-8"))
        for row, key in ((COPYING, "copying"), (TRUTH, "truth")):
            found.setdefault(row, {}).update({name: [value] for name, value in extra[key].items()})
        for job, _ in made:
            scores = json.loads((trial_of(job, options).folder / EXTRA).read_text(encoding="utf-8"))
            for name, value in scores.items():
                found[job.row].setdefault(name, []).append(value)
    for row, values in found.items():
        if row in speeds:
            values["milliseconds"] = [speeds[row]]
    return {row: found[row] for row in (COPYING, *METHODS, *OURS, TRUTH) if row in found}


def _facts(made: Sequence[Made], ground: Ground) -> str:
    seeds = sorted({job.seed for job, _ in made})
    clips = len(list((ground.data / "test").glob("*.png")))
    return (
        f"{made[0][1].pairs:,} pairs each, seeds {', '.join(map(str, seeds))}; {clips} test clips, at most {FRAMES} "
        "frames of each, rebuilt from frame 0."
    )


def order_of(rows: Rows) -> str:
    """All from best to worst by mean L1, and whether the order of the papers holds among their three."""
    means = {row: float(np.mean(values["l1_paper"])) for row, values in rows.items() if values.get("l1_paper")}
    ranked = sorted(means, key=means.__getitem__)
    wanted = ["first-order", "monkey-net", "x2face"]
    if not set(wanted) <= set(means):
        return f"{', '.join(ranked)}."
    said = "holds" if [row for row in ranked if row in wanted] == wanted else "does not hold"
    return f"{', '.join(ranked)}. The papers' order ({', '.join(wanted)}) {said}."


def papers() -> str:
    """The papers' own numbers, apart: other data, size and length of training."""
    parts = [
        "### The papers' own numbers\n\nOther data, 256×256, days of training on GPUs: they do not compare with the "
        "tables above. Siarohin et al., NeurIPS 2019, table 3; AKD and AED as the published scripts compute them.\n"
    ]
    parts += [f"**{name}**\n\n{standing(rows, PAPER_COLUMNS)}" for name, rows in PAPERS.items()]
    return "\n".join(parts)


def meanings() -> str:
    """What the columns mean."""
    return "\n".join(["### Columns\n", *(f"- {score.title}: {score.meaning}." for score in SHOWN.values()), ""])


def time_methods(made: Sequence[Made], options: argparse.Namespace, *, size: int) -> dict[str, float]:
    """Median milliseconds per frame of each method of that size, in turns, one thread, a frame at a time."""
    trials = {job.row: trial_of(job, options) for job, _ in made if SIZES[job.set] == size}
    opened = {row: methods.load(bundle_of(trial)) for row, trial in trials.items()}
    taken: dict[str, list[float]] = {row: [] for row in opened}
    shown = first_frames(options.output / "data" / [job.set for job, _ in made if SIZES[job.set] == size][-1] / "test")
    states = {row: method.encode([shown[0]]) for row, method in opened.items()}
    for frame in shown:
        for row, method in opened.items():
            method.render(states[row], method.read(frame[None]))  # for the caches
            began = time.perf_counter()
            method.render(states[row], method.read(frame[None]))
            taken[row].append((time.perf_counter() - began) * 1000)
    return {row: float(np.median(values)) for row, values in taken.items()}


def first_frames(folder: Path) -> np.ndarray:
    """The first frames of the first test strip, `uint8 (ROUNDS, size, size, 3)`: some methods need to see a face."""
    strip = read_image(min(folder.glob("*.png")))
    side = len(strip)
    return np.stack([strip[:, i * side : (i + 1) * side] for i in range(ROUNDS)])


def write_picture(made: Sequence[Made], options: argparse.Namespace, ground: Ground) -> None:
    """One picture of a set: the same frames by every method with the first seed."""
    seed = min(job.seed for job, _ in made)
    shown = [replace(trial_of(job, options), row=job.row) for job, _ in made if job.seed == seed]
    write_image(options.output / f"quality-{ground.data.name}.jpg", draw_trials(shown, ground))


def write_ablation(made: Sequence[Made], options: argparse.Namespace, ground: Ground) -> None:
    """The ablation's table and picture of a set, where one of its own rows is done; files as `ablate` writes them."""
    seeds = {job.seed for job, _ in made if job.row in REDUCED}
    mine = [(job, outcome) for job, outcome in made if job.row in (METHODS[0], *REDUCED) and job.seed in seeds]
    mine.sort(key=lambda part: (part[0].seed, part[0].row == METHODS[0]))  # the full method last, as in the paper
    if not seeds:
        return
    folder: Path = options.output / ground.data.name
    _, unmeasured = instruments_of(ground.data.name, options)
    write_tables([(trial_of(job, options), outcome) for job, outcome in mine], ground, folder, unmeasured=unmeasured)
    first = [trial_of(job, options) for job, _ in mine if job.seed == min(seeds)]
    write_image(folder / "ablation.png", draw_trials(first, ground))
