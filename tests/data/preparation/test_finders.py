"""Finders: the package's faces, and bodies by an ONNX file made for the test."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.data.preparation.finders import Bodies, Faces

WANTED = [
    [8.0, 4.0, 24.0, 28.0, 0.9, 0.0],
    [9.0, 4.0, 24.0, 28.0, 0.8, 0.0],
    [0, 0, 9, 9, 0.9, 2],
    [0, 0, 9, 9, 0.1, 0],
]
"""Rows of left, top, right, bottom, score, class in a picture of 32 pixels: one person twice, a thing, a doubt."""


def graph(path: Path, answer: np.ndarray, *, inputs: tuple[int, ...] = (1, 3, 32, 32)) -> Path:
    """An ONNX file that gives `answer` whatever it sees."""
    onnx = pytest.importorskip("onnx", reason="making a graph needs onnx")
    from onnx import TensorProto, helper, numpy_helper

    constant = numpy_helper.from_array(answer.astype(np.float32), "answer")
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "answer"], ["found"]),
    ]
    made = helper.make_graph(
        nodes,
        "bodies",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, answer.shape)],
        [constant, numpy_helper.from_array(np.float32(0), "zero")],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def columns() -> np.ndarray:
    """`WANTED` as `(1, 4 + 3, n)`: centre, size, and a score for each of three classes."""
    made = np.zeros((7, len(WANTED)))
    for i, (left, top, right, bottom, score, kind) in enumerate(WANTED):
        made[:4, i] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        made[4 + int(kind), i] = score
    return made[None]


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_bodies_in_both_forms(tmp_path: Path, form: str) -> None:
    answer = np.array([WANTED]) if form == "rows" else columns()
    find = Bodies(str(graph(tmp_path / "bodies.onnx", answer))).open()
    # A frame of 128x64 is fitted into 32x32 at a quarter.
    (box,) = find(np.zeros((64, 128, 3), np.uint8))
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((32, 16, 96, 112))


def test_nobody_is_no_box(tmp_path: Path) -> None:
    find = Bodies(str(graph(tmp_path / "bodies.onnx", np.zeros((1, 5, 6))))).open()
    assert find(np.zeros((64, 64, 3), np.uint8)) == []


def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    find = Bodies(str(graph(tmp_path / "a.onnx", np.zeros((2, 3))))).open()
    with pytest.raises(WeightsError, match=r"its output is \(2, 3\)"):
        find(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(WeightsError, match="cannot be used: its input is"):
        Bodies(str(graph(tmp_path / "b.onnx", np.zeros((1, 5, 6)), inputs=(1, 1, 32, 32)))).open()
    (tmp_path / "c.onnx").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be used"):
        Bodies(str(tmp_path / "c.onnx")).open()


def test_without_a_detector_of_bodies() -> None:
    with pytest.raises(ConfigError, match="no detector of bodies comes with stillmotion") as caught:
        Bodies()
    assert "--annotations" in caught.value.hint
    with pytest.raises(WeightsError, match="does not exist"):
        Bodies("none.onnx")


def test_faces_travel_to_other_processes_by_name() -> None:
    provider = pickle.loads(pickle.dumps(Faces("haar")))
    assert provider == Faces("haar")
    assert provider.open()(np.zeros((64, 64, 3), np.uint8)) == []


def test_faces_are_found_as_everywhere_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """No detector of its own: the one that automatic crops take."""
    from stillmotion.data.preparation import finders
    from stillmotion.session import faces

    asked: list[str | None] = []

    class Nobody:
        def find(self, frame: np.ndarray) -> list[object]:
            return []

    def detector(model: str | None) -> Nobody:
        asked.append(model)
        return Nobody()

    assert finders.face_detector is faces.face_detector
    monkeypatch.setattr(finders, "face_detector", detector)
    assert Faces().open()(np.zeros((8, 8, 3), np.uint8)) == []
    assert asked == [None]
