"""What is really so in a clip: where every visible surface point is in every frame.

A clip's truth needs neither avatars nor a GPU: for each frame an id map says which small triangle
is seen at each pixel, and the vertices of those triangles are tracked through all frames, with
their visibility. From that follows the backward flow between *any* two frames of the clip.

Coordinates are normalised `(x, y)`, y down, convention `edges`: -1 and 1 are the outer edges of
the picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.core.flow import Flow, make_grid

_STEP = 1.0 / 16000.0
_NONE = 65535


@dataclass(frozen=True, eq=False)
class ClipTruth:
    """Truth of one clip of `t` frames, at `h` by `w` pixels.

    Attributes:
        ids: `int32 (t, h, w)`: the triangle seen at the pixel's centre, or -1 for the backdrop.
        triangles: `int32 (m, 3)` vertex indices.
        points: `float32 (t, v, 2)`: where each vertex is in each frame, `edges`.
        visible: `bool (t, v)`: whether a vertex is seen in each frame, or None: then a point is
            seen where the id map shows its own part.
        part: `uint8 (v,)`: which thing a vertex belongs to.
        backdrop: `float32 (t, 2, 3)`: the backdrop's motion, from its rest to the frame
            (`edges`, y down).
        landmarks: `float32 (t, 68, 2)`, `edges`; any number of points in other worlds.
        landmarks_visible: `bool (t, 68)`.
        pose: `float32 (t, 3)` yaw, pitch, roll of the head as seen by the camera, radians.
        person: Who.
        motion: Which track.
        fps: Frames a second.
    """

    ids: np.ndarray
    triangles: np.ndarray
    points: np.ndarray
    visible: np.ndarray | None
    part: np.ndarray
    backdrop: np.ndarray
    landmarks: np.ndarray
    landmarks_visible: np.ndarray
    pose: np.ndarray
    person: str
    motion: str
    fps: float

    def __len__(self) -> int:
        return len(self.ids)

    def flow(self, driving: int, source: int) -> Flow:
        """Backward flow: for each pixel of frame `driving`, where the same surface point is in frame `source`.

        Returns:
            `Flow` of `(h, w)` with convention `edges`; its occlusion is 1 where the point is seen
            in the source too and lies inside the picture, else 0.

        Raises:
            DataError: No such frame.
        """
        for index in (driving, source):
            if not 0 <= index < len(self):
                raise DataError(f"the clip has frames 0 to {len(self) - 1}, not {index}")
        height, width = self.ids.shape[1:]
        grid = make_grid((height, width), "edges").reshape(-1, 2)
        seen = self.ids[driving].reshape(-1)
        out = _move(grid, self.backdrop[driving], self.backdrop[source])
        rows = np.flatnonzero(seen >= 0)
        corners = self.triangles[seen[rows]]
        weight = barycentric(grid[rows], self.points[driving][corners])
        out[rows] = np.einsum("nk,nkd->nd", weight, self.points[source][corners])
        kept = np.ones(len(out), bool)
        if self.visible is not None:
            kept[rows] = (weight * self.visible[source][corners]).sum(1) > 0.5
            kept[seen < 0] &= self._nearest(out[seen < 0], source) < 0
        else:
            kept = self._thing(seen) == self._thing(self._nearest(out, source))
        kept &= (np.abs(out) <= 1.0).all(1)
        return Flow(
            grid=out.reshape(height, width, 2).astype(np.float32),
            convention="edges",
            occlusion=kept.reshape(height, width).astype(np.float32),
        )

    def _nearest(self, points: np.ndarray, frame: int) -> np.ndarray:
        """Triangle ids at the pixels nearest to the points; -1 outside the picture."""
        height, width = self.ids.shape[1:]
        column = np.clip(np.floor((points[:, 0] + 1) * width / 2), 0, width - 1).astype(np.intp)
        row = np.clip(np.floor((points[:, 1] + 1) * height / 2), 0, height - 1).astype(np.intp)
        return self.ids[frame][row, column]

    def parts(self, frame: int) -> np.ndarray:
        """Which thing is seen at each pixel, `int16 (h, w)`; -1 for the backdrop."""
        return self._thing(self.ids[frame])

    def _thing(self, ids: np.ndarray) -> np.ndarray:
        return np.where(ids >= 0, self.part[self.triangles[np.maximum(ids, 0), 0]].astype(np.int16), np.int16(-1))


def _move(grid: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Points of the backdrop in one frame to where they are in another."""
    rest = (grid - start[:, 2]) @ np.linalg.inv(start[:, :2]).T
    return (rest @ end[:, :2].T + end[:, 2]).astype(np.float32)


def barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights `(n, 3)` of points `(n, 2)` in triangles `(n, 3, 2)`.

    Edge-on triangles have no well-defined weights: they are kept within a triangle's width of it.
    """
    first = corners[:, 1] - corners[:, 0]
    second = corners[:, 2] - corners[:, 0]
    offset = points - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    v = np.clip((offset[:, 0] * second[:, 1] - offset[:, 1] * second[:, 0]) / area, -0.5, 1.5)
    w = np.clip((first[:, 0] * offset[:, 1] - first[:, 1] * offset[:, 0]) / area, -0.5, 1.5)
    return np.stack([1.0 - v - w, v, w], -1).astype(np.float32)


def pack_truth(truth: ClipTruth) -> bytes:
    """The truth as the bytes of a compressed `.npz`; vertices nobody sees are left out.

    Raises:
        DataError: More triangles are seen than the format can number.
    """
    shown = np.unique(truth.ids[truth.ids >= 0])
    if len(shown) >= _NONE:
        raise DataError(f"a clip shows {len(shown)} triangles, more than {_NONE - 1} cannot be stored")
    used, corners = np.unique(truth.triangles[shown], return_inverse=True)
    ids = np.full(truth.ids.shape, _NONE, np.uint16)
    ids[truth.ids >= 0] = np.searchsorted(shown, truth.ids[truth.ids >= 0])
    steps = np.clip(np.round(truth.points[:, used] / _STEP), -32000, 32000).astype(np.int16)
    # Differences in time are small: their upper bytes are nearly all alike and compress away.
    steps[1:] = np.diff(steps, axis=0)
    planes = np.ascontiguousarray(steps).view(np.uint8).reshape(*steps.shape, 2)
    arrays = {
        "ids": ids,
        "triangles": corners.reshape(-1, 3).astype(np.uint16),
        "points": np.ascontiguousarray(np.moveaxis(planes, -1, 0)),
        "part": truth.part[used],
        "backdrop": truth.backdrop.astype(np.float32),
        "landmarks": truth.landmarks.astype(np.float32),
        "landmarks_visible": truth.landmarks_visible,
        "pose": truth.pose.astype(np.float32),
        "person": np.array(truth.person),
        "motion": np.array(truth.motion),
        "fps": np.array(truth.fps),
    }
    if truth.visible is not None:
        arrays["visible"] = np.packbits(truth.visible[:, used], axis=1)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_truth(path: str | Path) -> ClipTruth:
    """Read what `pack_truth` wrote.

    Raises:
        DataError: Not such a file, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        planes = np.ascontiguousarray(np.moveaxis(stored["points"], 0, -1))
        steps = np.cumsum(planes.view(np.int16)[..., 0], axis=0, dtype=np.int32)
        ids = stored["ids"].astype(np.int32)
        visible = stored.get("visible")
        return ClipTruth(
            ids=np.where(ids == _NONE, -1, ids),
            triangles=stored["triangles"].astype(np.int32),
            points=steps.astype(np.float32) * np.float32(_STEP),
            visible=None if visible is None else np.unpackbits(visible, axis=1, count=steps.shape[1]).astype(bool),
            part=stored["part"],
            backdrop=stored["backdrop"],
            landmarks=stored["landmarks"],
            landmarks_visible=stored["landmarks_visible"],
            pose=stored["pose"],
            person=str(stored["person"]),
            motion=str(stored["motion"]),
            fps=float(stored["fps"]),
        )
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{path} is not the truth of a rendered clip: {error}", hint="render the clip again") from error
