"""The default engine: exported stages in OpenVINO, on the processor, in float32."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from stillmotion.core.errors import EngineError, WeightsError
from stillmotion.runtime.bundle import Bundle
from stillmotion.runtime.graphs import Graphs, Runner, Shapes
from stillmotion.runtime.signal_stack import kept_signal_stack


def import_openvino() -> ModuleType:
    """The `openvino` module, imported so that it cannot send anything.

    Importing openvino makes openvino-telemetry write a client number into the home folder and
    send an event. openvino falls back to a stub when that package cannot be imported, so it is
    made unimportable, for this process, before the first import.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class OpenVinoEngine:
    """Runs the stages of a bundle one frame at a time: fixed shapes let the CPU plugin plan best.

    Args:
        bundle: Where the stages are.
        threads: Cap on processor threads; None leaves it to OpenVINO.

    Raises:
        WeightsError: No exported stages.
    """

    name = "openvino"
    max_batch = 1

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self._openvino = import_openvino()
        self._core = self._openvino.Core()
        self._options: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits behind whatever else runs on its core
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._graphs = Graphs(bundle, self._compile)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run one stage on float32 arrays.

        Raises:
            EngineError: No such stage, wrong arrays, or OpenVINO failed.
        """
        return self._graphs.run(stage, arrays)

    def _compile(self, path: Path) -> tuple[Shapes, Runner]:
        try:
            graph = self._core.read_model(path)
            _check_constants(graph, path)
            with kept_signal_stack():
                request = self._core.compile_model(graph, "CPU", self._options).create_infer_request()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load {path.name}: {str(error).strip()}") from error
        shapes = {port.any_name: tuple(port.shape) for port in graph.inputs}
        outputs = [port.any_name for port in graph.outputs]

        def runner(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            results = request.infer(arrays, share_inputs=True)
            return {name: results[name] for name in outputs}

        return shapes, runner


def _check_constants(graph: object, path: Path) -> None:
    for node in graph.get_ops():  # type: ignore[attr-defined]
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        if not np.isfinite(node.data).all():
            raise WeightsError(
                f"{path.parent.name}/{path.name} holds NaN or infinity",
                hint="the training that made it diverged, or the file is damaged; use other weights",
            )
