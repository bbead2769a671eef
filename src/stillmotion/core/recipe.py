"""What the training settings of every method say alike; the loop reads nothing else of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AugmentationConfig:
    """What is done to all frames of a sample alike."""

    horizontal_flip: bool = True
    """Mirror with probability a half."""
    time_flip: bool = True
    """Reverse the order of the frames with probability a half."""
    brightness: float = 0.0
    """Largest relative change; 0 leaves it out."""
    contrast: float = 0.0
    """Largest relative change."""
    saturation: float = 0.0
    """Largest relative change."""
    hue: float = 0.0
    """Largest shift, as a share of the colour circle, at most 0.5."""
    resize: tuple[float, float] | None = None
    """Range of a random size factor before cropping, or edge-padding, back; None leaves it out."""


@dataclass(frozen=True)
class Schedule:
    """How long, how much at a time, and how fast."""

    epochs: int = 100
    """Passes over the (repeated) data."""
    repeats: int = 1
    """How often each clip, or each identity, is drawn per epoch."""
    milestones: tuple[int, ...] = ()
    """Epochs after which the learning rates fall by ten."""
    batch: int = 16
    """Samples per step, over all processes."""
    checkpoint_epochs: int = 50
    """Epochs between checkpoints."""
    id_sampling: bool = False
    """Draw identities first, then one of their clips."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
