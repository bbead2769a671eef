"""The golden arrays: published outputs on weights that anybody can rebuild."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def open_fill(shared: Path) -> ModuleType:
    """The module that rebuilds weights and pictures."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arrays(shared: Path, name: str) -> dict[str, np.ndarray]:
    """Golden arrays of a file by name."""
    with np.load(shared / "golden" / f"{name}.npz") as file:
        return dict(file)


def keys(shared: Path, name: str) -> dict[str, dict[str, list[int]]]:
    """Published tensor names and shapes, by network."""
    found: dict[str, dict[str, list[int]]] = json.loads((shared / "golden" / f"{name}.keys.json").read_text())
    return found


def picture(fill: ModuleType, seed: int, size: int) -> Any:
    """`float32 (1, 3, size, size)` tensor."""
    import torch

    return torch.from_numpy(fill.image(seed, size)).permute(2, 0, 1)[None]


def parameters(network: Any) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in network.parameters())
