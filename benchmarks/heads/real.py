"""Pairs from real talking-head clips: own camera motion, own background, pixels weighed where the clip moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from heads.marks import Colours, anchored_coarsely, backdrop, face_weights, plane
from stillmotion.prepare.crop import RAISE
from stillmotion.prepare.faces import YuNet, main_face
from stillmotion.video.read import open_video


@dataclass(frozen=True)
class Clip:
    """`frames (t, h, w, 3)`, five `points (t, 5, 2)`, median `box (4,)`; `alpha (t, h, w)` where the wall was keyed."""

    frames: np.ndarray
    points: np.ndarray
    box: np.ndarray
    alpha: np.ndarray | None


def wall_mask(frames: np.ndarray) -> np.ndarray | None:
    """How much of each pixel is the person, 0..255, for clips in front of a blue studio wall; else None."""
    hsv = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2HSV) for f in frames])
    key = ((np.abs(hsv[..., 0].astype(int) - 98) < 14) & (hsv[..., 1] > 90)).astype(np.float32)
    border = np.concatenate([key[:, :20].ravel(), key[:, :, :10].ravel(), key[:, :, -10:].ravel()])
    if border.mean() <= 0.6:
        return None
    alpha = np.stack([1 - cv2.GaussianBlur(cv2.erode(k, np.ones((2, 2))), (0, 0), 1.0) for k in key])
    return (alpha * 255).astype(np.uint8)


def read_clip(file: Path, detector: YuNet) -> Clip | None:
    """The frames in which a face is found, or None with a word printed if they are few."""
    with open_video(file) as video:
        frames = np.stack(list(video))
    faces = [main_face(detector.find(frame)) for frame in frames]
    found = [i for i, face in enumerate(faces) if face is not None]
    if len(found) < 10:
        print(f"{file.name}: a face in only {len(found)} of {len(frames)} frames, left out")
        return None
    seen = [face for face in faces if face is not None]
    return Clip(
        frames=frames[found],
        points=np.array([face.points for face in seen], np.float32),
        box=np.median(np.array([face.box for face in seen], np.float32), axis=0),
        alpha=wall_mask(frames[found]),
    )


class RealClips:
    """A world of real clips.

    Args:
        files: Clips with one talking head each.
        face_model: YuNet's ONNX file.
        margin: Side of the square crop over the longer side of the face box.
    """

    def __init__(self, files: list[Path], face_model: Path, *, margin: float) -> None:
        detector = YuNet(face_model)
        self.clips = [clip for file in files if (clip := read_clip(file, detector)) is not None]
        self.margin = margin

    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        """One pair.

        Returns:
            `source`, `driving (3, size, size)` in [0, 1], `emphasis (1, size, size)` of mean 1,
            `anchors (k, 2)` in [-1, 1] with `anchor_weights (k,)`; `flow`, `visible` are empty truth, `true` is 0.
        """
        clip = self.clips[rng.integers(len(self.clips))]
        picks = rng.integers(0, len(clip.frames), 2)
        matrices, mirror = self._cameras(rng, clip, size)
        look = Colours(rng)
        planes = [look(_view(clip.frames[i], m, size)) for i, m in zip(picks, matrices, strict=True)]
        if clip.alpha is not None and rng.random() < 0.75:
            wall = backdrop(rng, size + 32)
            covers = [_view(clip.alpha[i], m, size) for i, m in zip(picks, matrices, strict=True)]
            planes = [_before(wall, p, c, rng) for p, c in zip(planes, covers, strict=True)]
        points = clip.points[picks[1]] @ matrices[1][:, :2].T + matrices[1][:, 2]
        if mirror:
            points = points[[1, 0, 2, 4, 3]]
        anchors, weights = anchored_coarsely(points, size)
        return {
            "source": plane(planes[0]),
            "driving": plane(planes[1]),
            "emphasis": _emphasis(clip, picks, matrices[1], points, size)[None],
            "flow": np.zeros((64, 64, 2), np.float32),
            "visible": np.zeros((64, 64), np.float32),
            "true": np.zeros((), np.float32),
            "anchors": anchors,
            "anchor_weights": weights,
        }

    def _cameras(self, rng: np.random.Generator, clip: Clip, size: int) -> tuple[list[np.ndarray], bool]:
        """A crop near the contract's, moved a little by hand for each of two frames; both mirrored or neither."""
        x, y, w, h = clip.box
        side = self.margin * max(w, h) * rng.uniform(0.85, 1.2)
        centre = np.array([x + w / 2, y + h / 2 - RAISE * max(w, h)]) + rng.normal(0, 0.05, 2) * side
        mirror = bool(rng.random() < 0.5)
        amount = 0.0 if rng.random() < 0.3 else rng.uniform(0, 1)
        matrices = []
        for _ in range(2):
            scale = size / side * np.exp(rng.normal(0, 0.08) * amount)
            matrix = cv2.getRotationMatrix2D(tuple(map(float, centre)), rng.normal(0, 9) * amount, scale)
            matrix[:, 2] += size / 2 - centre + rng.normal(0, 0.06, 2) * amount * size
            if mirror:
                matrix[0] = -matrix[0]
                matrix[0, 2] += size - 1
            matrices.append(matrix)
        return matrices, mirror


def _view(picture: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def _before(wall: np.ndarray, person: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The person before another wall, which now and then moves a pixel or two of its own."""
    size = len(person)
    x, y = (16 + rng.integers(-2, 3, 2) * (rng.random() < 0.3)).astype(int)
    share = cover.astype(np.float32)[..., None] / 255
    return person * share + wall[y : y + size, x : x + size] * (1 - share)


def _emphasis(clip: Clip, picks: np.ndarray, matrix: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    change = np.abs(clip.frames[picks[0]].astype(np.int16) - clip.frames[picks[1]]).mean(axis=2)
    change = np.clip(cv2.GaussianBlur(change.astype(np.float32), (0, 0), 2) / 20, 0, 1)
    change = cv2.warpAffine(change, matrix, (size, size))
    unit = float(np.linalg.norm(points[0] - points[1]))
    weight = 2 * change + face_weights(points[0], points[1], (points[3] + points[4]) / 2, unit, size)
    return (weight / weight.mean()).astype(np.float32)
