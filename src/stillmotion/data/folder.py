"""A folder of clips as one object: what is in it, and its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stillmotion.core.frame import Frame
from stillmotion.data.clips import Clip, Subset, select_clips
from stillmotion.data.decode import Fit, fitted_frames
from stillmotion.data.store import MEMORY, FrameStore
from stillmotion.prepare.faces import FaceDetector


class ClipFolder:
    """The clips of one subset of a data folder, at one frame size.

    Args:
        path: Folder of videos, frame folders or image strips; with `train/` and `test/`, or split
            by identity with `seed`.
        fit: Size and crop of the frames.
        subset: `train`, `test` or `all`.
        seed: Of the split.
        memory: Bytes of decoded frames kept in memory.
        cache: Folder for decoded clips; see `FrameStore`.
        detector: For `fit.crop == "face"`.

    Attributes:
        clips: In natural order of their names.
        identities: Clip indices of every identity, in natural order.

    Raises:
        DataError: No such folder, or no clips of that subset in it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fit: Fit,
        subset: Subset = "train",
        seed: int = 0,
        memory: int = MEMORY,
        cache: Path | None = None,
        detector: FaceDetector | None = None,
    ) -> None:
        self.path = Path(path)
        self.fit = fit
        self.subset = subset
        self.clips: list[Clip] = select_clips(path, subset, seed=seed)
        self.identities: dict[str, list[int]] = {}
        for index, clip in enumerate(self.clips):
            self.identities.setdefault(clip.identity, []).append(index)
        self.store = FrameStore(fit, memory=memory, cache=cache, detector=detector)
        self._detector = detector

    def __len__(self) -> int:
        return len(self.clips)

    def length(self, index: int) -> int:
        """How many frames the clip keeps for training.

        Raises:
            DataError: Unreadable, or fewer than two.
        """
        return len(self.store.clip(self.clips[index]))

    def frames(self, index: int, frames: Sequence[int]) -> np.ndarray:
        """Chosen frames of a clip, `uint8 (len(frames), h, w, 3)`."""
        return self.store.frames(self.clips[index], frames)

    def stream(self, index: int) -> Iterator[Frame]:
        """Every frame of a clip, none thinned out, one in memory at a time."""
        return fitted_frames(self.clips[index], self.fit, detector=self._detector)
