"""Pictures to learn faces from: rendered heads pasted, occluded and spoilt in every way a camera or an editor does.

Two kinds of sample, both with exact truth: `scene` (a whole picture with any number of faces, for the
face-box network) and `close_up` (the surroundings of one face, for the landmark network). Pixel
coordinates are `(x, y)` with pixel `i` covering `[i, i + 1]`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from stillmotion.data.worlds.store import list_clips, read_clip
from stillmotion.prepare.landmarks import MIRRORED, Square, square_around
from stillmotion.video.read import open_video

SIZE = 256
LOWER = 0.45
"""Of clips given as backgrounds, only what lies below this share of the height is used: no faces there."""


@dataclass(frozen=True, eq=False)
class Heads:
    """Rendered heads in memory-mapped arrays.

    Attributes:
        frames: `uint8 (n, 256, 256, 3)`.
        masks: `uint8 (n, 64, 64)`, 255 where the person is.
        points: `float32 (n, 68, 2)`, pixels.
        visible: `bool (n, 68)`.
    """

    frames: np.ndarray
    masks: np.ndarray
    points: np.ndarray
    visible: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def load(cls, clips: Path, cache: Path) -> Heads:
        """Decode all clips of a folder into `cache` once, then map it."""
        names = ("frames", "masks", "points", "visible")
        if not all((cache / f"{name}.npy").exists() for name in names):
            _decode(clips, cache)
        return cls(*(np.load(cache / f"{name}.npy", mmap_mode="r") for name in names))


def _decode(clips: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    frames, rest = [], []
    for index in list_clips(clips):
        pictures, truth = read_clip(clips, index)
        masks = np.where(truth.ids >= 0, 255, 0).astype(np.uint8)
        points = ((truth.landmarks + 1) / 2 * pictures.shape[1]).astype(np.float32)
        frames.append(pictures)
        rest.append((masks, points, truth.landmarks_visible))
    for name, column in zip(("masks", "points", "visible"), zip(*rest, strict=True), strict=True):
        np.save(cache / f"{name}.npy", np.concatenate(column))
    np.save(cache / "frames.npy", np.concatenate(frames))


def load_backgrounds(paths: list[Path]) -> list[np.ndarray]:
    """Pictures without faces: still pictures whole, clips (every tenth frame) below `LOWER`."""
    found = []
    for path in paths:
        if path.suffix in {".png", ".jpg"}:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            found += [picture] if picture is not None else []
            continue
        with open_video(path) as video:
            for index, frame in enumerate(video):
                if index % 10 == 0:
                    found.append(np.ascontiguousarray(frame[int(LOWER * len(frame)) :]))
    return found


def transform(square: Square, size: int, *, mirrored: bool = False) -> np.ndarray:
    """Affine `(2, 3)` from picture pixels to the pixels of a square cut out at `size`."""
    matrix = square.matrix(size)
    return np.array([[-1.0, 0, size], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]]) if mirrored else matrix


def warp(picture: np.ndarray, matrix: np.ndarray, size: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """`picture` under an affine of pixel edges (OpenCV's own is of pixel centres)."""
    shift = matrix.copy()
    shift[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return cv2.warpAffine(picture, shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def move(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points `(n, 2)` under an affine `(2, 3)`."""
    return points @ matrix[:, :2].T + matrix[:, 2]


class Studio:
    """Makes samples.

    Args:
        heads: Rendered heads.
        backgrounds: Pictures without faces, `uint8`, any size.
        seed: Of all randomness.
    """

    def __init__(self, heads: Heads, backgrounds: list[np.ndarray], *, seed: int) -> None:
        self.heads, self.backgrounds = heads, backgrounds
        self.rng = np.random.default_rng(seed)
        self._noise = self.rng.normal(0, 1, 2**20).astype(np.float32)

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < share)

    def backdrop(self, size: int) -> np.ndarray:
        """A picture without faces, `uint8 (size, size, 3)`."""
        if self.backgrounds and self.chance(0.5):
            return self._cutting(size)
        rng, cells = self.rng, int(self.rng.integers(1, 24))
        noise = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        share, flat = rng.uniform(0, 1), rng.uniform(0, 255, 3).astype(np.float32)
        picture = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(share * picture + (1 - share) * flat, 0, 255).astype(np.uint8)
        for _ in range(rng.integers(0, 8) if self.chance(0.5) else 0):
            self._shape(picture, tuple(map(float, rng.uniform(0, 255, 3))))
        return picture

    def _cutting(self, size: int) -> np.ndarray:
        source = self.backgrounds[self.rng.integers(len(self.backgrounds))]
        side = int(min(source.shape[:2]) * self.rng.uniform(0.12, 1))
        y, x = (int(self.rng.integers(0, length - side + 1)) for length in source.shape[:2])
        picture = cv2.resize(source[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(picture[:, ::-1] if self.chance(0.5) else picture)

    def _shape(self, picture: np.ndarray, colour: tuple[float, ...], *, reach: float = 0.3) -> None:
        """Draw an ellipse, a thick line or a box, in place."""
        rng, size = self.rng, len(picture)
        x, y = map(int, rng.integers(0, size, 2))
        w, h = (int(v) + 1 for v in rng.uniform(0.03, reach, 2) * size)
        kind = rng.integers(3)
        if kind == 0:
            cv2.ellipse(picture, (x, y), (w, h), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            end = tuple(map(int, rng.integers(0, size, 2)))
            cv2.line(picture, (x, y), end, colour, max(min(w, h) // 2, 1), cv2.LINE_AA)
        else:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)

    def spoil(self, picture: np.ndarray) -> np.ndarray:
        """Colour, light, blur, noise and compression of some bad camera."""
        rng = self.rng
        out = self._coloured(picture.astype(np.float32))
        if self.chance(0.4):
            field = rng.uniform(0.4, 1.5, (rng.integers(2, 4), rng.integers(2, 4))).astype(np.float32)
            out *= cv2.resize(field, out.shape[1::-1])[..., None]
        if self.chance(0.35):
            out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.6)))
        elif self.chance(0.2):
            small = cv2.resize(out, None, fx=(f := rng.uniform(0.35, 0.9)), fy=f, interpolation=cv2.INTER_AREA)
            out = cv2.resize(small, out.shape[1::-1])
        if self.chance(0.5):
            start = rng.integers(0, len(self._noise) - out.size)
            out = out + rng.uniform(1, 14) * self._noise[start : start + out.size].reshape(out.shape)
        out = np.clip(out, 0, 255).astype(np.uint8)
        if self.chance(0.35):
            code = cv2.imencode(".jpg", out, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))))[1]
            out = cv2.imdecode(code, cv2.IMREAD_COLOR)
        return out

    def _coloured(self, picture: np.ndarray) -> np.ndarray:
        rng = self.rng
        saturation = 0.0 if self.chance(0.12) else rng.uniform(0.4, 1.5)
        grey = np.full((3, 3), 1 / 3)
        mix = saturation * np.eye(3) + (1 - saturation) * grey
        mix = mix @ (np.diag(np.exp(rng.normal(0, 0.15, 3))) + rng.normal(0, 0.04, (3, 3)))
        out = cv2.transform(picture, mix.T.astype(np.float32))
        contrast, light = np.exp(rng.normal(0, 0.25)), rng.normal(0, 18)
        out = np.clip((out - 128) * contrast + 128 + light, 0, 255)
        return 255 * (out / 255) ** np.float32(np.exp(rng.normal(0, 0.25)))

    def occlude(self, picture: np.ndarray, points: np.ndarray) -> None:
        """Beards, dark glasses, fringes, hands and things in front of a face, in place."""
        rng = self.rng
        dark = tuple(map(float, rng.uniform(5, 110, 3) * rng.uniform(0.3, 1)))
        x, y = np.clip(points[rng.integers(27, 36)].astype(int), 0, len(picture) - 1)
        skin = tuple(map(float, picture[y, x]))
        if self.chance(0.12):
            beard = np.concatenate([points[2:15], points[[54, 35, 33, 31, 48]]])
            self._tint(picture, beard, dark, holes=points[48:60])
        elif self.chance(0.1):
            self._tint(picture, np.concatenate([points[31:36], points[[54, 52, 51, 50, 48]]]), dark)
        if self.chance(0.06):
            for eye in (points[36:42], points[42:48]):
                middle, width = eye.mean(0), float(np.ptp(eye[:, 0])) + 2
                axes = (int(width * rng.uniform(0.7, 1)), int(width * rng.uniform(0.5, 0.8)))
                thick = -1 if self.chance(0.3) else 1
                cv2.ellipse(picture, tuple(map(int, middle)), axes, 0, 0, 360, dark, thick, cv2.LINE_AA)
        if self.chance(0.1):
            brow = points[17:27]
            top = brow - (points[8] - points[27]) * rng.uniform(0.2, 0.6)
            self._tint(picture, np.concatenate([brow + rng.normal(0, 2, brow.shape), top[::-1]]), dark)
        for _ in range(rng.integers(1, 4) if self.chance(0.25) else 0):
            self._shape(picture, skin if self.chance(0.5) else tuple(map(float, rng.uniform(0, 255, 3))), reach=0.15)

    def _tint(
        self, picture: np.ndarray, outline: np.ndarray, colour: tuple[float, ...], *, holes: np.ndarray | None = None
    ) -> None:
        mask = np.zeros(picture.shape[:2], np.uint8)
        hull = cv2.convexHull(outline.astype(np.float32)).astype(np.int32)
        cv2.fillPoly(mask, [hull], int(self.rng.integers(90, 250)))
        if holes is not None:
            cv2.fillPoly(mask, [cv2.convexHull(holes.astype(np.float32)).astype(np.int32)], 0)
        mask = cv2.blur(mask, (3, 3))
        start = self.rng.integers(0, len(self._noise) - mask.size)
        grain = 14 * self._noise[start : start + mask.size].reshape(mask.shape)
        alpha = mask[..., None] / np.float32(255)
        mixed = picture * (1 - alpha) + alpha * np.clip(np.array(colour, np.float32) + grain[..., None], 0, 255)
        picture[:] = mixed.astype(np.uint8)

    def _loose(self, square: Square) -> Square:
        """A square as a rough detector or the last frame may give it."""
        rng, wide = self.rng, 1.0 if self.chance(0.6) else 0.4
        x, y = square.centre + wide * rng.uniform(-0.17, 0.17, 2) * square.side
        roll = np.radians(wide * rng.uniform(-30, 30)) + (0 if self.chance(0.6) else square.roll)
        return Square((float(x), float(y)), square.side * float(np.exp(wide * rng.uniform(-0.28, 0.28))), float(roll))

    def close_up(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A face from near: picture `uint8 (size, size, 3)`, points `(68, 2)` pixels, visible `(68,)`."""
        heads = self.heads
        index = int(self.rng.integers(len(heads)))
        points, mirrored = np.array(heads.points[index]), self.chance(0.5)
        matrix = transform(self._loose(square_around(points)), size, mirrored=mirrored)
        picture = warp(heads.frames[index], matrix, size)
        if self.chance(0.5):
            mask = cv2.GaussianBlur(cv2.resize(heads.masks[index], (SIZE, SIZE)), (0, 0), 1.5)
            alpha = warp(mask, matrix, size)[..., None] / np.float32(255)
            picture = (picture * alpha + self.backdrop(size) * (1 - alpha)).astype(np.uint8)
        points, visible = move(points, matrix).astype(np.float32), np.array(heads.visible[index])
        if mirrored:
            points, visible = points[MIRRORED], visible[MIRRORED]
        self.occlude(picture, points)
        return self.spoil(picture), points, visible

    def miss(self, size: int) -> np.ndarray:
        """A picture that a landmark network may be shown although there is no face, or not a whole one."""
        if self.chance(0.5):
            return self.spoil(self.backdrop(size))
        index, rng = int(self.rng.integers(len(self.heads))), self.rng
        square, kind = square_around(np.array(self.heads.points[index])), rng.integers(5)
        if kind < 2:  # beside the face
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.3) * square.side
            x, y = square.centre + far * np.array([np.cos(angle), np.sin(angle)])
            square = Square((float(x), float(y)), square.side * float(np.exp(rng.uniform(-0.5, 0.2))), 0.0)
        elif kind == 2:  # right place, wrong size
            square = replace(square, side=square.side * float(rng.choice([0.3, 0.4, 2.8, 3.5])))
        elif kind == 3:  # upside down
            square = replace(square, roll=square.roll + np.pi + float(rng.uniform(-0.5, 0.5)))
        picture = warp(self.heads.frames[index], transform(square, size), size)
        return self.spoil(self._scrambled(picture) if kind == 4 else picture)

    def _scrambled(self, picture: np.ndarray) -> np.ndarray:
        """The parts of a face in another order."""
        count = int(self.rng.integers(2, 5))
        side = len(picture) // count
        parts = [picture[y : y + side, x : x + side] for y in _steps(count, side) for x in _steps(count, side)]
        order = self.rng.permutation(count * count)
        rows = [np.hstack([parts[k] for k in order[r * count : (r + 1) * count]]) for r in range(count)]
        return cv2.resize(np.vstack(rows), picture.shape[1::-1])

    def scene(self, size: int, *, sides: tuple[float, float] = (15, 88)) -> tuple[np.ndarray, np.ndarray]:
        """A picture `uint8 (size, size, 3)` and its faces `float32 (n, 3)`: centre x, y and side, pixels."""
        rng = self.rng
        picture, faces = self.backdrop(size), []
        for _ in range(rng.choice([0, 1, 2, 3], p=[0.12, 0.38, 0.28, 0.22])):
            side = float(np.exp(rng.uniform(*np.log(sides))))
            alpha, face, points = self._paste(picture, side)
            faces = [f for f in faces if _cover(alpha, f) < 0.4]
            if 0 < face[0] < size and 0 < face[1] < size:
                faces.append(face)
            if side > 25:
                self.occlude(picture, points)
        for _ in range(rng.integers(1, 5) if self.chance(0.3) else 0):  # blobs of body colour
            base = rng.uniform(60, 255) * np.array([1, rng.uniform(0.6, 0.85), rng.uniform(0.4, 0.8)])
            before = picture.copy()
            self._shape(picture, tuple(map(float, base)), reach=0.12)
            if any(_cover(np.abs(picture.astype(int) - before).max(2) > 0, f) > 0.3 for f in faces):
                picture[:] = before
        return self.spoil(picture), np.array(faces, np.float32).reshape(-1, 3)

    def _paste(self, picture: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Paste a head in place; its mask, its face and its points."""
        rng, size = self.rng, len(picture)
        index = int(rng.integers(len(self.heads)))
        points, frame, mask = np.array(self.heads.points[index]), self.heads.frames[index], self.heads.masks[index]
        middle = (points.min(0) + points.max(0)) / 2
        scale = side / float(np.ptp(points, axis=0).max())
        angle, target = rng.normal(0, 0.2), rng.uniform(-0.05, 1.05, 2) * size
        if side > 0.5 * size:
            target = size / 2 + rng.uniform(-0.3, 0.3, 2) * size
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = turn @ np.diag([-1.0, 1.0]) if self.chance(0.5) else turn
        matrix = np.column_stack([turn, target - turn @ middle])
        step = max(int(1 / scale), 1)  # fewer pixels first: warpAffine does not average
        small = cv2.resize(frame, (SIZE // step, SIZE // step), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(mask, (SIZE // step, SIZE // step), interpolation=cv2.INTER_AREA)
        shrunk = matrix @ np.diag([SIZE / len(small), SIZE / len(small), 1.0])
        whole = self.chance(0.25)  # the rendered backdrop too: a picture in the picture
        alpha = np.full_like(alpha, 255) if whole else alpha
        alpha = warp(alpha, shrunk, size, cv2.BORDER_CONSTANT)[..., None] / np.float32(255)
        head = warp(small, shrunk, size)
        picture[:] = (head * alpha + picture * (1 - alpha)).astype(np.uint8)
        points = move(points, matrix)
        low, high = points.min(0), points.max(0)
        return alpha[..., 0], np.append((low + high) / 2, (high - low).max()), points


def _steps(count: int, side: int) -> range:
    return range(0, count * side, side)


def _cover(alpha: np.ndarray, face: np.ndarray) -> float:
    """Share of a face's square that is covered."""
    x, y, side = face
    low, high = np.array([y, x]) - side / 2, np.array([y, x]) + side / 2
    (top, left), (bottom, right) = np.maximum(low, 0).astype(int), np.ceil(high).astype(int)
    part = alpha[top:bottom, left:right]
    return float(part.mean()) if part.size else 1.0
