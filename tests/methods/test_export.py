"""Exporting stages and saving bundles."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch")
onnx = pytest.importorskip("onnx", reason="exporting needs the train extra")

from stillmotion.core.errors import MissingExtraError, WeightsError  # noqa: E402
from stillmotion.methods.firstorder.config import FirstOrderConfig  # noqa: E402
from stillmotion.methods.firstorder.weights import examples, save_bundle, stage_names, stages  # noqa: E402
from stillmotion.nn.export import export_stage  # noqa: E402
from stillmotion.runtime.bundle import Bundle  # noqa: E402


@pytest.mark.parametrize("bundle", ["tiny_bundle", "compact_bundle"])
def test_graphs_have_named_arrays_of_fixed_shape(request: pytest.FixtureRequest, bundle: str) -> None:
    opened = Bundle.open(request.getfixturevalue(bundle))
    names = stage_names(opened.config(FirstOrderConfig))
    assert set(opened.stages) == set(names)
    for stage, path in opened.stages.items():
        graph = onnx.load(str(path)).graph
        inputs, outputs = names[stage]
        assert tuple(i.name for i in graph.input) == inputs
        assert tuple(o.name for o in graph.output) == outputs
        for port in (*graph.input, *graph.output):
            dimensions = [d.dim_value for d in port.type.tensor_type.shape.dim]
            assert all(dimensions), f"{stage}.{port.name} has a dynamic axis"
            assert dimensions[0] == 1


def test_half_storage_of_a_stage(
    tiny: FirstOrderConfig, networks_of: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    modules = stages(networks_of(tiny), tiny)
    source = examples(modules, tiny)["source"]
    outputs = {}
    sizes = {}
    for half in (False, True):
        path = tmp_path / f"{half}.onnx"
        export_stage(modules["encode"], {"source": source}, ("features", "small"), path, half=half, half_from=64)
        sizes[half] = sum(len(t.raw_data) for t in onnx.load(str(path)).graph.initializer)
        outputs[half] = run_graph(path, source.numpy())
    assert sizes[True] < 0.65 * sizes[False]
    for whole, rounded in zip(outputs[False], outputs[True], strict=True):
        assert rounded.dtype == np.float32
        np.testing.assert_allclose(rounded, whole, atol=2e-3)


def run_graph(path: Path, source: np.ndarray) -> list[np.ndarray]:
    from stillmotion.runtime.openvino_engine import import_openvino

    core = import_openvino().Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled({"source": source}).values())


def test_saving_leaves_the_networks_as_they_are(
    tiny: FirstOrderConfig, networks_of: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    networks = networks_of(tiny)
    networks["generator"].train()
    before = {k: v.clone() for k, v in networks["generator"].state_dict().items()}
    modules = dict(networks["generator"].named_modules()).keys()
    save_bundle(networks, tiny, tmp_path / "toy", keep="tensors")
    assert networks["generator"].training
    assert dict(networks["generator"].named_modules()).keys() == modules
    for key, tensor in networks["generator"].state_dict().items():
        assert torch.equal(tensor, before[key])


def test_diverged_networks_are_not_saved(
    tiny: FirstOrderConfig, networks_of: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    networks = networks_of(tiny)
    with torch.no_grad():
        networks["generator"].final.bias.fill_(float("nan"))
    with pytest.raises(WeightsError, match=r"the networks hold NaN or infinity: generator\.final\.bias"):
        save_bundle(networks, tiny, tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_without_the_exporter_nothing_half_written_stays(
    tiny: FirstOrderConfig,
    networks_of: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match="exporting stages needs onnx and onnxscript") as caught:
        save_bundle(networks_of(tiny), tiny, tmp_path / "toy")
    assert "stillmotion[train]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
