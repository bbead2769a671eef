"""Detectors and embedders: ours, files, and packages that may not be there."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stillmotion.core.errors import ConfigError, EngineError, MissingExtraError, WeightsError
from stillmotion.evaluate import providers
from stillmotion.evaluate.onnxfile import OnnxFile
from stillmotion.evaluate.providers import open_detector, open_embedder

onnx = pytest.importorskip("onnx", reason="writing ONNX files needs onnx, of the extra train")

PICTURE = np.full((40, 80, 3), (255, 0, 51), np.uint8)


def write_graph(path: Path, output: Any, *, size: tuple[Any, Any] = (8, 8), inputs: int = 1) -> Path:
    """A graph that looks at its picture and gives `output` plus the mean of its first plane times 0."""
    from onnx import TensorProto, helper, numpy_helper

    values = np.asarray(output, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["values", "nothing"], ["out"]),
    ]
    pictures = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *size]) for name in ("picture", "other")[:inputs]
    ]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, list(values.shape))
    constants = [numpy_helper.from_array(values, "values"), numpy_helper.from_array(np.float32(0), "zero")]
    graph = helper.make_graph(nodes, "graph", pictures, [out], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def write_means(path: Path) -> Path:
    """A graph that gives the mean of each plane of its picture."""
    from onnx import TensorProto, helper

    node = helper.make_node("ReduceMean", ["picture"], ["out"], axes=[2, 3], keepdims=0)
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 6, 6])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([node], "graph", [picture], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_points_are_shares_of_the_frame(tmp_path: Path) -> None:
    detector = open_detector(str(write_graph(tmp_path / "marks.onnx", [[[0.5, 0.25], [1, 1]]])))
    assert detector is not None
    assert detector.name == "marks.onnx"
    assert detector.find(PICTURE) == pytest.approx(np.array([[40, 10], [80, 40]]))


def test_points_in_pixels_of_its_own_picture_and_a_doubtful_one(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "body.onnx", [[[4, 2, 0.9], [8, 8, 0.1]]])
    (tmp_path / "body.json").write_text('{"points": "pixels", "least": 0.3, "kind": "bodies"}')
    detector = open_detector(str(path))
    assert detector is not None
    assert detector.kind == "bodies"
    found = detector.find(PICTURE)
    assert found is not None
    assert found[0] == pytest.approx([40, 10])
    assert np.isnan(found[1]).all()


def test_nothing_that_is_sure_is_nothing(tmp_path: Path) -> None:
    detector = open_detector(str(write_graph(tmp_path / "marks.onnx", [[[0.5, 0.5, 0.0]]])))
    assert detector is not None
    assert detector.find(PICTURE) is None


def test_what_is_no_points(tmp_path: Path) -> None:
    detector = open_detector(str(write_graph(tmp_path / "marks.onnx", [[0.5, 0.5, 1, 2]])))
    assert detector is not None
    with pytest.raises(EngineError, match=r"marks.onnx gives \(1, 4\), no points"):
        detector.find(PICTURE)


def test_an_embedder_sees_what_its_contract_says(tmp_path: Path) -> None:
    frames = PICTURE[None].repeat(2, 0)
    plain = open_embedder(write_means(tmp_path / "plain.onnx"))
    assert plain.embed(frames) == pytest.approx(np.array([[1, 0, 0.2]] * 2), abs=1e-6)
    (tmp_path / "other.json").write_text('{"colour": "bgr", "mean": [0.2, 0, 0], "deviation": [1, 1, 0.5]}')
    other = open_embedder(write_means(tmp_path / "other.onnx"))
    assert other.embed(frames) == pytest.approx(np.array([[0, 0, 2]] * 2), abs=1e-6)


def test_features_of_a_state_dict(tmp_path: Path) -> None:
    from stillmotion.nn.features import FeatureNetwork

    state = FeatureNetwork("squeezenet1_1").state_dict()
    np.savez(tmp_path / "squeezenet.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    embedder = open_embedder(tmp_path / "squeezenet.npz")
    assert embedder.embed(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 512)
    assert embedder.name == "squeezenet1_1 (squeezenet.npz), deepest map averaged"
    assert torch.is_grad_enabled()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone.onnx does not exist"):
        OnnxFile(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(WeightsError, match="not an ONNX graph"):
        OnnxFile(tmp_path / "text.onnx")
    with pytest.raises(WeightsError, match="has 2 inputs"):
        OnnxFile(write_graph(tmp_path / "two.onnx", [0.0], inputs=2))
    with pytest.raises(WeightsError, match="takes pictures of any size") as caught:
        OnnxFile(write_graph(tmp_path / "open.onnx", [0.0], size=("h", "w")))
    assert '{"size": [96, 96]}' in caught.value.hint
    (tmp_path / "open.json").write_text('{"size": [12, 16]}')
    assert OnnxFile(tmp_path / "open.onnx").size == (12, 16)
    (tmp_path / "open.json").write_text('{"sise": [12, 16]}')
    with pytest.raises(WeightsError, match=r"open.json makes no sense: sise"):
        OnnxFile(tmp_path / "open.onnx")


def test_a_detector_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="there is no detector 'mediapip'") as caught:
        open_detector("mediapip")
    assert "'mediapipe'" in caught.value.hint


def test_none_is_no_detector() -> None:
    assert open_detector("none") is None


@pytest.mark.parametrize(
    ("name", "module", "wanted"),
    [
        ("face-alignment", "face_alignment", "'face-alignment'"),
        ("mediapipe", "mediapipe", "'mediapipe<=0.10.21' 'protobuf<5'"),
    ],
)
def test_packages_that_are_not_installed(name: str, module: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"the detector {name} is not installed") as caught:
        open_detector(name)
    assert f"pip install {wanted}," in caught.value.hint


def test_face_alignment_is_called_as_the_published_scripts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the package's interface; the package itself downloads weights."""
    asked: dict[str, object] = {}

    class FaceAlignment:
        def __init__(self, layout: str, *, flip_input: bool, device: str, compile: bool = True) -> None:
            asked.update(layout=layout, flip_input=flip_input, compile=compile)

        def get_landmarks(self, frame: np.ndarray) -> list[np.ndarray] | None:
            if not frame.any():
                warnings.warn("No faces were detected.", stacklevel=1)  # as the package does, at every such frame
                return None
            return [np.ones((68, 2)), np.zeros((68, 2))]

    package = SimpleNamespace(FaceAlignment=FaceAlignment, LandmarksType=SimpleNamespace(_2D="flat"))
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    detector = open_detector("face-alignment")
    assert detector is not None
    assert asked == {"layout": "flat", "flip_input": False, "compile": False}
    found = detector.find(PICTURE)
    assert found is not None
    assert found.min() == 1
    assert detector.find(PICTURE * 0) is None


def test_mediapipe_with_and_without_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    class FaceMesh:
        def __init__(self, *, static_image_mode: bool, max_num_faces: int) -> None:
            assert static_image_mode
            assert max_num_faces == 1

        def process(self, frame: np.ndarray) -> SimpleNamespace:
            face = SimpleNamespace(landmark=[SimpleNamespace(x=0.5, y=0.25)] * 468)
            return SimpleNamespace(multi_face_landmarks=[face] if frame.any() else None)

    package = SimpleNamespace(solutions=SimpleNamespace(face_mesh=SimpleNamespace(FaceMesh=FaceMesh)))
    monkeypatch.setitem(sys.modules, "mediapipe", package)
    detector = open_detector("mediapipe")
    assert detector is not None
    assert detector.find(PICTURE) == pytest.approx(np.tile([40.0, 10.0], (468, 1)))
    assert detector.find(PICTURE * 0) is None
    monkeypatch.setitem(sys.modules, "mediapipe", SimpleNamespace())
    with pytest.raises(MissingExtraError, match="carries no models") as caught:
        open_detector("mediapipe")
    assert "mediapipe<=0.10.21" in caught.value.hint


def _without_network(*_: object, **__: object) -> None:
    raise OSError("<urlopen error [Errno -2] Name or service not known>")


def _with_another_protobuf(*_: object, **__: object) -> None:
    raise AttributeError("'MessageFactory' object has no attribute 'GetPrototype'")


def test_packages_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both were seen: no way to their weights, and a protobuf that mediapipe does not know."""
    layouts = SimpleNamespace(TWO_D="flat")
    package = SimpleNamespace(FaceAlignment=_without_network, LandmarksType=layouts)
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    with pytest.raises(EngineError, match="face-alignment does not start: <urlopen error") as caught:
        open_detector("face-alignment")
    assert "downloads its weights" in caught.value.hint
    mesh = SimpleNamespace(FaceMesh=_with_another_protobuf)
    monkeypatch.setitem(sys.modules, "mediapipe", SimpleNamespace(solutions=SimpleNamespace(face_mesh=mesh)))
    with pytest.raises(EngineError, match="mediapipe does not start: 'MessageFactory'") as caught:
        open_detector("mediapipe")
    assert "protobuf<5" in caught.value.hint


def test_ours_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "landmarks68", lambda: lambda frame: np.full((68, 2), 7.0))
    detector = open_detector()
    assert detector is not None
    assert detector.name == "the landmark network of stillmotion"
    assert detector.find(PICTURE) == pytest.approx(np.full((68, 2), 7.0))
