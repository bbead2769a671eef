"""Photos times frames, as a picture: what the shipped weights look like, failures included.

    python benchmarks/contact_sheet.py PHOTO... --drivers CLIP... -o docs/images/contact-sheet.jpg

A photo is a picture or a clip, of which the first frame is taken. Photos share out the drivers in order, in
equal groups; the first row of a group is its driver. What has the network's size already is taken as it
is; a photo in which no face is found is taken whole, so that one sees what happens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

import stillmotion
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.prepare.crop import crop_driving, crop_source
from stillmotion.session.inputs import face_detector

CELL = 144
COLUMNS = 6


def first_frame(path: Path) -> Frame:
    try:
        return stillmotion.read_image(path)
    except stillmotion.ImageError:
        with stillmotion.open_video(path) as video:
            return next(iter(video))


def driving_frames(path: Path, method: Method, face_model: Path | None) -> list[Frame]:
    """All frames of a clip, cropped as `animate` crops them."""
    with stillmotion.open_video(path) as video:
        frames = list(video)
    if frames[0].shape[:2] == tuple(method.spec.size):
        return frames
    crop = crop_driving(frames, method.spec, detector=face_detector(face_model))
    return [crop.apply(frame, method.spec.size) for frame in frames]


def photo_crop(photo: Frame, method: Method, face_model: Path | None) -> Frame:
    if photo.shape[:2] == tuple(method.spec.size):
        return photo
    try:
        crop = crop_source(photo, method.spec, detector=face_detector(face_model))
    except stillmotion.NoFaceError:
        crop = crop_source(photo, method.spec, request="none")
    return crop.apply(photo, method.spec.size)


def row(cells: list[Frame]) -> np.ndarray:
    return np.hstack([cv2.resize(cell, (CELL, CELL), interpolation=cv2.INTER_AREA) for cell in cells])


def group(driver: Path, photos: list[Path], method: Method, face_model: Path | None) -> np.ndarray:
    """Driver row, then a row per photo: the photo, then six frames."""
    frames = driving_frames(driver, method, face_model)
    shown = np.linspace(0, len(frames) - 1, COLUMNS + 1).round().astype(int)[1:]
    rows = [row([frames[0], *(frames[i] for i in shown)])]
    for path in photos:
        source = photo_crop(first_frame(path), method, face_model)
        made = list(stillmotion.Animator(method, source).animate(frames))
        rows.append(row([source, *(made[i] for i in shown)]))
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--drivers", type=Path, nargs="+", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    method = stillmotion.load(args.weights)
    shares = np.array_split(np.array(args.photos, dtype=object), len(args.drivers))
    groups = [group(d, list(share), method, args.face_model) for d, share in zip(args.drivers, shares, strict=True)]
    stillmotion.write_image(args.output, np.vstack(groups))


if __name__ == "__main__":
    main()
