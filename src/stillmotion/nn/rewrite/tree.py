"""Replacing modules inside a tree."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def replace_modules(module: nn.Module, change: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """Offer every module of the tree to `change`, outermost first; what it returns takes its place.

    `change` returns None to leave a module and look inside it. The root can be replaced too, so
    use the return value.
    """
    new = change(module)
    if new is not None:
        return new
    for name, child in module.named_children():
        setattr(module, name, replace_modules(child, change))
    return module
