"""`stillmotion ablate` as typed: five rows, one table, done rows kept."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from stillmotion.cli import main
from stillmotion.core.errors import ConfigError, OutputError
from stillmotion.data.worlds.shapes import render_shapes
from stillmotion.evaluate.providers import Detector
from stillmotion.evaluate.tally import open_instruments
from stillmotion.methods.firstorder.ablation import PUBLISHED, ROWS, ablation
from stillmotion.methods.firstorder.config import shapes_64
from stillmotion.train import trials as trials_module
from stillmotion.train.ablation import ablate, trials_of, write_tables
from stillmotion.train.trials import Budget, Ground, scheduled
from tests.train.conftest import PLAIN, tiny_config

SIZE = 32


def full() -> Any:
    """Everything on, a few thousand numbers."""
    weights = replace(PLAIN, perceptual=(1.0,))
    return tiny_config(weights=weights, scales=(1.0, 0.5), milestones=())


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    render_shapes(folder, clips=5, seed=0, frames=4, size=SIZE, fps=10.0)
    return folder


def ground(data: Path, *, steps: int = 2) -> Ground:
    instruments, _ = open_instruments((SIZE, SIZE), detector="none")
    return Ground(data, Budget(steps=steps), instruments, device="cpu")


def flat(config: Any) -> dict[str, Any]:
    """Fields by dotted name, the config's own name left out."""
    found: dict[str, Any] = {}

    def walk(part: dict[str, Any], path: str) -> None:
        for name, value in part.items():
            if isinstance(value, dict):
                walk(value, f"{path}{name}.")
            else:
                found[f"{path}{name}"] = value

    walk(asdict(config), "")
    del found["name"]
    return found


def changes(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    ours, theirs = flat(a), flat(b)
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def test_each_row_changes_what_the_paper_says_and_nothing_else() -> None:
    rows = ablation(shapes_64())
    assert tuple(rows) == ROWS == tuple(PUBLISHED)
    baseline, pyramid, occlusion, free, whole = rows.values()
    assert changes(baseline, pyramid) == {"training.scales": ((1.0,), (1.0, 0.5))}
    assert changes(pyramid, occlusion) == {"generator.occlusion": (False, True)}
    assert changes(occlusion, whole) == {"keypoints.jacobian": (False, True)}
    assert changes(free, whole) == {"training.weights.equivariance_jacobian": (0.0, 10.0)}
    assert changes(whole, shapes_64()) == {}


def test_a_config_that_lacks_a_part_is_refused() -> None:
    plain = shapes_64()
    with pytest.raises(ConfigError, match="leaves out something"):
        ablation(replace(plain, generator=replace(plain.generator, occlusion=False)))
    with pytest.raises(ConfigError, match="one loss scale"):
        ablation(replace(plain, training=replace(plain.training, scales=(1.0,))))


def test_a_budget_is_steps_or_minutes() -> None:
    assert scheduled(shapes_64(), Budget(steps=800), clips=160).training.milestones == (60,)
    by_clock = scheduled(shapes_64(), Budget(minutes=1), clips=160).training
    assert by_clock.milestones == ()
    for steps, minutes in ((None, None), (1, 1.0), (0, None)):
        with pytest.raises(ConfigError, match="makes no sense"):
            Budget(steps=steps, minutes=minutes)


def test_five_rows_in_one_table_and_done_rows_are_kept(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ablation"
    first = ablate(full(), ground(shapes), out)
    assert [outcome.row for outcome in first.outcomes] == list(ROWS)
    assert {outcome.steps for outcome in first.outcomes} == {2}
    assert all(path.is_file() for path in first.files)
    rows = list(csv.DictReader((out / "ablation.csv").read_text().splitlines()))
    assert {row["row"] for row in rows} >= set(ROWS)
    assert all(math.isfinite(float(row["value"])) for row in rows)
    assert first.page.count("\n| ") == 9  # head and rule, copying, the right answer, five rows
    assert "the first two rows are the same" in first.page
    content = json.loads((out / "ablation.json").read_text())
    assert content["rows"]["baseline"]["l1_paper"] == content["rows"]["pyramid"]["l1_paper"]
    assert content["rows"]["full"]["l1_paper"] != content["rows"]["baseline"]["l1_paper"]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a done row was trained again")

    monkeypatch.setattr(trials_module, "train", never)
    assert ablate(full(), ground(shapes), out).outcomes == first.outcomes
    with pytest.raises(OutputError, match="other settings"):
        ablate(full(), ground(shapes, steps=3), out)


def test_an_instrument_that_is_added_scores_anew_and_trains_nothing(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, plain = trials_of(full(), tmp_path, [0])[0], ground(shapes)
    before = trials_module.make(trial, plain)
    assert "found" not in before.scores
    monkeypatch.setattr(trials_module, "train", None)
    blind = Detector("blind", "faces", lambda frame: None)
    seeing = replace(plain, instruments=replace(plain.instruments, detector=blind))
    after = trials_module.make(trial, seeing)
    assert after.scores["found"] == 0
    assert after.scores["l1_paper"] == before.scores["l1_paper"]
    assert trials_module.make(trial, plain) == after  # a score that is there stays, and is not called unmeasured
    unmeasured = dict.fromkeys(("found", "akd_exact"), "no detector")
    page = write_tables([(trial, after)], plain, tmp_path, unmeasured=unmeasured)
    assert "- found: *not measured*" not in page
    assert "- AKD exact: *not measured* (no detector)." in page
    page = write_tables([(trial, after)], seeing, tmp_path, unmeasured={})
    assert "Points: blind." in page
    assert "- MKR exact: *not measured* (there is nothing to measure in the test clips)." in page


def test_a_trial_that_was_broken_off_goes_on(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = trials_of(full(), tmp_path, [0])[-1]
    whole = trials_module.make(replace(trial, folder=tmp_path / "whole"), ground(shapes, steps=4))
    real = trials_module.train

    def half(config: Any, **options: Any) -> Any:
        return real(config, **(options | {"max_steps": 2}))

    def fails(*_: object) -> None:
        raise RuntimeError("scoring broke off")

    with monkeypatch.context() as patch:
        patch.setattr(trials_module, "train", half)
        patch.setattr(trials_module, "score", fails)
        with pytest.raises(RuntimeError, match="broke off"):
            trials_module.make(trial, ground(shapes, steps=4))
    outcome = trials_module.make(trial, ground(shapes, steps=4))
    assert outcome.steps == 4
    assert outcome.scores == whole.scores


def test_as_typed(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ablate", str(shapes), "-o", str(tmp_path / "a")]
    assert main([*words, "--seeds", "0"]) == 1
    assert "0 seeds make no table" in capsys.readouterr().err
    assert main([*words, "--steps", "1", "--minutes", "1"]) == 1
    assert "give steps or minutes" in capsys.readouterr().err
    assert main([*words, "--preset", "x2face-64"]) == 1
    assert "no preset of this method" in capsys.readouterr().err
