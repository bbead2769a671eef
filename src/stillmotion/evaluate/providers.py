"""What looks at frames for the metrics: detectors of points, embedders of pictures.

Nothing stands in for what is missing: a metric whose provider is not given is not measured.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np
import torch

from stillmotion.core.errors import ConfigError, EngineError, MissingExtraError, did_you_mean
from stillmotion.core.frame import Frame, to_planes
from stillmotion.evaluate.distances import Kind
from stillmotion.evaluate.onnxfile import OnnxFile
from stillmotion.nn.features import load_features
from stillmotion.session.faces import landmarks68

OURS, FACE_ALIGNMENT, MEDIAPIPE, NOTHING = "stillmotion", "face-alignment", "mediapipe", "none"
DETECTORS = (OURS, FACE_ALIGNMENT, MEDIAPIPE, NOTHING)
"""Detectors by name; an `.onnx` file is one as well."""

_WANTED = {FACE_ALIGNMENT: "'face-alignment'", MEDIAPIPE: "'mediapipe<=0.10.21' 'protobuf<5'"}
"""What to install; later mediapipes carry no models."""

FindPoints: TypeAlias = Callable[[Frame], np.ndarray | None]
"""A frame `uint8 (h, w, 3)` to points `float (k, 2)`, pixels, a missing one not a number; None: nothing found."""
Embed: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Frames `uint8 (n, h, w, 3)` to `float (n, d)`."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A detector of points.

    Attributes:
        name: For the page: what found the points.
        kind: `faces` or `bodies`.
        find: Does it.
    """

    name: str
    kind: Kind
    find: FindPoints


@dataclass(frozen=True, eq=False)
class Embedder:
    """A network that turns a whole frame into a vector.

    Attributes:
        name: For the page.
        embed: Does it.
    """

    name: str
    embed: Embed


def open_detector(choice: str = OURS) -> Detector | None:
    """A detector by name or file.

    Args:
        choice: One of `DETECTORS`, or an `.onnx` file; `none` is no detector.

    Raises:
        ConfigError: Neither.
        MissingExtraError: Its package is not installed.
        EngineError: Its package is, and does not start.
        WeightsError: The file, or the shipped network, cannot be used.
    """
    if choice == NOTHING:
        return None
    if choice == OURS:
        return Detector("the landmark network of stillmotion", "faces", landmarks68())
    if choice == FACE_ALIGNMENT:
        return Detector(FACE_ALIGNMENT, "faces", _face_alignment())
    if choice == MEDIAPIPE:
        return Detector(MEDIAPIPE, "faces", _mediapipe())
    if Path(choice).suffix.lower() != ".onnx":
        raise ConfigError(f"there is no detector {choice!r}", hint=did_you_mean(choice, [*DETECTORS, "FILE.onnx"]))
    graph = OnnxFile(choice)
    return Detector(graph.path.name, graph.contract.kind, lambda frame: points_of(graph, frame))


def points_of(graph: OnnxFile, frame: Frame) -> np.ndarray | None:
    """Points `(k, 2)` in pixels of a frame by an ONNX graph that gives `(1, k, 2)` or `(1, k, 3)`.

    Raises:
        EngineError: It gives something else.
    """
    out = graph.run(frame)
    points = out[0] if out.ndim == 3 and out.shape[0] == 1 else out
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise EngineError(f"{graph.path.name} gives {out.shape}, no points (1, k, 2) or (1, k, 3)")
    unit = graph.size[::-1] if graph.contract.points == "pixels" else (1, 1)
    places = points[:, :2] / unit * [frame.shape[1], frame.shape[0]]
    if points.shape[1] == 3:
        places = np.where(points[:, 2:] >= graph.contract.least, places, np.nan)
    return places if np.isfinite(places).any() else None


def open_embedder(path: str | Path) -> Embedder:
    """An embedder from a file: an `.onnx` graph, or a state dict of VGG-19 or SqueezeNet 1.1.

    A graph's first output is flattened; of a state dict, the deepest map is averaged over the picture.

    Raises:
        WeightsError: The file cannot be used.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        graph = OnnxFile(path)
        return Embedder(path.name, lambda frames: np.stack([graph.run(frame).reshape(-1) for frame in frames]))
    network = load_features(path)

    def embed(frames: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            deepest = network(torch.from_numpy(to_planes(frames)))[-1]
        out: np.ndarray = deepest.mean((2, 3)).double().numpy()
        return out

    return Embedder(f"{network.kind} ({path.name}), deepest map averaged", embed)


def _imported(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the detector {package} is not installed", hint=f"pip install {_WANTED[package]}, or --detector {OURS}"
        ) from error


@contextmanager
def _starting(package: str, hint: str) -> Iterator[None]:
    """Their own errors, of whatever kind, as one of ours."""
    try:
        yield
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise EngineError(f"the detector {package} does not start: {why}", hint=hint) from error


def _face_alignment() -> FindPoints:
    """68 points, as the published scripts take them: 2-D, no flipped second look, the first face."""
    package = _imported("face_alignment", FACE_ALIGNMENT)
    layouts = package.LandmarksType
    flat = getattr(layouts, "TWO_D", None) or layouts._2D
    options: dict[str, object] = {"flip_input": False, "device": "cuda" if torch.cuda.is_available() else "cpu"}
    if "compile" in inspect.signature(package.FaceAlignment).parameters:
        options["compile"] = False  # from 1.5 on it compiles for minutes at first use, unasked
    with _starting(FACE_ALIGNMENT, "at first use it downloads its weights: try again where there is a network"):
        network = package.FaceAlignment(flat, **options)

    def find(frame: Frame) -> np.ndarray | None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No faces were detected")  # a miss is counted, not shouted
            faces = network.get_landmarks(frame)
        return np.asarray(faces[0], np.float64) if faces else None

    return find


def _mediapipe() -> FindPoints:
    """468 points of the face mesh, each frame looked at afresh."""
    package = _imported("mediapipe", MEDIAPIPE)
    solutions = getattr(package, "solutions", None)
    if solutions is None:
        raise MissingExtraError(
            "this mediapipe carries no models: they left the package after 0.10.21",
            hint=f"pip install {_WANTED[MEDIAPIPE]}, or --detector {OURS}",
        )
    with _starting(MEDIAPIPE, f"it wants its own version of protobuf: pip install {_WANTED[MEDIAPIPE]}"):
        mesh = solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1)

    def find(frame: Frame) -> np.ndarray | None:
        faces = mesh.process(frame).multi_face_landmarks
        if not faces:
            return None
        return np.array([(p.x, p.y) for p in faces[0].landmark]) * [frame.shape[1], frame.shape[0]]

    return find
