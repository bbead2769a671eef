"""What both runtimes share: named graphs of a bundle, checked arrays in and out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from stillmotion.core.errors import EngineError, WeightsError
from stillmotion.runtime.bundle import Bundle

Runner = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
Shapes = Mapping[str, tuple[int, ...]]


class Graphs:
    """Compiles each stage at its first use and runs it with checked inputs.

    Args:
        bundle: Where the stages are.
        compile_stage: From the path of a graph to its input shapes and a function that runs it.

    Raises:
        WeightsError: The bundle has no exported stages.
    """

    def __init__(self, bundle: Bundle, compile_stage: Callable[[Path], tuple[Shapes, Runner]]) -> None:
        if not bundle.stages:
            raise WeightsError(
                f"{bundle.folder.name} holds no exported stages, only tensors",
                hint="use engine='torch', or export it again with stillmotion convert",
            )
        self._paths = bundle.stages
        self._compile = compile_stage
        self._ready: dict[str, tuple[Shapes, Runner]] = {}
        self._lock = threading.Lock()

    def run(self, stage: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a stage by name.

        Raises:
            EngineError: No such stage, wrong arrays, or the runtime failed.
        """
        if stage not in self._paths:
            raise EngineError(f"no stage {stage!r}", hint=f"these weights have {', '.join(self._paths)}")
        with self._lock:  # a compiled graph holds one set of buffers
            if stage not in self._ready:
                self._ready[stage] = self._compile(self._paths[stage])
            shapes, runner = self._ready[stage]
            checked = _checked(stage, shapes, arrays)
            try:
                return runner(checked)
            except RuntimeError as error:
                raise EngineError(f"stage {stage!r} failed: {error}") from error


def _checked(stage: str, shapes: Shapes, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if set(arrays) != set(shapes):
        raise EngineError(f"stage {stage!r} takes {', '.join(shapes)}, not {', '.join(arrays)}")
    out = {}
    for name, shape in shapes.items():
        array = np.ascontiguousarray(arrays[name], dtype=np.float32)
        if array.shape != shape:
            raise EngineError(f"stage {stage!r}: {name} must be {shape}, not {array.shape}")
        out[name] = array
    return out
