"""Face detectors judged by YuNet on real material: the default one, Haar alone, our networks alone.

    python benchmarks/face_boxes.py --clips grid/*.mpg asl/*.mkv --portraits me.png \\
        --empty cat.png asl/*.mkv --face-model yunet_n_640_640.onnx

A hit is a main face at YuNet's place. Boxes and crops are compared by their overlap (intersection over
union), as a median over frames; the crop is that of `--crop auto` at a margin of 1.8. Pictures without
a face count false alarms; of a clip named there the lowest third of some frames is taken. Frames are
also tilted, which is where cascades end. Prints Markdown; docs/face-network.md holds what it printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from stillmotion.core.frame import Frame
from stillmotion.prepare.faces import Face, FaceDetector, Haar, YuNet, main_face
from stillmotion.session.faces import ShippedFaces, open_landmarker
from stillmotion.video.image import IMAGE_SUFFIXES, read_image
from stillmotion.video.read import open_video

MARGIN = 1.8
TILTS = (15, 30, 45)
Box = tuple[float, float, float, float]


def frames(path: Path, *, every: int) -> list[Frame]:
    """Every so many frames of a clip, or the one of a picture, `uint8 (h, w, 3)`."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return [read_image(path)]
    with open_video(path) as video:
        return list(video)[::every]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two `(x, y, w, h)`."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def crop(face: Face) -> Box:
    """The square around a face that `--crop auto` takes, before it meets the picture's edge."""
    side = MARGIN * face.side
    return face.centre[0] - side / 2, face.centre[1] - side / 2, side, side


def tilted(frame: Frame, degrees: float) -> Frame:
    """`frame` turned about its middle, edges repeated."""
    height, width = frame.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(frame, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def against(judge: FaceDetector, detector: FaceDetector, pictures: list[Frame]) -> str:
    """`hits of pictures, box, crop` of the frames in which the judge sees a face."""
    boxes, crops, seen, nothing = [], [], 0, 0
    for picture in pictures:
        truth = main_face(judge.find(picture))
        if truth is None:
            continue
        seen += 1
        face = main_face(detector.find(picture))
        nothing += face is None
        if face is not None and overlap(face.box, truth.box) > 0.3:
            boxes.append(overlap(face.box, truth.box))
            crops.append(overlap(crop(face), crop(truth)))
    if not boxes:
        return f"0 of {seen}; {nothing} without"
    return f"{len(boxes)} of {seen}; {nothing} without; {np.median(boxes):.2f}; {np.median(crops):.2f}"


def tilts(judge: FaceDetector, detector: FaceDetector, pictures: list[Frame], degrees: float) -> str:
    """Hits in tilted pictures: the middle of the box where the upright one's went."""
    hits = 0
    for picture in pictures:
        height, width = picture.shape[:2]
        truth, face = main_face(judge.find(picture)), main_face(detector.find(tilted(picture, degrees)))
        if truth is not None and face is not None:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
            place = turn @ np.array([*truth.centre, 1.0])
            hits += bool(np.linalg.norm(place - np.array(face.centre)) < 0.35 * truth.side)
    return f"{hits} of {len(pictures)}"


def alarms(detector: FaceDetector, pictures: list[Frame]) -> str:
    """Pictures without a face in which one was seen."""
    return f"{sum(bool(detector.find(picture)) for picture in pictures)} of {len(pictures)}"


def cost(detector: FaceDetector, pictures: list[Frame]) -> str:
    """Median milliseconds for a picture."""
    times = []
    for picture in pictures:
        start = time.perf_counter()
        detector.find(picture)
        times.append(time.perf_counter() - start)
    return f"{1000 * np.median(times):.0f} ms"


def rows(options: argparse.Namespace, judge: FaceDetector) -> Iterator[tuple[str, Callable[[FaceDetector], str]]]:
    """What is measured, with its name."""
    groups: dict[str, list[Frame]] = {}
    for path in options.clips:
        name = "held out" if path.stem in options.held else path.parent.name
        groups.setdefault(name, []).extend(frames(path, every=options.every))
    for path in options.portraits:
        groups[path.stem] = frames(path, every=1)
    for name, pictures in groups.items():
        yield f"{name}: hits; no face; box; crop", lambda d, p=pictures: against(judge, d, p)
    firsts = [frames(path, every=1000)[0] for path in (*options.clips, *options.portraits) if path.suffix != ".mkv"]
    for degrees in TILTS:
        yield f"tilted by {degrees}°: hits", lambda d, t=degrees: tilts(judge, d, firsts, t)
    empty = [picture for path in options.empty for picture in faceless(path)]
    yield "false alarms", lambda d: alarms(d, empty)
    yield "time, first frames", lambda d: cost(d, firsts)


def faceless(path: Path) -> list[Frame]:
    """A picture, or the lowest third of three frames of a clip."""
    shown = frames(path, every=1)
    if len(shown) == 1:
        return shown
    return [frame[-frame.shape[0] // 3 :] for frame in shown[:: max(len(shown) // 3, 1)][:3]]


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="with one face in every frame")
    parser.add_argument("--held", nargs="*", default=("brbk7n", "pwij3p"), help="clips that calibrated nothing")
    parser.add_argument("--portraits", type=Path, nargs="*", default=())
    parser.add_argument("--empty", type=Path, nargs="*", default=(), help="pictures without a face, or clips")
    parser.add_argument("--every", type=int, default=15)
    parser.add_argument("--face-model", type=Path, required=True, help="YuNet, the judge")
    options = parser.parse_args()
    judge = YuNet(options.face_model)
    detectors = {"default": ShippedFaces(), "Haar alone": Haar(), "networks alone": open_landmarker()}
    print("| |" + "".join(f" {name} |" for name in detectors) + "\n|---|" + "---|" * len(detectors))
    for name, measure in rows(options, judge):
        print(f"| {name} |" + "".join(f" {measure(detector)} |" for detector in detectors.values()), flush=True)


if __name__ == "__main__":
    main()
