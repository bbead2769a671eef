"""What a run is told besides the method's own config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillmotion.core.errors import ConfigError
from stillmotion.data.store import MEMORY


@dataclass(frozen=True)
class Options:
    """One training run.

    Raises:
        ConfigError: A number out of its range.
    """

    data: Path
    """Folder of clips; see `stillmotion.data.clips`."""
    output: Path
    """Folder of the run: checkpoint, record, pictures, TensorBoard events, and the bundle at the end."""
    features: Path | None = None
    """State dict of the perceptual term's feature network (torchvision's VGG-19, or SqueezeNet 1.1)."""
    start: Path | None = None
    """Checkpoint whose networks to start from, such as the first stage of a staged recipe."""
    start_epoch: int = 0
    """Epochs that lie behind `start`; 100 for the published second stage, which runs to epoch 150."""
    resume: bool = False
    """Go on from the checkpoint in `output`, exactly as if the run had never stopped."""
    max_minutes: float | None = None
    """Stop, saved, after this much wall-clock time."""
    max_steps: int | None = None
    """Stop at this step, counted from the very first."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: CUDA where there is one."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """`bf16-mixed` runs the convolutions in bfloat16; weights and losses stay float32."""
    ema: float = 0.0
    """Decay per step of a running average of the weights, which is then exported; 0 keeps none."""
    clip: float | None = None
    """Largest gradient norm of generator and keypoint detector together, and of the discriminator."""
    seed: int = 0
    """Of the first weights, the split, the pairs, the augmentation and the equivariance warps."""
    workers: int = 0
    """Processes that load data; their number changes nothing but speed."""
    crop: Literal["whole", "face", "squash"] = "whole"
    """How frames become square: largest centred box, a box around the clip's face, or stretched."""
    margin: float = 2.0
    """For `face`: side of the crop over side of the face box."""
    camera: float = 0.0
    """Strength of random camera motion added to each frame; see `Augmentation.camera`."""
    memory: int = MEMORY
    """Bytes of decoded clips kept in memory, over all workers."""
    cache: Path | None = None
    """Folder for decoded clips, read in place of the memory cache."""
    log_steps: int = 50
    """Steps between log entries."""
    picture_steps: int = 500
    """Steps between picture grids with a held-out score."""
    checkpoint_minutes: float = 10.0
    """Most minutes between checkpoints; the config's `checkpoint_epochs` adds its own."""
    export: bool = True
    """Write a weights bundle when the run ends."""
    stages: bool = True
    """Give it the exported stages that run without torch; `stillmotion export` can do so later."""

    def __post_init__(self) -> None:
        for name in ("data", "output", "features", "start", "cache"):
            if getattr(self, name) is not None:  # strings are welcome
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name in ("log_steps", "picture_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name, least in (("max_steps", 1), ("max_minutes", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} must be at least {least}, not {value}", hint="leave it out for no end")
        for name in ("start_epoch", "workers"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema must be at least 0 and below 1, not {self.ema}", hint="0.999 is usual")
        if self.clip is not None and self.clip <= 0:
            raise ConfigError(f"clip must be above 0, not {self.clip}", hint="leave it out for no clipping")
        if self.start is not None and self.resume:
            raise ConfigError("start and resume exclude each other", hint="resume takes the run's own checkpoint")
        if self.precision not in ("32-true", "bf16-mixed"):
            raise ConfigError(f"unknown precision {self.precision!r}", hint="use 32-true or bf16-mixed")
