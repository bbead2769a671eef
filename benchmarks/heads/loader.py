"""Batches made by background threads, drawn from several worlds with given shares."""

from __future__ import annotations

import queue
import threading
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class World(Protocol):
    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]: ...


class Loader:
    """Args: worlds with their shares; `batch` pairs of `size` pixels; a seed."""

    def __init__(self, worlds: list[tuple[World, float]], *, batch: int, size: int, seed: int) -> None:
        self.worlds, self.batch, self.size = worlds, batch, size
        self.queue: queue.Queue[dict[str, Tensor]] = queue.Queue(maxsize=4)
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(seed + i,), daemon=True) for i in range(2)]
        for thread in self.threads:
            thread.start()

    def _work(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shares = np.array([share for _, share in self.worlds])
        while not self.stopped.is_set():
            picks = rng.choice(len(shares), self.batch, p=shares / shares.sum())
            samples = [self.worlds[pick][0].sample(rng, self.size) for pick in picks]
            self._offer({k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in samples[0]})

    def _offer(self, item: dict[str, Tensor]) -> None:
        while not self.stopped.is_set():
            try:
                return self.queue.put(item, timeout=1)
            except queue.Full:
                continue

    def next(self) -> dict[str, Tensor]:
        item = self.queue.get()
        for name in ("source", "driving"):
            item[name] = item[name].contiguous(memory_format=torch.channels_last)
        return item

    def close(self) -> None:
        self.stopped.set()
