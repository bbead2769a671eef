"""Exported stages in ONNX Runtime, for hardware that OpenVINO does not drive. An extra."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from stillmotion.core.errors import EngineError, MissingExtraError
from stillmotion.runtime.bundle import Bundle
from stillmotion.runtime.graphs import Graphs, Runner, Shapes

PREFERRED = ("CUDAExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider")
"""Providers tried in this order, where the installed build has them."""


def import_onnxruntime() -> ModuleType:
    """The `onnxruntime` module, imported so that it cannot send anything.

    Since 1.29 its Linux and macOS builds too write a device number into the home folder and send
    events while they start; only the environment, set before the import, stops all of it.

    Raises:
        MissingExtraError: It is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "the onnx engine needs onnxruntime, which is not installed", hint="pip install 'stillmotion[onnx]'"
        ) from error
    onnxruntime.disable_telemetry_events()  # for a process that imported it before us
    module: ModuleType = onnxruntime
    return module


class OnnxEngine:
    """Runs the stages of a bundle in ONNX Runtime, one frame at a time.

    Args:
        bundle: Where the stages are.
        providers: Execution providers in order of preference; None takes `PREFERRED`.
        threads: Cap on processor threads; None leaves it to ONNX Runtime.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        EngineError: A provider that this build does not have.
        WeightsError: No exported stages.
    """

    name = "onnx"
    max_batch = 1

    def __init__(self, bundle: Bundle, *, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        onnxruntime = import_onnxruntime()
        available = onnxruntime.get_available_providers()
        wanted = [p for p in PREFERRED if p in available] if providers is None else list(providers)
        absent = [p for p in wanted if p not in available]
        if absent:
            raise EngineError(
                f"this build of onnxruntime has no {', '.join(absent)}", hint=f"it has {', '.join(available)}"
            )
        self._runtime = onnxruntime
        self._providers = wanted
        self._threads = threads
        self._graphs = Graphs(bundle, self._compile)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run one stage on float32 arrays.

        Raises:
            EngineError: No such stage, wrong arrays, or ONNX Runtime failed.
        """
        return self._graphs.run(stage, arrays)

    def _compile(self, path: Path) -> tuple[Shapes, Runner]:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        try:
            session = self._runtime.InferenceSession(str(path), options, providers=self._providers)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise EngineError(f"ONNX Runtime cannot load {path.name}: {error}") from error
        shapes = {port.name: tuple(port.shape) for port in session.get_inputs()}
        outputs = [port.name for port in session.get_outputs()]

        def runner(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            try:
                return dict(zip(outputs, session.run(outputs, arrays), strict=True))
            except Exception as error:  # as above
                raise EngineError(f"ONNX Runtime failed on {path.name}: {error}") from error

        return shapes, runner
