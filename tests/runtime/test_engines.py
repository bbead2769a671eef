"""The light engines: same numbers as torch, clear errors, nothing sent anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillmotion.core.errors import ConfigError, EngineError, MissingExtraError, WeightsError
from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.runtime import open_engine
from stillmotion.runtime.bundle import Bundle, sha256

ENGINES = ("openvino", "onnx")


def arrays_for(networks: dict[str, Any], config: FirstOrderConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    import torch

    from stillmotion.methods.firstorder.weights import stage_names, stages

    picture = rng.uniform(0, 1, (1, 3, config.size, config.size)).astype(np.float32)
    other = rng.uniform(0, 1, picture.shape).astype(np.float32)
    found = {"source": picture, "image": other}
    names = stage_names(config)
    with torch.no_grad():
        modules = stages(networks, config)
        for image, prefix in ((picture, "source_"), (other, "")):
            out = modules["read"](torch.from_numpy(image))
            found |= {prefix + n: a.numpy() for n, a in zip(names["read"][1], out, strict=True)}
        out = modules["encode"](torch.from_numpy(picture))
    return found | {n: a.numpy() for n, a in zip(names["encode"][1], out, strict=True)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["tiny", "compact"])
def test_every_exported_stage_equals_torch(
    request: pytest.FixtureRequest,
    networks_of: Callable[..., dict[str, Any]],
    rng: np.random.Generator,
    kind: str,
    engine: Any,
) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    import torch

    from stillmotion.methods.firstorder.weights import stage_names, stages

    config = request.getfixturevalue(kind)
    runtime = open_engine(Bundle.open(request.getfixturevalue(f"{kind}_bundle")), engine, threads=1)
    networks = networks_of(config)
    arrays = arrays_for(networks, config, rng)
    modules = stages(networks, config)
    for stage, (inputs, outputs) in stage_names(config).items():
        given = {name: arrays[name] for name in inputs}
        with torch.no_grad():
            expected = modules[stage](*(torch.from_numpy(a) for a in given.values()))
        found = runtime.run(stage, **given)
        assert tuple(found) == outputs
        for name, tensor in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-4, err_msg=f"{stage}.{name}")


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_calls_are_refused(tiny_bundle: Path, engine: Any) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    runtime = open_engine(Bundle.open(tiny_bundle), engine, threads=1)
    with pytest.raises(EngineError, match="no stage 'draw'") as caught:
        runtime.run("draw")
    assert caught.value.hint == "these weights have encode, read, render"
    with pytest.raises(EngineError, match="stage 'read' takes image, not picture"):
        runtime.run("read", picture=np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(EngineError, match=r"image must be \(1, 3, 32, 32\), not \(2, 3, 32, 32\)"):
        runtime.run("read", image=np.zeros((2, 3, 32, 32), np.float32))


def test_outputs_are_not_overwritten_by_the_next_run(tiny_bundle: Path) -> None:
    runtime = open_engine(Bundle.open(tiny_bundle), "openvino", threads=1)
    first = runtime.run("encode", source=np.zeros((1, 3, 32, 32), np.float32))["features"]
    before = first.copy()
    runtime.run("encode", source=np.ones((1, 3, 32, 32), np.float32))
    np.testing.assert_array_equal(first, before)


def test_unknown_engine_and_missing_stages(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown runtime engine 'tensorrt'"):
        open_engine(Bundle.open(tiny_bundle), "tensorrt")  # type: ignore[arg-type]
    bare = only(tiny_bundle, tmp_path / "bare", "network.safetensors")
    with pytest.raises(WeightsError, match="bare holds no exported stages, only tensors") as caught:
        open_engine(Bundle.open(bare))
    assert "engine='torch'" in caught.value.hint


def test_missing_onnxruntime_names_the_extra(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="onnxruntime, which is not installed") as caught:
        open_engine(Bundle.open(tiny_bundle), "onnx")
    assert "stillmotion[onnx]" in caught.value.hint


def test_unknown_provider(tiny_bundle: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    from stillmotion.runtime.onnx_engine import OnnxEngine

    with pytest.raises(EngineError, match="has no MagicExecutionProvider"):
        OnnxEngine(Bundle.open(tiny_bundle), providers=["MagicExecutionProvider"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_that_is_not_one(tiny_bundle: Path, tmp_path: Path, engine: Any) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    broken = shutil.copytree(tiny_bundle, tmp_path / "broken")
    (broken / "read.onnx").write_bytes(b"not a graph at all")
    resum(broken)
    with pytest.raises(EngineError, match=r"cannot load read\.onnx"):
        open_engine(Bundle.open(broken), engine, threads=1).run("read", image=np.zeros((1, 3, 32, 32), np.float32))


def test_nan_in_a_graph_is_found_when_it_is_compiled(tiny_bundle: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the train extra is not installed")
    broken = only(tiny_bundle, tmp_path / "nan", "encode.onnx", "read.onnx", "render.onnx")
    graph = onnx.load(str(broken / "read.onnx"))
    tensor = max(graph.graph.initializer, key=lambda t: len(t.raw_data))
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, str(broken / "read.onnx"))
    resum(broken)
    with pytest.raises(WeightsError, match=r"nan/read\.onnx holds NaN or infinity"):
        open_engine(Bundle.open(broken), threads=1).run("read", image=np.zeros((1, 3, 32, 32), np.float32))


def test_nothing_is_sent_and_nothing_written_home(tiny_bundle: Path, tmp_path: Path) -> None:
    """A fresh interpreter whose sockets raise, and whose home must stay empty, runs both engines."""
    script = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("a socket was opened")
for name in ("connect", "connect_ex", "sendto", "send", "sendall"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
import importlib.util
import numpy as np
from stillmotion.runtime import Bundle, open_engine
for engine in ("openvino", "onnx"):
    if engine == "onnx" and importlib.util.find_spec("onnxruntime") is None:
        continue
    runtime = open_engine(Bundle.open(sys.argv[1]), engine, threads=1)
    runtime.run("read", image=np.zeros((1, 3, 32, 32), np.float32))
import openvino.tools.ovc
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub", telemetry_utils.tm
assert "openvino_telemetry.main" not in sys.modules
assert "torch" not in sys.modules
print("quiet")
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "quiet", done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def only(bundle: Path, target: Path, *names: str) -> Path:
    """A copy of a bundle with some of its files."""
    target.mkdir()
    for name in ("model.json", *names):
        shutil.copy(bundle / name, target / name)
    resum(target)
    return target


def resum(bundle: Path) -> None:
    card = json.loads((bundle / "model.json").read_text())
    card["checksums"] = {p.name: sha256(p) for p in sorted(bundle.iterdir()) if p.name != "model.json"}
    (bundle / "model.json").write_text(json.dumps(card))
