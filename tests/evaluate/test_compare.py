"""Several methods beside each other: the grid video and the contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion import methods
from stillmotion.cli import main
from stillmotion.evaluate.compare import SHOWN, _Keeper, compare, load_rows
from stillmotion.evaluate.grid import HEAD, draw_grid, grid_size, line, tile, tile_side
from stillmotion.evaluate.naming import told_apart
from stillmotion.video.mark import read_mark
from tests.contract.tiny import first_order, make_networks, monkey_net, x2face
from tests.scene import Scene, pictures


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of three methods, tensors alone: nothing is exported."""
    folder = tmp_path_factory.mktemp("shelf")
    found = {}
    for config in (first_order(), monkey_net(), x2face()):
        weights = methods.method_weights(methods.of_config(config))
        networks = make_networks(config)
        found[config.name] = weights.save_bundle(
            networks, config, folder / config.name, licence="none", data="random numbers", keep="tensors"
        )
    return found


def test_every_method_has_a_row(shelf: dict[str, Path], scene: Scene, tmp_path: Path) -> None:
    rows = load_rows([str(path) for path in shelf.values()])
    seen: list[int] = []
    done = compare(
        scene.picture, scene.clip, tmp_path / "out.mp4", rows=rows, progress=lambda count, *_: seen.append(count)
    )
    assert done.names == ("first-order: tiny", "monkey-net: tiny-monkey", "x2face: tiny-x2face")
    assert seen == [1, 2, 3, 4, 5, 6]
    frames = pictures(done.video)
    side = tile_side([(32, 32)])
    assert len(frames) == 6 == done.frames
    assert frames[0].shape[:2] == grid_size(3, side)
    tops = [HEAD + row * (HEAD + side) + HEAD for row in range(3)]
    driving = [frames[3][top : top + side, side : 2 * side].astype(int) for top in tops]
    assert np.abs(driving[0] - driving[1]).mean() < 3, "rows show the same moment"
    results = [frames[3][top : top + side, 2 * side :].astype(int) for top in tops]
    assert np.abs(results[0] - results[1]).mean() > 3
    assert done.shown == (0, 1, 2, 3, 4, 5)
    assert np.asarray(Image.open(done.sheet)).shape[1] == 160 * 7
    mark = read_mark(done.video)
    assert mark is not None
    assert mark.facts["method"] == "first-order, monkey-net, x2face"
    assert read_mark(done.sheet) is not None


@pytest.fixture
def refuse(shelf: dict[str, Path], scene: Scene, tmp_path: Path, capsys):
    room = tmp_path / "room"
    room.mkdir()

    def run(*more: str, names: tuple[str, ...] = ("tiny", "tiny-x2face"), output: str = "out.mp4") -> str:
        weights = [str(shelf.get(name, name)) for name in names]
        words = ["compare", str(scene.picture), str(scene.clip), "--weights", *weights, "-o", str(room / output), *more]
        assert main(words) == 1
        assert not list(room.iterdir())
        out, err = capsys.readouterr()
        assert not out
        return str(err)

    return run


def test_refused(refuse, shelf: dict[str, Path]) -> None:
    assert "a comparison takes two weights or more" in refuse(names=("tiny",))
    assert "is given twice" in refuse(names=("tiny", "tiny"))
    assert "has no motion transfer called 'relative'" in refuse("--motion", "relative")
    assert "out.png is a picture" in refuse(output="out.png")
    assert "nonsense" in refuse(names=("tiny", "nonsense"))


def test_the_verb(shelf: dict[str, Path], scene: Scene, tmp_path: Path, capsys) -> None:
    words = ["compare", str(scene.picture), str(scene.clip), "--weights", *map(str, shelf.values())]
    assert main([*words[:6], "-o", str(tmp_path / "out.mp4"), "--motion", "absolute", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == ["first-order: tiny", "monkey-net: tiny-monkey"]
    assert Path(facts["sheet"]).name == "out.png"


@pytest.mark.parametrize("count", [2, SHOWN, 13, 200])
def test_moments_are_spread_over_the_clip(count: int) -> None:
    keeper = _Keeper()
    for number in range(count):
        keeper.see({"row": (np.array(number),) * 3})  # type: ignore[dict-item]
    numbers, kept = keeper.spread()
    assert len(numbers) == min(SHOWN, count) == len(set(numbers))
    assert numbers[0] == 0
    assert numbers[-1] >= count * 0.8 - 1
    assert [int(pictures["row"][0]) for pictures in kept] == list(numbers)


def test_tiles_keep_the_aspect() -> None:
    out = tile(np.zeros((20, 40, 3), np.uint8), 128)
    assert (out[:32] == 255).all()
    assert (out[40:88] == 0).all()
    assert tile_side([(64, 64), (257, 200)]) == 258


def test_long_names_are_shortened() -> None:
    assert line("x" * 500, 200).shape == (HEAD, 200, 3)
    assert (line("naïve", 200) < 128).any()


def test_a_grid_has_its_size() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    assert draw_grid({"a": [frame] * 3, "b": [frame] * 3}, side=128).shape[:2] == grid_size(2, 128)


def test_names_told_apart() -> None:
    assert told_apart(["a", "b", "a"], ["x", "y", "z"]) == ["a [x]", "b", "a [z]"]
