"""The torch engine: runs stages as modules, on the CPU or on CUDA with bfloat16 and CUDA graphs."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stillmotion.core.errors import EngineError

Precision = Literal["float32", "bfloat16"]
Names = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]


def pick_device(device: str | None) -> torch.device:
    """The device of that name; None or `auto` takes CUDA where there is one.

    Raises:
        EngineError: No such device here.
    """
    if device in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(str(device))
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(
            f"torch cannot use the device {device!r} here", hint="use --device cpu, or leave it out", device=device
        ) from error
    return wanted


class _Graph:
    """One captured CUDA graph with its fixed inputs and outputs."""

    def __init__(self, module: nn.Module, arrays: list[Tensor], precision: Precision) -> None:
        self.inputs = [array.clone() for array in arrays]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # lazy initialisation must not be captured
            for _ in range(3):
                _forward(module, self.inputs, precision)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = _forward(module, self.inputs, precision)

    def replay(self, arrays: list[Tensor]) -> tuple[Tensor, ...]:
        for fixed, array in zip(self.inputs, arrays, strict=True):
            if fixed.data_ptr() != array.data_ptr():
                fixed.copy_(array)
        self.graph.replay()
        return self.outputs


def _forward(module: nn.Module, arrays: list[Tensor], precision: Precision) -> tuple[Tensor, ...]:
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # float32 means float32 on CUDA, too
    with exact, torch.autocast(arrays[0].device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        out = module(*arrays)
    return tuple(tensor.float() for tensor in (out if isinstance(out, tuple) else (out,)))


class TorchEngine:
    """Runs stages as torch modules; numpy in, numpy out.

    Args:
        stages: Modules by name.
        names: Input and output array names of each stage, in order.
        device: Such as `cuda`; None takes CUDA where there is one.
        dtype: `bfloat16` runs convolutions and matrix products under autocast.
        cuda_graphs: On CUDA, capture each stage once per set of shapes and replay it: a batch of
            one is bound by kernel launches otherwise.

    Raises:
        EngineError: No such device here.
    """

    name = "torch"

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        names: Names,
        *,
        device: str | None = None,
        dtype: Precision = "float32",
        cuda_graphs: bool = True,
    ) -> None:
        self.device = pick_device(device)
        self.stages = {
            name: stage.to(self.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
            for name, stage in stages.items()
        }
        self.names = names
        self.dtype: Precision = dtype
        on_cuda = self.device.type == "cuda"
        self.cuda_graphs = cuda_graphs and on_cuda
        self.max_batch = 8 if on_cuda else 1  # batches gain nothing on a CPU
        self._graphs: dict[tuple[str, tuple[tuple[int, ...], ...]], _Graph] = {}
        self._kept: dict[int, tuple[weakref.ref[np.ndarray], Tensor]] = {}

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run one stage on float32 arrays.

        Raises:
            EngineError: No such stage, wrong array names, or torch failed.
        """
        if stage not in self.stages:
            raise EngineError(f"there is no stage {stage!r}; there are {', '.join(sorted(self.stages))}", stage=stage)
        inputs, outputs = self.names[stage]
        if set(arrays) != set(inputs):
            raise EngineError(
                f"stage {stage} takes {', '.join(inputs)}, not {', '.join(sorted(arrays)) or 'nothing'}", stage=stage
            )
        try:
            with torch.inference_mode():
                results = self._call(stage, [self._uploaded(arrays[name]) for name in inputs])
                # numpy() of a CPU tensor shares its memory; a graph's outputs are overwritten by the next replay.
                return {n: r.cpu().numpy().copy() for n, r in zip(outputs, results, strict=True)}
        except RuntimeError as error:
            raise EngineError(
                f"torch failed in stage {stage}: {str(error).splitlines()[0]}",
                hint="if memory ran out, close other programs or use --device cpu",
                stage=stage,
            ) from error

    def _call(self, stage: str, arrays: list[Tensor]) -> tuple[Tensor, ...]:
        if not self.cuda_graphs:
            return _forward(self.stages[stage], arrays, self.dtype)
        key = stage, tuple(tuple(array.shape) for array in arrays)
        if key not in self._graphs:
            self._graphs[key] = _Graph(self.stages[stage], arrays, self.dtype)
        return self._graphs[key].replay(arrays)

    def _uploaded(self, array: np.ndarray) -> Tensor:
        """The array on the device. Arrays frozen by their owner (the encoded source) are uploaded once."""
        if self.device.type == "cpu" or array.flags.writeable:
            plain = np.ascontiguousarray(array, np.float32)
            return torch.from_numpy(plain if plain.flags.writeable else plain.copy()).to(self.device)
        key = id(array)
        kept = self._kept.get(key)
        if kept is not None and kept[0]() is array:
            return kept[1]
        tensor = torch.from_numpy(np.array(array, np.float32)).to(self.device)
        self._kept[key] = weakref.ref(array, lambda _: self._kept.pop(key, None)), tensor
        return tensor
