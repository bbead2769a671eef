"""Decoded clips kept at hand: in memory up to a cap, and on disk if a folder is given."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.data.clips import Clip
from stillmotion.data.decode import Fit, load_clip
from stillmotion.prepare.faces import FaceDetector
from stillmotion.video.target import replacing

MEMORY = 2 << 30
"""Bytes of decoded frames held in memory."""


class FrameStore:
    """Random access to the frames of many clips; each is decoded once while it stays at hand.

    Args:
        fit: Size and crop of the frames.
        memory: Most bytes of decoded frames kept in memory; the least recently used clip goes first.
        cache: Folder for decoded clips (`uint8` arrays, about `n · h · w · 3` bytes each). Frames are
            then read straight from the file, so memory is not used; several processes may share it.
        detector: Finds faces for `fit.crop == "face"`; None takes the default one.
    """

    def __init__(
        self, fit: Fit, *, memory: int = MEMORY, cache: Path | None = None, detector: FaceDetector | None = None
    ) -> None:
        self.fit = fit
        self.memory = memory
        self.cache = cache
        self._detector = detector
        self._held: OrderedDict[Path, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._broken: dict[Path, DataError] = {}

    def clip(self, clip: Clip) -> np.ndarray:
        """All frames, `uint8 (n, h, w, 3)`; do not write into it.

        Raises:
            DataError: Unreadable or too short. Remembered: a broken clip is tried once.
        """
        held = self._held.get(clip.path)
        if held is not None:
            self._held.move_to_end(clip.path)
            return held
        if clip.path in self._broken:
            raise self._broken[clip.path]
        try:
            return self._load(clip)
        except DataError as error:
            self._broken[clip.path] = error
            raise

    def frames(self, clip: Clip, indices: Sequence[int]) -> np.ndarray:
        """Chosen frames, `uint8 (len(indices), h, w, 3)`, a copy."""
        return np.stack([self.clip(clip)[i] for i in indices])

    def _load(self, clip: Clip) -> np.ndarray:
        if self.cache is not None:
            return self._from_disk(clip, self.cache)
        frames = load_clip(clip, self.fit, detector=self._detector)
        self._keep(clip.path, frames)
        return frames

    def _keep(self, path: Path, frames: np.ndarray) -> None:
        self._held[path] = frames
        self._bytes += frames.nbytes
        while self._bytes > self.memory and self._held:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.nbytes

    def _from_disk(self, clip: Clip, folder: Path) -> np.ndarray:
        path = folder / f"{self._key(clip)}.npy"
        with contextlib.suppress(OSError, ValueError):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        frames = load_clip(clip, self.fit, detector=self._detector)
        folder.mkdir(parents=True, exist_ok=True)
        # A name per process: two workers may decode the same clip at once, and the last rename wins.
        mine = path.with_name(f"{path.stem}.{os.getpid()}.npy")
        with replacing(mine) as partial, partial.open("wb") as file:
            np.save(file, frames)
        mine.replace(path)
        return frames

    def _key(self, clip: Clip) -> str:
        """Changes with the file, the fit, and the face detector's kind."""
        stat = clip.path.stat()
        facts = (str(clip.path.resolve()), stat.st_mtime_ns, stat.st_size, self.fit, type(self._detector).__name__)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
