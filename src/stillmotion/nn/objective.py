"""What a method hands to the training loop: who learns what, in which order, from how many frames.

The loop draws samples, runs the turns of each step, and keeps the books; it does not know which
method it trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Losses: TypeAlias = dict[str, Tensor]
Features: TypeAlias = Callable[[Tensor], list[Tensor]]
States: TypeAlias = dict[str, dict[str, Tensor]]


class Sample:
    """The samples of one step on one process. No dataclass: Fabric would take one apart and copy it.

    Args:
        frames: Frames of each sample, in order: tensors `(n, 3, h, w)` in [0, 1]; sources first, the
            driving frame last.
        clips: `(n,)` index of the clip that each sample comes from; None where it does not matter.
        step: Steps done before this one.
        random: Source of all randomness in the step; None takes torch's own.
    """

    def __init__(
        self,
        *frames: Tensor,
        clips: Tensor | None = None,
        step: int = 0,
        random: torch.Generator | None = None,
    ) -> None:
        self.frames = frames
        self.clips = torch.zeros(len(frames[0]), dtype=torch.int64, device=frames[0].device) if clips is None else clips
        self.step = step
        self.random = random


@dataclass(frozen=True, eq=False)
class Turn:
    """One backward pass of a step.

    Attributes:
        module: Called as `module(sample, made)`, `made` being what earlier turns of the step made, tensors
            by name; returns weighted losses by name, and what it made. Holds as submodules the
            networks that learn, and only those.
        optimizers: By name of the network they move; their first rates fall at the milestones.
    """

    module: nn.Module
    optimizers: Mapping[str, Optimizer]


@dataclass(frozen=True)
class Draw:
    """Which frames of a clip make a sample.

    Attributes:
        count: How many.
        order: `sorted` (drawn with replacement, earliest first, as the first-order family does),
            `distinct` (in random order, different ones as far as the clip has them) or `window`
            (consecutive ones; the last is repeated where the clip is shorter).
    """

    count: int = 2
    order: str = "sorted"


def _unchanged(states: States) -> States:
    return states


@dataclass(frozen=True, eq=False)
class Objective:
    """Everything that a run of one method does differently from another's.

    Attributes:
        turns: Of one step, in order.
        watched: Networks that are averaged, looked at and exported.
        draw: The frames of a sample.
        adapt: Makes the state dicts of another run fit before this one starts from them.
        begin: Called once, before the first step of a new run, with all frames of the first clips
            `(n, 3, h, w)` in [0, 1]; for methods that start from a person's pictures.
    """

    turns: tuple[Turn, ...]
    watched: tuple[str, ...]
    draw: Draw = field(default_factory=Draw)
    adapt: Callable[[States], States] = _unchanged
    begin: Callable[[Tensor], None] | None = None


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients pass through networks without gathering any for their own weights."""
    parameters = [p for network in networks for p in network.parameters()]
    before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, was in zip(parameters, before, strict=True):
            parameter.requires_grad_(was)
