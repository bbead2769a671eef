"""Pairs and their order: a function of the seed and the place, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from stillmotion.core.errors import DataError
from stillmotion.data.augment import Augmentation
from stillmotion.data.pairs import PairDataset, StepSampler, make_loader

from .conftest import moving_square, write_strip

PLAIN = Augmentation(horizontal_flip=False, time_flip=False)


def time_of(frame: np.ndarray) -> int:
    """Index of a `moving_square` frame, read off its corner."""
    return (int(frame[0, 0, 0]) - 5) // 10


def flat(steps: Sequence[list[int]]) -> list[int]:
    return [position for step in steps for position in step]


def test_the_earlier_frame_is_the_source(strips: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    dataset = PairDataset(open_folder(strips), augmentation=PLAIN, repeats=40)
    times = [tuple(map(time_of, dataset[i].frames)) for i in range(len(dataset))]
    assert all(source <= driving for source, driving in times)
    assert any(source == driving for source, driving in times)  # with replacement, as published
    assert {t for pair in times for t in pair} == set(range(8))


def test_both_frames_come_from_one_clip(strips: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    dataset = PairDataset(open_folder(strips), augmentation=PLAIN)
    for i in range(len(dataset)):
        source, driving = dataset[i].frames
        colours = [frame[10, 6 + time_of(frame)] for frame in (source, driving)]
        assert np.array_equal(colours[0], colours[1])


def test_id_sampling_gives_every_identity_the_same_share(tmp_path: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    for i in range(6):
        write_strip(tmp_path / f"busy#{i}.png", moving_square(4, seed=i))
    write_strip(tmp_path / "rare#0.png", moving_square(4, seed=9))
    folder = open_folder(tmp_path)
    dataset = PairDataset(folder, augmentation=PLAIN, id_sampling=True, repeats=30)
    assert len(dataset) == 60
    drawn = Counter(folder.clips[dataset[i].clip].identity for i in range(len(dataset)))
    assert drawn == {"busy": 30, "rare": 30}
    assert len({dataset[i].clip for i in range(len(dataset))}) == 7


def test_epochs_differ_and_repeat_exactly(strips: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    dataset = PairDataset(open_folder(strips), augmentation=Augmentation(camera=1.0))
    again = PairDataset(open_folder(strips), augmentation=Augmentation(camera=1.0))
    size = len(dataset)
    assert all(np.array_equal(dataset[i].frames, again[i].frames) for i in range(3 * size))
    assert any(not np.array_equal(dataset[i].frames, dataset[i + size].frames) for i in range(size))
    other = PairDataset(open_folder(strips), augmentation=Augmentation(camera=1.0), seed=1)
    assert any(not np.array_equal(dataset[i].frames, other[i].frames) for i in range(size))


def test_workers_change_nothing(strips: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    """Published workers share one unseeded numpy state: the same draws in each, other ones in each run."""
    dataset = PairDataset(open_folder(strips), augmentation=Augmentation(hue=0.1, camera=1.0))
    sampler = StepSampler(len(dataset), 4, seed=0, stop=5)
    alone, helped = (list(make_loader(dataset, sampler, workers=n)) for n in (0, 2))
    assert len(alone) == len(helped) == 5
    for a, b in zip(alone, helped, strict=True):
        assert torch.equal(a["source"], b["source"])
        assert torch.equal(a["driving"], b["driving"])


def test_batches_are_planes(strips: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    dataset = PairDataset(open_folder(strips), augmentation=PLAIN)
    batch = next(iter(make_loader(dataset, StepSampler(len(dataset), 4, seed=0, stop=1))))
    assert batch["source"].shape == batch["driving"].shape == (4, 3, 32, 32)
    assert batch["source"].dtype == torch.uint8


def test_a_broken_clip_costs_only_itself(strips: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    broken = strips / "p1#0.png"
    broken.write_bytes(b"not a picture")
    folder = open_folder(strips)
    dataset = PairDataset(folder, augmentation=PLAIN)
    pairs = [dataset[i] for i in range(len(dataset))]
    skipped = {entry for pair in pairs for entry in pair.skipped}
    assert {name for name, _ in skipped} == {"p1#0"}
    assert all(folder.clips[pair.clip].name != "p1#0" for pair in pairs)


def test_only_broken_clips_is_an_error(tmp_path: Path, open_folder) -> None:  # type: ignore[no-untyped-def]
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"no")
    dataset = PairDataset(open_folder(tmp_path), augmentation=PLAIN)
    with pytest.raises(DataError, match=r"none of the 2 clips in .* can be used") as caught:
        dataset[0]
    assert "stillmotion data check" in caught.value.hint


def test_an_epoch_is_a_permutation() -> None:
    sampler = StepSampler(10, 3, seed=0, stop=6)
    assert sampler.steps_per_epoch == 3
    steps = list(sampler)
    first, second = flat(steps[:3]), flat(steps[3:])
    assert len(set(first)) == len(set(second)) == 9
    assert set(first) < set(range(10))
    assert set(second) < set(range(10, 20))
    assert [p - 10 for p in second] != first


def test_going_on_at_a_step_is_the_same_order() -> None:
    """The published loop repeats the last epoch when it resumes; mid-epoch stops lose their place."""
    whole = list(StepSampler(10, 3, seed=4, stop=9))
    assert list(StepSampler(10, 3, seed=4, start=4, stop=9)) == whole[4:]


def test_processes_share_a_batch_without_overlap() -> None:
    whole = list(StepSampler(20, 6, seed=1, stop=5))
    parts = [list(StepSampler(20, 6, seed=1, rank=rank, world=3, stop=5)) for rank in range(3)]
    assert [flat(step) for step in zip(*parts, strict=True)] == whole
    assert all(len(set(flat(step))) == 6 for step in zip(*parts, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 3, "batch": 4}, "3 pairs per epoch do not fill one batch of 4"),
        ({"length": 9, "batch": 4, "world": 3}, "cannot be shared by 3 processes"),
    ],
)
def test_impossible_batches_are_refused(options: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(DataError, match=message):
        StepSampler(**options, seed=0, stop=1)
