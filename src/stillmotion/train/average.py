"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Running average of several networks' tensors; running statistics included, counters copied.

    Args:
        networks: Averaged from their present weights on.
        decay: Share of the old average kept per step, in [0, 1).
    """

    def __init__(self, networks: dict[str, nn.Module], *, decay: float) -> None:
        self._networks = networks
        self.decay = decay
        self._held = {key: tensor.detach().clone() for key, tensor in self._now()}
        self.steps = 0

    def _now(self) -> Iterator[tuple[str, Tensor]]:
        for name, network in self._networks.items():
            for key, tensor in network.state_dict().items():
                yield f"{name}.{key}", tensor

    @torch.no_grad()
    def update(self) -> None:
        """Take in one step. Early on the decay is lower, `(1 + n) / (10 + n)`, so that the first weights fade."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, tensor in self._now():
            if tensor.is_floating_point():
                self._held[key].lerp_(tensor, 1 - decay)
            else:
                self._held[key].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The networks hold the average inside, and their own weights again after."""
        own = {key: tensor.detach().clone() for key, tensor in self._now()}
        self._put(self._held)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for key, tensor in self._now():
            tensor.copy_(values[key])

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint: the tensors held and the steps taken in."""
        return {"tensors": self._held, "steps": self.steps}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Inverse of `state_dict`."""
        tensors, steps = state["tensors"], state["steps"]
        assert isinstance(tensors, dict)
        assert isinstance(steps, int)
        for key, tensor in tensors.items():
            self._held[key].copy_(tensor)
        self.steps = steps
