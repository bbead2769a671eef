"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stillmotion.train.stopping import Reason


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        output: Folder of the run.
        status: `finished` (all epochs), `steps`, `time` or `signal`.
        step: Steps done, counted from the first.
        epoch: Epochs finished.
        seconds: Wall-clock time of this call.
        losses: Mean of each weighted term over the last log interval.
        scores: Last held-out scores.
        bundle: Exported weights, or None.
        skipped: Clips that could not be used, with the reason.
    """

    output: Path
    status: Reason
    step: int
    epoch: int
    seconds: float
    losses: dict[str, float]
    scores: dict[str, float]
    bundle: Path | None
    skipped: dict[str, str]
