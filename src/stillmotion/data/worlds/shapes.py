"""The world of shapes: flat sprites that move, turn, stretch and hide each other. Numpy only, no assets.

It has the same truth as the rendered heads, so that tests, and a developer's first minutes, need
nothing but the package. Looks and motion have seeds of their own: other sprites can perform the
same motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stillmotion.core.flow import make_grid
from stillmotion.data.worlds.store import has_clip, save_clip
from stillmotion.data.worlds.truth import ClipTruth


@dataclass(frozen=True, eq=False)
class Sprite:
    """A patterned flat shape in its own square [-1, 1].

    Attributes:
        power: Exponent of its superellipse: 1 a diamond, 2 a disc, large a square.
        colours: `float32 (2, 3)` in [0, 1].
        waves: `float32 (n, 3)` wave vectors and phases of its pattern.
    """

    power: float
    colours: np.ndarray
    waves: np.ndarray

    def paint(self, local: np.ndarray) -> np.ndarray:
        """Colour at points `(..., 2)` of its square, `float32 (..., 3)`."""
        tone = np.sin(local @ self.waves[:, :2].T + self.waves[:, 2]).mean(-1, keepdims=True) * 0.5 + 0.5
        return (self.colours[0] + (self.colours[1] - self.colours[0]) * tone).astype(np.float32)

    def inside(self, local: np.ndarray) -> np.ndarray:
        """Positive within the shape, zero on its edge, `(...)`."""
        return 1.0 - (np.abs(local) ** self.power).sum(-1) ** (1.0 / self.power)


def make_sprites(seed: int, count: int = 4) -> list[Sprite]:
    """Random sprites; the first is the backdrop."""
    rng = np.random.default_rng([seed, 5501])
    out = []
    for index in range(count + 1):
        waves = np.concatenate([rng.normal(0, 3.0, (4, 2)), rng.uniform(0, 2 * np.pi, (4, 1))], 1)
        colours = rng.uniform(0.05, 0.95, (2, 3)) * (0.6 if index == 0 else 1.0)
        out.append(Sprite(float(rng.uniform(1.2, 6.0)), colours.astype(np.float32), waves.astype(np.float32)))
    return out


def make_paths(seed: int, frames: int, *, count: int = 4, fps: float = 10.0) -> np.ndarray:
    """Where each sprite is: affine maps from its square to the picture, `float32 (t, count + 1, 2, 3)`.

    The first is the backdrop, which drifts a little. Convention `edges`, y down.
    """
    rng = np.random.default_rng([seed, 8807])
    time = np.arange(frames)[:, None] / fps

    def wave(reach: float) -> np.ndarray:
        rate, phase = rng.uniform(0.1, 0.5, count + 1), rng.uniform(0, 2 * np.pi, count + 1)
        return reach * np.sin(2 * np.pi * rate * time + phase)

    base = rng.uniform(-0.5, 0.5, (2, count + 1))
    size = rng.uniform(0.2, 0.42, count + 1)
    turn = rng.uniform(0, 2 * np.pi, count + 1) + wave(0.7)
    wide, high, lean = size * np.exp(wave(0.25)), size * np.exp(wave(0.25)), wave(0.2)
    x, y = base[0] + wave(0.35), base[1] + wave(0.35)
    turn[:, 0], wide[:, 0], high[:, 0], lean[:, 0] = turn[:, 0] * 0.02, 1.0, 1.0, 0.0
    x[:, 0], y[:, 0] = (x - base[0])[:, 0] * 0.2, (y - base[1])[:, 0] * 0.2
    cos, sin = np.cos(turn), np.sin(turn)
    rows = [[wide * cos, high * (lean * cos - sin), x], [wide * sin, high * (lean * sin + cos), y]]
    return np.moveaxis(np.array(rows), (0, 1), (2, 3)).astype(np.float32)


def make_shapes(
    seed: int, *, frames: int = 16, size: int = 64, fps: float = 10.0, motion: int | None = None
) -> tuple[np.ndarray, ClipTruth]:
    """A clip of moving shapes.

    Args:
        seed: Of the sprites, and of their motion unless that is given.
        frames: Length.
        size: Side of the pictures, and of the truth.
        fps: Frames a second.
        motion: Seed of the motion: another `seed` with the same `motion` is "A performs B's motion".

    Returns:
        Frames `uint8 (t, size, size, 3)` and their truth; its landmarks are the sprites' middles.
    """
    sprites = make_sprites(seed)
    motion = seed if motion is None else motion
    paths = make_paths(motion, frames, count=len(sprites) - 1, fps=fps)
    drawn = [_draw(sprites, maps, size) for maps in paths]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    points = corners @ paths[:, 1:, :, :2].transpose(0, 1, 3, 2) + paths[:, 1:, None, :, 2]
    first = 4 * np.arange(len(sprites) - 1, dtype=np.int32)[:, None]
    triangles = (first[:, None] + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3).astype(np.int32)
    ids = np.stack([labels for _, labels in drawn])
    middles = paths[:, 1:, :, 2]
    truth = ClipTruth(
        ids=ids,
        triangles=triangles,
        points=points.reshape(frames, -1, 2).astype(np.float32),
        visible=None,
        part=np.repeat(np.arange(len(sprites) - 1, dtype=np.uint8), 4),
        backdrop=paths[:, 0],
        landmarks=middles,
        landmarks_visible=_middles_seen(middles, ids),
        pose=np.zeros((frames, 3), np.float32),
        person=f"shapes-{seed}",
        motion=f"paths-{motion}",
        fps=fps,
    )
    return np.stack([picture for picture, _ in drawn]), truth


def _draw(sprites: list[Sprite], maps: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One frame `uint8 (size, size, 3)` and the triangle seen at each pixel, `int32 (size, size)`."""
    grid = make_grid((size, size), "edges").astype(np.float64)
    picture = sprites[0].paint(_unmap(grid, maps[0]))
    ids = np.full((size, size), -1, np.int32)
    for index, (sprite, matrix) in enumerate(zip(sprites[1:], maps[1:], strict=True)):
        local = _unmap(grid, matrix)
        edge = sprite.inside(local)
        # A pixel is 2/size wide: the edge fades over about one of them.
        width = 2.0 / size / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        alpha = np.clip(edge / width + 0.5, 0, 1)[..., None]
        picture = picture + (sprite.paint(local) - picture) * alpha
        # The square's two triangles meet in its diagonal from (-1, -1) to (1, 1).
        ids = np.where(edge > 0, 2 * index + (local[..., 1] > local[..., 0]), ids)
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8), ids.astype(np.int32)


def _unmap(grid: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return (grid - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def _middles_seen(middles: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Whether each sprite's middle shows that sprite, `bool (t, count)`."""
    size = ids.shape[1]
    pixel = np.floor((middles + 1) * size / 2).astype(np.int64)
    inside = ((pixel >= 0) & (pixel < size)).all(-1)
    x, y = np.clip(pixel, 0, size - 1).transpose(2, 0, 1)
    there = ids[np.arange(len(ids))[:, None], y, x] // 2
    return inside & (there == np.arange(middles.shape[1]))


def render_shapes(
    output: str | Path, *, clips: int, seed: int = 0, frames: int = 16, size: int = 64, fps: float = 10.0
) -> list[int]:
    """Write a set of such clips in the layout of the rendered heads; complete ones are kept.

    Returns:
        Numbers of the clips that were written now.

    Raises:
        OutputError: The folder cannot be written.
    """
    missing = [index for index in range(clips) if not has_clip(output, index)]
    for index in missing:
        pictures, truth = make_shapes(seed * 1_000_003 + index, frames=frames, size=size, fps=fps)
        save_clip(output, index, pictures, truth, quality=14)
    return missing
