"""A person as a mesh that moves: facial shapes, then the skeleton, then the camera. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillmotion.data.worlds.cast import JOINTS, PARENTS, Extra, Person, Template
from stillmotion.data.worlds.motion import Track

_ARM = np.radians(68.0)
_NECK_SHARE = 0.4


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera looking along -z at the plane of the face.

    Attributes:
        centre: `(x, y)` metres in the plane z = 0: the middle of the picture.
        side: Metres of that plane across the picture.
        distance: Metres from the plane to the pinhole.
    """

    centre: tuple[float, float]
    side: float
    distance: float

    def affine(self, drift: np.ndarray) -> np.ndarray:
        """Camera drift `(t, 4)` as 2x3 maps of the picture, `float64 (t, 2, 3)` (y up, [-1, 1])."""
        dx, dy, zoom, roll = np.asarray(drift, dtype=np.float64).T
        scale, cos, sin = np.exp(zoom), np.cos(roll), np.sin(roll)
        rows = [[scale * cos, -scale * sin, 2 * dx], [scale * sin, scale * cos, 2 * dy]]
        return np.moveaxis(np.array(rows), 2, 0)

    def project(self, points: np.ndarray, drift: np.ndarray) -> np.ndarray:
        """World points `(t, n, 3)` to `float32 (t, n, 3)`: `(x, y)` in the picture and depth.

        `(x, y)` is normalised with the `edges` convention, y down; depth is metres from the
        plane of the face, away from the camera.
        """
        w = 1.0 - points[..., 2] / self.distance
        plane = (points[..., :2] - np.asarray(self.centre)) * (2.0 / self.side) / w[..., None]
        affine = self.affine(drift)
        xy = plane @ affine[:, :, :2].transpose(0, 2, 1) + affine[:, None, :, 2]
        return np.concatenate([xy[..., :1], -xy[..., 1:], -points[..., 2:]], -1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Posed:
    """A figure over time.

    Attributes:
        position: `float32 (t, n, 3)` metres.
        normal: `float32 (t, n, 3)`, unit.
        head: `float32 (t, 3, 3)` rotation of the head from rest.
    """

    position: np.ndarray
    normal: np.ndarray
    head: np.ndarray


class Figure:
    """One person's whole mesh: the template's vertices first, then hair and glasses.

    Args:
        person: Who.
        template: The shared mesh.
        extras: Part id (see `cast.PARTS`) to a mesh that moves along.

    Attributes:
        triangles: `int32 (m, 3)`.
        uv, part, skin, rest: Per vertex, `(n, ...)`.
    """

    def __init__(self, person: Person, template: Template, extras: dict[int, Extra] | None = None) -> None:
        self.person, self.template = person, template
        extras = dict(extras or {})
        if person.hair is not None:
            extras.setdefault(7, person.hair)
        counts = np.cumsum([len(template.uv), *(len(extra.position) for extra in extras.values())])
        self.rest = np.concatenate([person.position, *(extra.position for extra in extras.values())])
        self.uv = np.concatenate([template.uv, *(extra.uv for extra in extras.values())])
        self.skin = np.concatenate([template.skin, *(extra.skin for extra in extras.values())])
        self.ambient = np.concatenate([template.ambient, np.ones(counts[-1] - counts[0], np.float32)])
        self.part = np.concatenate([template.part, *(np.full(len(e.uv), i, np.uint8) for i, e in extras.items())])
        offsets = zip(extras.values(), counts, strict=False)
        self.triangles = np.concatenate([template.triangles, *(extra.triangles + start for extra, start in offsets)])
        self._around, self._twin = _adjacency(self.rest, self.part, self.triangles)

    def pose(self, track: Track) -> Posed:
        """Perform a track: `t` poses of the mesh."""
        shapes = self.person.shapes
        moved = (track.shapes @ shapes.reshape(len(shapes), -1)).reshape(len(track), -1, 3)
        matrices = joint_matrices(self.person.joints, track)
        position = np.empty((len(track), len(self.rest), 3), np.float32)
        normal = np.empty_like(position)
        rest = self.rest.copy()
        for index in range(len(track)):
            rest[self.template.moving] = self.person.position[self.template.moving] + moved[index]
            blend = (self.skin @ matrices[index].reshape(len(JOINTS), 12)).reshape(-1, 3, 4)
            position[index] = (blend[:, :, :3] @ rest[:, :, None])[..., 0] + blend[:, :, 3]
            normal[index] = self.normals(position[index])
        return Posed(position, normal, matrices[:, JOINTS.index("Head"), :, :3].astype(np.float32))

    def normals(self, position: np.ndarray) -> np.ndarray:
        """Smooth vertex normals `float32 (n, 3)`; seams of the texture do not show."""
        a, b, c = (position[self.triangles[:, corner]] for corner in range(3))
        u, v = b - a, c - a
        cross = np.zeros((len(a) + 1, 3), np.float32)
        cross[:-1, 0] = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
        cross[:-1, 1] = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
        cross[:-1, 2] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        total = cross[self._around[:, 0]]
        for column in range(1, self._around.shape[1]):
            total += cross[self._around[:, column]]
        total /= np.sqrt((total**2).sum(1, keepdims=True)) + 1e-12
        return total[self._twin]


def joint_matrices(joints: np.ndarray, track: Track) -> np.ndarray:
    """Motion of each joint from rest, `float32 (t, len(JOINTS), 3, 4)`."""
    count = len(track)
    turns = np.tile(np.eye(3), (count, len(JOINTS), 1, 1))
    relative = track.head.astype(np.float64) - track.torso
    turns[:, JOINTS.index("Spine1")] = rotation(track.torso)
    turns[:, JOINTS.index("Neck")] = rotation(relative * _NECK_SHARE)
    turns[:, JOINTS.index("Head")] = rotation(relative * (1.0 - _NECK_SHARE))
    gaze = np.concatenate([track.gaze, np.zeros((count, 1))], 1)
    turns[:, JOINTS.index("LeftEye")] = turns[:, JOINTS.index("RightEye")] = rotation(gaze)
    for name, sign in (("LeftArm", -1.0), ("RightArm", 1.0)):
        turns[:, JOINTS.index(name)] = rotation(np.array([[0.0, 0.0, sign * _ARM]]))
    out = np.empty((count, len(JOINTS), 4, 4))
    for index, parent in enumerate(PARENTS):
        own = np.tile(np.eye(4), (count, 1, 1))
        own[:, :3, :3] = turns[:, index]
        own[:, :3, 3] = joints[index] - turns[:, index] @ joints[index]
        if parent < 0:
            own[:, :3, 3] += track.shift
        out[:, index] = own if parent < 0 else out[:, parent] @ own
    return out[:, :, :3].astype(np.float32)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Yaw about y, then pitch about x, then roll about z, `(t, 3)` radians to `(t, 3, 3)`: Ry Rx Rz."""
    yaw, pitch, roll = np.asarray(angles, dtype=np.float64).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def stack(*rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        return np.moveaxis(np.array(rows), 2, 0)

    ry = stack((np.cos(yaw), zero, np.sin(yaw)), (zero, one, zero), (-np.sin(yaw), zero, np.cos(yaw)))
    rx = stack((one, zero, zero), (zero, np.cos(pitch), -np.sin(pitch)), (zero, np.sin(pitch), np.cos(pitch)))
    rz = stack((np.cos(roll), -np.sin(roll), zero), (np.sin(roll), np.cos(roll), zero), (zero, zero, one))
    return ry @ rx @ rz


def angles_of(matrices: np.ndarray) -> np.ndarray:
    """Inverse of `rotation` for pitch within ±90°: `(t, 3, 3)` to yaw, pitch, roll `(t, 3)` radians."""
    pitch = np.arcsin(np.clip(-matrices[:, 1, 2], -1, 1))
    yaw = np.arctan2(matrices[:, 0, 2], matrices[:, 2, 2])
    roll = np.arctan2(matrices[:, 1, 0], matrices[:, 1, 1])
    return np.stack([yaw, pitch, roll], -1)


def _adjacency(rest: np.ndarray, part: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles around each point (padded with `len(triangles)`), and which point each vertex is."""
    key = np.concatenate([np.round(rest * 2e4).astype(np.int64), part[:, None].astype(np.int64)], 1)
    _, twin = np.unique(key, axis=0, return_inverse=True)
    twin = twin.reshape(-1)
    corner = twin[triangles].reshape(-1)
    order = np.argsort(corner, kind="stable")
    sorted_corner = corner[order]
    first = np.searchsorted(sorted_corner, np.arange(twin.max() + 1))
    slot = np.arange(len(order)) - first[sorted_corner]
    # Points with more than ten triangles are rare poles: ten are enough for their normal.
    near = slot < 10
    around = np.full((twin.max() + 1, min(int(slot.max()) + 1, 10)), len(triangles), np.int32)
    around[sorted_corner[near], slot[near]] = order[near] // 3
    return around, twin
