"""Samples for training: which clip, which frames of it, in which order, on which process.

Nothing here remembers anything: the pair at a position follows from `(seed, epoch, index)` alone, and the
positions of a step from `(seed, epoch, step)`. So the number of workers changes nothing, and a run
that is resumed at step n sees exactly the pairs an unbroken one sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stillmotion.core.errors import DataError
from stillmotion.data.augment import Augmentation
from stillmotion.data.folder import ClipFolder
from stillmotion.nn.objective import Draw


@dataclass(frozen=True, eq=False)
class Pair:
    """Frames of one clip, two unless asked for others.

    Attributes:
        frames: `uint8 (f, h, w, 3)`: source (or several), driving.
        clip: Index of the clip they come from.
        skipped: Names and messages of clips that could not be used and were passed over.
    """

    frames: np.ndarray
    clip: int
    skipped: tuple[tuple[str, str], ...] = ()


class Batch(TypedDict):
    """`frames`: `uint8 (f, n, 3, h, w)`, of which `source` is the first and `driving` the last;
    `clips`: `int64 (n,)`; `skipped`: as in `Pair`."""

    frames: Tensor
    source: Tensor
    driving: Tensor
    clips: Tensor
    skipped: list[tuple[str, str]]


class PairDataset(Dataset[Pair]):
    """Pairs by position `epoch · len + index`.

    An index stands for one clip, or with `id_sampling` for one identity, of which a clip is then
    drawn; each is there `repeats` times per epoch. Unless `draw` says otherwise, two frame indices are
    drawn with replacement and sorted: the earlier frame is the source, as published.

    Args:
        folder: The clips.
        augmentation: What is done to each pair.
        id_sampling: Draw by identity, so that people with many clips do not dominate.
        repeats: Draws of each clip or identity per epoch.
        seed: Of everything random here.
        draw: Which frames of a clip make a sample.
    """

    def __init__(
        self,
        folder: ClipFolder,
        *,
        augmentation: Augmentation,
        id_sampling: bool = False,
        repeats: int = 1,
        seed: int = 0,
        draw: Draw | None = None,
    ) -> None:
        self.folder = folder
        self.draw = draw or Draw()
        self.augmentation = augmentation
        self.repeats = repeats
        self.seed = seed
        everyone = [[i] for i in range(len(folder))]
        self._groups = list(folder.identities.values()) if id_sampling else everyone

    def __len__(self) -> int:
        """Pairs per epoch."""
        return len(self._groups) * self.repeats

    def __getitem__(self, position: int) -> Pair:
        """The pair at a position.

        Raises:
            DataError: No clip at all can be read.
        """
        epoch, index = divmod(position, len(self))
        rng = np.random.default_rng((self.seed, epoch, index))
        group = self._groups[index % len(self._groups)]
        first = group[int(rng.integers(len(group)))]
        skipped: list[tuple[str, str]] = []
        for step in range(len(self.folder)):
            clip = (first + step) % len(self.folder)
            try:
                frames = self._draw(clip, rng)
            except DataError as error:
                skipped.append((self.folder.clips[clip].name, error.message))
                continue
            return Pair(self.augmentation(frames, rng), clip, tuple(skipped))
        raise DataError(
            f"none of the {len(self.folder)} clips in {self.folder.path} can be used; the first: {skipped[0][1]}",
            hint=f"run: stillmotion data check {self.folder.path}",
            skipped=skipped,
        )

    def _draw(self, clip: int, rng: np.random.Generator) -> np.ndarray:
        return self.folder.frames(clip, draw_frames(self.draw, self.folder.length(clip), rng))


def draw_frames(draw: Draw, length: int, rng: np.random.Generator) -> list[int]:
    """Indices of the frames of one sample, out of `length`; see `Draw`."""
    if draw.order == "window":
        first = int(rng.integers(0, max(length - draw.count, 0) + 1))
        return [min(first + i, length - 1) for i in range(draw.count)]
    if draw.order == "distinct":
        rounds = [rng.permutation(length) for _ in range(-(-draw.count // length))]
        return np.concatenate(rounds)[: draw.count].tolist()
    return np.sort(rng.integers(0, length, size=draw.count)).tolist()


class StepSampler(Sampler[list[int]]):
    """Positions of one process's share of every step, over all epochs.

    Each epoch is a seeded permutation cut into batches over *all* processes; the rest that fills no batch
    is dropped, as published. A process takes its own slice of each batch, so shares never overlap
    and the pairs of a step do not depend on the number of processes.

    Args:
        length: Pairs per epoch.
        batch: Pairs per step, over all processes.
        seed: Of the permutations.
        rank, world: This process and how many there are; `world` divides `batch`.
        start: First step.
        stop: Step before which to end.

    Raises:
        DataError: Fewer pairs than one batch, or `world` does not divide `batch`.
    """

    def __init__(
        self, length: int, batch: int, *, seed: int, rank: int = 0, world: int = 1, start: int = 0, stop: int
    ) -> None:
        if length < batch:
            raise DataError(
                f"{length} pairs per epoch do not fill one batch of {batch}",
                hint="lower the batch, or raise the repeats of each clip",
                length=length,
                batch=batch,
            )
        if batch % world:
            raise DataError(f"a batch of {batch} cannot be shared by {world} processes", hint="make it a multiple")
        self.length, self.batch, self.seed = length, batch, seed
        self.rank, self.world, self.start, self.stop = rank, world, start, stop

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.length // self.batch

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch // self.world
        order, drawn = np.empty(0, dtype=np.int64), -1
        for step in range(self.start, self.stop):
            epoch, place = divmod(step, self.steps_per_epoch)
            if epoch != drawn:
                order, drawn = np.random.default_rng((self.seed, epoch)).permutation(self.length), epoch
            first = place * self.batch + self.rank * share
            yield (epoch * self.length + order[first : first + share]).tolist()


def collate(pairs: Sequence[Pair]) -> Batch:
    """Pairs to planes, still `uint8`: four times less to move than floats."""
    stacked = np.stack([pair.frames for pair in pairs]).transpose(1, 0, 4, 2, 3)
    frames = torch.from_numpy(np.ascontiguousarray(stacked))
    return {
        "frames": frames,
        "source": frames[0],
        "driving": frames[-1],
        "clips": torch.tensor([pair.clip for pair in pairs]),
        "skipped": [entry for pair in pairs for entry in pair.skipped],
    }


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism; OpenCV's own threads would fight them


def make_loader(
    dataset: PairDataset, sampler: StepSampler, *, workers: int = 0, pin_memory: bool = False
) -> DataLoader[Pair]:
    """Batches in the sampler's order. One loader lasts the whole run: workers start once, not once per epoch."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker if workers else None,
        prefetch_factor=4 if workers else None,
    )
