"""Detectors and embedders of others: any ONNX file with one picture as its input.

What cannot be read from the graph stands in a JSON file of the same name beside it:

    {"size": [96, 96], "colour": "bgr", "mean": [0, 0, 0], "deviation": [1, 1, 1],
     "points": "share", "least": 0.5, "kind": "faces"}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from stillmotion.core.errors import WeightsError
from stillmotion.core.frame import Frame
from stillmotion.evaluate.distances import Kind
from stillmotion.prepare.resize import resize_frame
from stillmotion.runtime.openvino_engine import import_openvino
from stillmotion.runtime.signal_stack import kept_signal_stack


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Contract:
    """What a graph wants and gives.

    Attributes:
        size: `(h, w)` of its picture where the graph leaves it open.
        colour: Order of its planes.
        mean: Taken from colours in [0, 1].
        deviation: Divides them afterwards.
        points: Unit of its points: `share` of the frame's sides, or `pixels` of its own picture.
        least: Points with a third value below this are missing.
        kind: Whether it finds `faces` or `bodies`.
    """

    size: tuple[int, int] | None = None
    colour: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    points: Literal["share", "pixels"] = "share"
    least: float = 0.5
    kind: Kind = "faces"


def read_contract(path: Path) -> Contract:
    """The contract beside an ONNX file; the defaults where there is none.

    Raises:
        WeightsError: It makes no sense.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return Contract()
    try:
        return TypeAdapter(Contract).validate_json(beside.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise WeightsError(
            f"{beside} makes no sense: {where}: {first['msg']}",
            hint="docs/how-to/evaluate.md lists its fields",
            path=str(beside),
        ) from error


class OnnxFile:
    """A graph with one input `(1, 3, h, w)` and its contract, run by OpenVINO.

    Args:
        path: The `.onnx` file.

    Raises:
        WeightsError: It cannot be read, wants other input, or its size is nowhere said.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.contract = read_contract(self.path)
        self._model = _read(self.path)
        self.size = _size(self._model, self.contract, self.path)
        self._model.reshape({self._model.inputs[0]: [1, 3, *self.size]})
        with kept_signal_stack():
            self._request = import_openvino().Core().compile_model(self._model, "CPU").create_infer_request()

    def run(self, frame: Frame) -> np.ndarray:
        """The first output for a frame `uint8 (h, w, 3)` of any size."""
        picture = resize_frame(frame, self.size).astype(np.float32) / np.float32(255)
        if self.contract.colour == "bgr":
            picture = picture[..., ::-1]
        picture = (picture - np.array(self.contract.mean)) / np.array(self.contract.deviation)
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        return np.array(self._request.infer([planes])[0], np.float64)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", hint="give an .onnx file", path=str(path))
    try:
        model = import_openvino().Core().read_model(path)
    except RuntimeError as error:
        raise WeightsError(f"{path} is not an ONNX graph that can be read", hint="export it again") from error
    if len(model.inputs) != 1:
        raise WeightsError(f"{path} has {len(model.inputs)} inputs, one picture is wanted", hint="export it again")
    return model


def _size(model: Any, contract: Contract, path: Path) -> tuple[int, int]:
    shape = model.inputs[0].partial_shape
    if len(shape) != 4 or (shape[1].is_static and shape[1].get_length() != 3):
        raise WeightsError(f"{path} wants {shape}, not one picture (1, 3, h, w)", hint="export it with planes first")
    if shape[2].is_static and shape[3].is_static:
        return shape[2].get_length(), shape[3].get_length()
    if contract.size is None:
        raise WeightsError(
            f"{path} takes pictures of any size", hint=f'say which in {path.with_suffix(".json")}: {{"size": [96, 96]}}'
        )
    return contract.size
