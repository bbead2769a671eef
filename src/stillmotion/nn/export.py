"""torch stages to ONNX graphs with fixed shapes.

Fixed, batch 1: OpenVINO plans such graphs best, batches of frames were measured to gain nothing on
a processor, and dynamic axes cost both runtimes their shape folding.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from stillmotion.core.errors import MissingExtraError

if TYPE_CHECKING:
    import onnx

OPSET = 20
"""First ONNX version whose GridSample both runtimes read as torch means it."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks: absent torchvision, torch's own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    child = logging.getLogger("torch.onnx._internal.exporter._registration")
    levels = logger.level, child.level
    logger.setLevel(logging.ERROR)
    child.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="torch|copyreg")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch|onnxscript|onnx_ir")
            yield
    finally:
        logger.setLevel(levels[0])
        child.setLevel(levels[1])


def export_stage(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    *,
    half: bool = False,
    half_from: int = 1024,
) -> None:
    """Write one stage as an ONNX graph with the shapes of its example inputs.

    Args:
        module: In evaluation mode; called with the inputs in order.
        inputs: Example float32 arrays by name.
        outputs: Names of what it returns, in order.
        path: Where to write.
        half: Store large tensors as float16 behind a cast; computing stays float32.
        half_from: What is large, in elements.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "exporting stages needs onnx and onnxscript, which are not installed",
            hint="pip install 'stillmotion[train]'",
        ) from error
    module = copy.deepcopy(module).float().cpu().eval()
    arrays = tuple(t.detach().float().cpu() for t in inputs.values())
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            arrays,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            optimize=False,  # the runtimes do this themselves; here it took two thirds of the time
        )
    assert program is not None
    graph = program.model_proto
    _forget_origin(graph)
    if half:
        _store_half(graph, half_from)
    onnx.save(graph, str(path))


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes of every node: more bytes than a small network, and paths of the machine."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for function in proto.functions:
        function.ClearField("metadata_props")
    graph.ClearField("value_info")


def _store_half(proto: onnx.ModelProto, smallest: int) -> None:
    """Replace each large float32 initialiser by a float16 one and a cast back."""
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or np.prod(tensor.dims) < smallest:
            continue
        name = tensor.name
        small = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half")
        tensor.CopyFrom(small)
        casts.append(helper.make_node("Cast", [small.name], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)
