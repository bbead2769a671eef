"""The comparison at equal budget: who is trained, in which order, on what, and the tables of what is done."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import quality
from quality import contenders, jobs, sets, tables
from quality.jobs import Job
from stillmotion import methods
from stillmotion.core.errors import DataError
from stillmotion.data.clips import find_clips
from stillmotion.evaluate.table import COPYING
from stillmotion.methods.firstorder.ablation import ROWS
from stillmotion.train.trials import Outcome, count_parameters


class Words:
    """A command line that was parsed."""

    def __init__(self, output: Path, **given: Any) -> None:
        plain: dict[str, Any] = {
            "shapes": Path("s"),
            "actions": Path("a"),
            "heads": Path("h"),
            "only": ["*"],
            "large": False,
        }
        plain |= {"pairs": [("*", 6400), ("actions", 3200)], "seeds": 2, "ablation_seeds": 1, "output": output}
        self.__dict__.update(plain | given)


@pytest.mark.parametrize("size", [64, 128])
def test_every_method_of_the_table_is_a_contender_under_one_schedule(size: int) -> None:
    found = contenders.contenders(800, size=size)
    assert sorted(contenders.METHODS) == methods.names()
    assert set(found) == {*contenders.METHODS, *contenders.OURS, *ROWS} - {"full"}
    for row in contenders.METHODS:
        assert methods.of_config(found[row]) == row
    for row, config in found.items():
        training = config.training
        assert (config.size, training.batch, training.repeats) == (size, contenders.BATCH, 1), row
        rates = {value for name, value in vars(training).items() if name.startswith("learning_rate")}
        used = rates - {0.001} if row == "monkey-net" else rates  # the predictor's, which is not trained
        if row in (*contenders.REDUCED, *contenders.OURS, "first-order"):
            used -= {2e-4}  # the discriminator's, which is not there
        assert used == {contenders.RATE}, row
        assert training.augmentation == found["first-order"].training.augmentation, row


@pytest.mark.parametrize("size", [64, 128])
def test_contenders_are_of_comparable_size(size: int) -> None:
    found = contenders.contenders(800, size=size)
    sizes = {row: sum(count_parameters(found[row]).values()) for row in contenders.METHODS}
    assert max(sizes.values()) < 1.6 * min(sizes.values())


def test_one_seed_of_everything_comes_first(tmp_path: Path) -> None:
    found = jobs.all_jobs(Words(tmp_path))
    assert len(found) == 5 * 3 * 2 + 4 * 2 + 3
    assert [job.seed for job in found[:-3]] == sorted(job.seed for job in found[:-3])
    assert [job.row for job in found[-3:]] == ["compositing"] * 3
    assert [job.name for job in found[:2]] == ["first-order/shapes/0", "monkey-net/shapes/0"]
    assert len(jobs.all_jobs(Words(tmp_path, only=["x2face/*/1"]))) == 3
    assert {job.set for job in jobs.all_jobs(Words(tmp_path, heads=None))} == {"shapes", "actions"}


def test_the_large_set_is_asked_for_and_has_one_seed(tmp_path: Path) -> None:
    found = [job for job in jobs.all_jobs(Words(tmp_path, large=True)) if job.set == sets.LARGE]
    assert [(job.row, job.seed) for job in found] == [(row, 0) for row in (*contenders.METHODS, *contenders.OURS)]
    assert not any(job.set == sets.LARGE for job in jobs.all_jobs(Words(tmp_path)))


def test_few_shot_draws_landmarks_where_they_are_seen_and_waits_for_nobody(tmp_path: Path) -> None:
    large = Job("few-shot", sets.LARGE, 0)
    assert large.needs is None
    trial = jobs.trial_of(large, Words(tmp_path, large=True))
    assert (trial.config.points.kind, trial.config.size, trial.start) == ("landmarks", 128, None)


def test_a_set_may_have_a_budget_of_its_own(tmp_path: Path) -> None:
    options = Words(tmp_path, pairs=[quality_script().pairs(word) for word in ("4800", "heads-1=800")])
    assert [jobs.steps_of(name, options) for name in ("shapes", "actions", sets.HEADS)] == [600, 600, 100]


def test_few_shot_waits_for_the_keypoints_that_it_starts_from(tmp_path: Path) -> None:
    first, few = Job("first-order", "shapes", 0), Job("few-shot", "shapes", 0)
    assert not quality_script().is_ready(few, [few, first])
    assert quality_script().is_ready(few, [few])
    assert quality_script().is_ready(first, [few, first])
    options = Words(tmp_path)
    assert jobs.trial_of(few, options).start == jobs.trial_of(first, options).folder / "checkpoint.pt"


def quality_script() -> Any:
    """`benchmarks/quality.py`, whose name the package beside it has."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("quality_script", Path(quality.__file__).parents[1] / "quality.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def strips(folder: Path, count: int, *, side: int = 64, frames: int = 30) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 255, (side, side * frames, 3), dtype=np.uint8)).save(folder / f"{index}.png")


def test_a_set_is_arranged_once_and_its_test_frames_are_the_true_ones(tmp_path: Path) -> None:
    strips(tmp_path / "shapes" / "train", 2)
    strips(tmp_path / "shapes" / "test", 5)
    place = sets.arrange("shapes", tmp_path / "shapes", tmp_path / "data", most=3)
    assert [clip.name for clip in find_clips(place / "test")] == ["0", "2", "4"]
    assert len(find_clips(place / "train")) == 2
    given = np.asarray(Image.open(tmp_path / "shapes" / "test" / "2.png"))
    kept = np.asarray(Image.open(place / "test" / "2.png"))
    assert np.array_equal(kept, given[:, : 64 * sets.FRAMES])
    before = (place / "test" / "2.png").stat().st_mtime_ns
    sets.arrange("shapes", tmp_path / "shapes", tmp_path / "data", most=3)
    assert (place / "test" / "2.png").stat().st_mtime_ns == before


def test_held_out_people_are_not_trained_on(tmp_path: Path) -> None:
    np.savez(tmp_path / "00000.npz", person=np.array("Black_M_1_Casual"))
    sets.check_people(tmp_path)
    np.savez(tmp_path / "00001.npz", person=np.array("Black_M_1_Casual:0.60+MENA_F_2_Casual:0.40"))
    with pytest.raises(DataError, match="MENA_F_2_Casual, who is held out"):
        sets.check_people(tmp_path)


def outcome(row: str, l1: float, seed: int = 0) -> Outcome:
    scores = {"l1_paper": l1, "lpips": 2 * l1}
    return Outcome(row, seed, row, "key", {"a": 10, "b": 5}, 8, 64, 60.0, 30.0, scores, {"l1_paper": 0.2})


def test_rows_hold_every_seed_and_the_order_is_told(tmp_path: Path) -> None:
    made = [
        (Job(row, "shapes", seed), outcome("full" if row == "first-order" else row, l1 + seed / 100, seed))
        for seed in (0, 1)
        for row, l1 in (("first-order", 0.1), ("monkey-net", 0.15), ("x2face", 0.12))
    ]
    rows = tables.rows_of(made, Words(tmp_path), {"x2face": 1.5})
    assert list(rows) == [COPYING, "first-order", "monkey-net", "x2face"]
    assert rows["first-order"]["l1_paper"] == pytest.approx([0.1, 0.11])
    assert rows["x2face"]["milliseconds"] == [1.5]
    assert rows["x2face"]["parameters"] == [15, 15]
    assert rows["monkey-net"]["minutes"] == [0.5, 0.5]
    assert tables.order_of(rows).startswith("first-order, x2face, monkey-net, copying the source.")
    assert tables.order_of(rows).endswith("(first-order, monkey-net, x2face) does not hold.")
    rows["x2face"]["l1_paper"] = [0.19, 0.19]
    assert tables.order_of(rows).endswith("holds.")


def test_methods_are_timed_on_frames_of_the_test(tmp_path: Path) -> None:
    strips(tmp_path / "test", 2, frames=tables.ROUNDS + 3)
    found = tables.first_frames(tmp_path / "test")
    given = np.asarray(Image.open(tmp_path / "test" / "0.png"))
    assert found.shape == (tables.ROUNDS, 64, 64, 3)
    assert np.array_equal(found[2], given[:, 128:192])


def test_what_heads_1_alone_can_tell_comes_from_its_own_files(tmp_path: Path) -> None:
    options = Words(tmp_path)
    job = Job("x2face", sets.HEADS, 0)
    (tmp_path / "data").mkdir()
    jobs.reference_of(sets.HEADS, options).write_text(
        json.dumps({"copying": {"landmark_distance": 7.0}, "truth": {"landmark_distance": 1.0}})
    )
    folder = jobs.trial_of(job, options).folder
    folder.mkdir(parents=True)
    (folder / jobs.EXTRA).write_text(json.dumps({"landmark_distance": 3.0, "animate_l1": 0.1}))
    rows = tables.rows_of([(job, replace(outcome("x2face", 0.1)))], options, {})
    assert [values["landmark_distance"] for values in rows.values()] == [[7.0], [3.0], [1.0]]
    assert rows["x2face"]["animate_l1"] == [0.1]
