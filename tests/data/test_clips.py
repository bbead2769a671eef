"""Which clips a folder holds, their identities, and the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillmotion.core.errors import DataError
from stillmotion.data.clips import Clip, find_clips, natural_key, select_clips, split_identities

from .conftest import moving_square, write_folder, write_gif, write_strip


def test_all_three_kinds_are_found(tmp_path: Path) -> None:
    write_strip(tmp_path / "strip.png", moving_square(3))
    write_folder(tmp_path / "id1#shot.mp4", moving_square(3))
    write_gif(tmp_path / "nested" / "wave.gif", moving_square(3))
    (tmp_path / "notes.txt").write_text("not a clip")
    (tmp_path / ".hidden.mp4").write_text("not a clip")
    assert [(c.name, c.kind) for c in find_clips(tmp_path)] == [
        ("id1#shot", "frames"),
        ("nested/wave", "video"),
        ("strip", "strip"),
    ]


def test_identity_is_exact_not_a_prefix() -> None:
    """The published glob `12*.mp4` also matches `123#…`; ours compares what stands before the first `#`."""
    names = ["12#a", "12#b#c", "123#a", "12"]
    identities = [Clip(name, Path(name), "video").identity for name in names]
    assert identities == ["12", "12", "123", "12"]


def test_id_sampling_draws_only_clips_of_that_identity(tmp_path: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    for name in ("12#a", "12#b", "123#a", "1#z"):
        write_strip(tmp_path / f"{name}.png", moving_square(3))
    folder = open_folder(tmp_path)
    members = {who: [folder.clips[i].name for i in clips] for who, clips in folder.identities.items()}
    assert members == {"1": ["1#z"], "12": ["12#a", "12#b"], "123": ["123#a"]}


def test_names_sort_as_people_count() -> None:
    assert sorted(["c10", "c9", "c1", "b2"], key=natural_key) == ["b2", "c1", "c9", "c10"]


def test_own_split_is_used(tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("train", "b"), ("test", "c")):
        write_strip(tmp_path / part / f"{name}.png", moving_square(3))
    assert [c.name for c in select_clips(tmp_path, "train")] == ["a", "b"]
    assert [c.name for c in select_clips(tmp_path, "test")] == ["c"]
    assert [c.name for c in select_clips(tmp_path, "all")] == ["a", "b", "c"]


def test_split_is_seeded_and_keeps_identities_together(strips: Path) -> None:
    train, test = select_clips(strips, "train"), select_clips(strips, "test")
    assert len(train) == 8
    assert len(test) == 2
    assert not {c.identity for c in train} & {c.identity for c in test}
    assert select_clips(strips, "test") == test
    chosen = {tuple(c.name for c in select_clips(strips, "test", seed=seed)) for seed in range(8)}
    assert len(chosen) > 1


@pytest.mark.parametrize(("count", "held"), [(1, 0), (2, 1), (10, 2), (100, 20)])
def test_a_fifth_is_held_out(count: int, held: int) -> None:
    assert len(split_identities([str(i) for i in range(count)])) == held


def test_global_random_state_is_left_alone(strips: Path) -> None:
    """The published dataset calls `np.random.seed`; every draw here has its own generator."""
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    select_clips(strips, "train")
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nowhere", "does not exist"),
        (lambda p: p, "no train clips in"),
        (lambda p: write_strip(p / "a.png", moving_square(2)), "is a file"),
    ],
)
def test_no_data_is_one_clear_error(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message) as caught:
        select_clips(make(tmp_path), "train")
    assert caught.value.hint
