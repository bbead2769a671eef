"""Who is in a frame: faces by our detectors, bodies by an ONNX file of the user's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeAlias

import cv2
import numpy as np

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.core.frame import Frame, to_planes
from stillmotion.data.preparation.boxes import Box
from stillmotion.prepare.resize import resize_frame
from stillmotion.runtime.openvino_engine import import_openvino
from stillmotion.runtime.signal_stack import kept_signal_stack
from stillmotion.session.faces import face_detector

Finder: TypeAlias = Callable[[Frame], Sequence[Box]]
"""From a frame to the boxes of whoever is in it, pixels."""


class Provider(Protocol):
    """What opens a finder in each process; it travels there, so it holds names and numbers only."""

    def open(self) -> Finder:
        """The finder, made anew."""
        ...

    def __hash__(self) -> int: ...


@lru_cache(maxsize=1)
def opened(provider: Provider) -> Finder:
    """The finder of this process, opened once."""
    return provider.open()


@dataclass(frozen=True)
class Faces:
    """Faces by the package's own detectors.

    Attributes:
        model: See `session.faces.face_detector`.
    """

    model: str | None = None

    def open(self) -> Finder:
        """See `Provider`.

        Raises:
            WeightsError: The model cannot be used.
        """
        detector = face_detector(self.model)

        def find(frame: Frame) -> list[Box]:
            return [Box(x, y, x + w, y + h) for x, y, w, h in (face.box for face in detector.find(frame))]

        return find


@dataclass(frozen=True)
class Bodies:
    """Persons by a detector in an ONNX file.

    The file takes one picture `(1, 3, h, w)`, RGB in [0, 1], fitted into it without distortion, and
    gives either `(1, n, 6)`, rows of left, top, right, bottom, score, class, or `(1, 4 + classes, n)`,
    columns of centre x, centre y, width, height and a score for each class; pixels of its own
    picture, class 0 being a person. So the exports of the YOLO family (v8 and later) are.

    Attributes:
        model: Path of the file.
        least_score: Persons below this confidence are passed over; the published script used 0.9
            with another network.
        side: Side of the picture where the file leaves it open, pixels.
    """

    model: str | None = None
    least_score: float = 0.5
    side: int = 640

    def __post_init__(self) -> None:
        """Refuse to start without a detector.

        Raises:
            ConfigError: No file was named.
            WeightsError: The named file is not there.
        """
        if not self.model:
            raise ConfigError(
                "no detector of bodies comes with stillmotion",
                hint="--body-model FILE.onnx (a person detector), or --annotations FILE.csv with the boxes",
            )
        if not Path(self.model).is_file():
            raise WeightsError(f"body model {self.model} does not exist", hint="correct the path", path=self.model)

    def open(self) -> Finder:
        """See `Provider`.

        Raises:
            WeightsError: The file cannot be read, or is no such detector.
        """
        return _OnnxBodies(str(self.model), least_score=self.least_score, side=self.side)


class _OnnxBodies:
    def __init__(self, path: str, *, least_score: float, side: int) -> None:
        self._path, self._least = path, least_score
        core = import_openvino().Core()
        try:
            graph = core.read_model(path)
            shape = graph.input(0).get_partial_shape()
            fixed = [axis.get_length() if axis.is_static else None for axis in shape]
            self._size = (fixed[2] or side, fixed[3] or side)
            if len(fixed) != 4 or fixed[1] not in (3, None) or len(graph.inputs) != 1:
                raise self._useless(f"its input is {shape}")
            graph.reshape([1, 3, *self._size])
            with kept_signal_stack():
                options = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
                self._request = core.compile_model(graph, "CPU", options).create_infer_request()
        except (RuntimeError, IndexError) as error:
            raise self._useless(str(error).strip().splitlines()[-1]) from error

    def _useless(self, why: str) -> WeightsError:
        return WeightsError(
            f"body model {self._path} cannot be used: {' '.join(why.split())}",
            hint="give a detector that takes (1, 3, h, w) and gives (1, n, 6) or (1, 4 + classes, n)",
            path=self._path,
        )

    def __call__(self, frame: Frame) -> list[Box]:
        height, width = frame.shape[:2]
        scale = min(self._size[0] / height, self._size[1] / width)
        small = resize_frame(frame, (max(round(height * scale), 1), max(round(width * scale), 1)))
        canvas = np.full((*self._size, 3), 114, np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        output = self._request.infer([to_planes(canvas[None])])[0]
        boxes, scores = self._persons(np.asarray(output))
        return [Box(*(float(edge) / scale for edge in boxes[i])) for i in _apart(boxes, scores, self._least)]

    def _persons(self, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Edges `(n, 4)` and scores `(n,)` of persons."""
        if output.ndim == 3 and output.shape[2] == 6 and output.shape[0] == 1:
            rows = output[0][output[0][:, 5].round() == 0]
            return rows[:, :4], rows[:, 4]
        if output.ndim != 3 or output.shape[0] != 1 or output.shape[1] < 5:
            raise self._useless(f"its output is {output.shape}")
        x, y, w, h = output[0, :4]
        is_person = output[0, 4:].argmax(0) == 0
        edges = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
        return edges[is_person], output[0, 4][is_person]


def _apart(boxes: np.ndarray, scores: np.ndarray, least: float) -> list[int]:
    """Indices of boxes above the least score, the surest of those that overlap by more than half."""
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(float).tolist()
    return [int(i) for i in np.ravel(cv2.dnn.NMSBoxes(sized, scores.astype(float).tolist(), least, 0.5))]
