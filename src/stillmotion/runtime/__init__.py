"""Runs exported stages without torch: OpenVINO by default, ONNX Runtime as an extra."""

from __future__ import annotations

from typing import Literal, TypeAlias

from stillmotion.core.errors import ConfigError
from stillmotion.core.method import Engine
from stillmotion.runtime.bundle import Bundle

RuntimeName: TypeAlias = Literal["auto", "openvino", "onnx"]


def open_engine(bundle: Bundle, engine: RuntimeName = "auto", *, threads: int | None = None) -> Engine:
    """The engine that runs the exported stages of a bundle.

    Args:
        bundle: Where the stages are.
        engine: `openvino`, `onnx` (ONNX Runtime, an extra), or `auto`, which is OpenVINO.
        threads: Cap on processor threads; None leaves it to the runtime.

    Raises:
        ConfigError: Another engine name.
        WeightsError: The bundle has no exported stages.
        MissingExtraError: ONNX Runtime is not installed.
    """
    if engine in ("auto", "openvino"):
        from stillmotion.runtime.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(bundle, threads=threads)
    if engine == "onnx":
        from stillmotion.runtime.onnx_engine import OnnxEngine

        return OnnxEngine(bundle, threads=threads)
    raise ConfigError(f"unknown runtime engine {engine!r}", hint="use auto, openvino or onnx")


__all__ = ["Bundle", "open_engine"]
