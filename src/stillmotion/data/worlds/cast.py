"""The cast: all avatars on one mesh, cropped to head and shoulders.

The avatars share their UV layout, so every vertex of one has its twin in the others. All people
are stored on the vertices and triangles of one of them, the *template*: shapes, landmarks and
masks are defined once, and people blend by plain weighted sums.

Units are metres, y up, the face towards +z, x to the person's left (the picture's right); the
origin is the midpoint of the eyes at rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.data.worlds.avatars import Avatar, Part
from stillmotion.data.worlds.motion import SHAPES

JOINTS = (
    "Spine1",
    "Spine2",
    "LeftShoulder",
    "LeftArm",
    "RightShoulder",
    "RightArm",
    "Neck",
    "Head",
    "LeftEye",
    "RightEye",
)
"""Joints that can be seen in a portrait, parents first."""

PARENTS = (-1, 0, 1, 2, 1, 4, 1, 6, 7, 7)
"""Index of each joint's parent in `JOINTS`."""

PARTS = ("skin", "left eye", "right eye", "left gland", "right gland", "upper teeth", "lower teeth", "hair", "glasses")
"""Names of the part ids a vertex carries."""

_MESHES = ("H_DDS_HighRes", "h_L_eye", "h_R_eye", "h_L_gland", "h_R_gland", "h_TeethUp", "h_TeethDown")
_TEETH_TRIANGLES = 1400
_HAIR_TRIANGLES = 5000


@dataclass(frozen=True, eq=False)
class Template:
    """What all people share.

    Attributes:
        uv: `float32 (n, 2)`.
        triangles: `int32 (m, 3)`.
        part: `uint8 (n,)` index into `PARTS`.
        skin: `float32 (n, len(JOINTS))` skinning weights.
        moving: `int32 (k,)` vertices that the facial shapes move.
        face: `float32 (n,)` in [0, 1]: 1 in the middle of the face, 0 from the hairline and the neck on.
        ambient: `float32 (n,)` in [0, 1]: how much of the surroundings a vertex sees, the mouth half open.
    """

    uv: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    skin: np.ndarray
    moving: np.ndarray
    face: np.ndarray
    ambient: np.ndarray


@dataclass(frozen=True, eq=False)
class Extra:
    """A mesh that only some people have: hair.

    Attributes:
        position: `float32 (n, 3)`.
        uv: `float32 (n, 2)`.
        triangles: `int32 (m, 3)`.
        skin: `float32 (n, len(JOINTS))`.
        texture: `uint8 (h, w, 3)` or None.
    """

    position: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    skin: np.ndarray
    texture: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Person:
    """One person on the template.

    Attributes:
        name: Who; blends join the names with `+`.
        position: `float32 (n, 3)`.
        shapes: `float32 (len(SHAPES), k, 3)` displacement of the template's moving vertices.
        joints: `float32 (len(JOINTS), 3)` joint positions.
        texture: `uint8 (h, w, 3)` albedo.
        hair: Hair mesh, where there is one.
    """

    name: str
    position: np.ndarray
    shapes: np.ndarray
    joints: np.ndarray
    texture: np.ndarray
    hair: Extra | None = field(default=None)


def make_template(avatar: Avatar) -> Template:
    """Head and shoulders of one avatar as the mesh for all.

    Raises:
        DataError: A mesh or a joint that a face needs is missing.
    """
    parts = [find_part(avatar, name) for name in _MESHES]
    kept = [_crop(part) for part in parts]
    used = [np.unique(triangles) for triangles in kept]
    starts = np.cumsum([0, *(len(rows) for rows in used[:-1])])
    triangles = np.concatenate(
        [np.searchsorted(rows, faces) + start for rows, faces, start in zip(used, kept, starts, strict=True)]
    ).astype(np.int32)

    def gather(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([array[rows] for array, rows in zip(arrays, used, strict=True)])

    eyes = np.stack([joint_position(avatar, name) for name in ("LeftEye", "RightEye")]).mean(0)
    position = gather([part.position for part in parts]) - eyes
    ids = gather([np.full(len(part.position), index, np.uint8) for index, part in enumerate(parts)])
    opened = position + 0.6 * gather([_opening(part) for part in parts])
    return Template(
        uv=gather([part.uv for part in parts]),
        triangles=triangles,
        part=ids,
        skin=gather([_skin(avatar, part) for part in parts]),
        moving=np.flatnonzero(gather([_moves(part) for part in parts])).astype(np.int32),
        face=_face_mask(position, ids),
        ambient=bake_ambient(opened, triangles),
    )


def _crop(part: Part) -> np.ndarray:
    """Triangles of a part that a portrait can show, `int32 (m, 3)`; teeth with fewer of them."""
    keep = (part.position[:, 1] > 1.22) & (np.abs(part.position[:, 0]) < 0.42)
    triangles = part.triangles[keep[part.triangles].all(1)]
    return _simplify(part.position, triangles, _TEETH_TRIANGLES) if "Teeth" in part.name else triangles


def _moves(part: Part) -> np.ndarray:
    """Which vertices any facial shape moves by more than a tenth of a millimetre."""
    out = np.zeros(len(part.position), bool)
    for delta in part.shapes.values():
        out |= np.abs(delta).max(1) > 1e-4
    return out


def make_person(avatar: Avatar, template: Template, *, texture_size: int = 1024) -> Person:
    """One avatar on the template.

    Args:
        avatar: As read from its file.
        template: The shared mesh.
        texture_size: Side of the albedo to keep.

    Raises:
        DataError: The avatar is not of the same family: its UV layout differs.
    """
    joints = np.stack([joint_position(avatar, name) for name in JOINTS])
    origin = joints[[JOINTS.index("LeftEye"), JOINTS.index("RightEye")]].mean(0)
    position = np.zeros((len(template.uv), 3), np.float32)
    shapes = np.zeros((len(SHAPES), len(template.uv), 3), np.float32)
    for index, name in enumerate(_MESHES):
        part = find_part(avatar, name)
        rows = np.flatnonzero(template.part == index)
        near = np.flatnonzero(part.position[:, 1] > origin[1] - 0.6)
        match = near[match_uv(template.uv[rows], part.uv[near], name=f"{avatar.name}: {name}")]
        position[rows] = part.position[match] - origin
        for column, shape in enumerate(SHAPES):
            delta = part.shapes.get(shape, part.shapes.get(f"t_{shape}", part.shapes.get(_TEETH_TWIN.get(shape, ""))))
            if delta is not None:
                shapes[column, rows] = delta[match]
    return Person(
        name=avatar.name,
        position=position,
        shapes=shapes[:, template.moving],
        joints=(joints - origin).astype(np.float32),
        texture=_shrink(avatar.textures[find_part(avatar, _MESHES[0]).texture], texture_size),
        hair=_hair(avatar, origin, texture_size // 2),
    )


_TEETH_TWIN = {"MPB_Up_h": "t_MPB_h"}


def match_uv(wanted: np.ndarray, have: np.ndarray, *, name: str = "mesh", limit: float = 0.006) -> np.ndarray:
    """For each wanted UV the index of the nearest one there is, `int (n,)`.

    Raises:
        DataError: More than one vertex in a hundred has no twin within `limit`.
    """
    best, worst = _match_near(wanted.astype(np.float64), have.astype(np.float64))
    far = np.flatnonzero(worst > 1.0 / _BINS)
    for start in range(0, len(far), 256):
        rows = far[start : start + 256]
        distance = np.linalg.norm(wanted[rows, None].astype(np.float64) - have[None], axis=2)
        best[rows], worst[rows] = distance.argmin(1), distance.min(1)
    if (worst > limit).mean() > 0.01:
        raise DataError(
            f"{name} has another UV layout: {(worst > limit).mean():.0%} of its vertices have no twin",
            hint="the renderer needs avatars of one family, such as the VALID library",
        )
    return best


_BINS = 1024


def _match_near(wanted: np.ndarray, have: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest of `have` in the nine bins about each wanted UV, and how far it is (infinite if there is none)."""
    width = _BINS + 3
    cells = np.floor(have * _BINS).astype(np.int64) + 1
    flat = cells[:, 0] * width + cells[:, 1]
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    home = np.floor(wanted * _BINS).astype(np.int64) + 1
    best, worst = np.zeros(len(wanted), np.int64), np.full(len(wanted), np.inf)
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            cell = (home[:, 0] + right) * width + home[:, 1] + down
            first, last = np.searchsorted(ranked, cell), np.searchsorted(ranked, cell, side="right")
            for step in range(int((last - first).max(initial=0))):
                rows = np.flatnonzero(first + step < last)
                other = order[first[rows] + step]
                distance = np.linalg.norm(wanted[rows] - have[other], axis=1)
                closer = distance < worst[rows]
                best[rows[closer]], worst[rows[closer]] = other[closer], distance[closer]
    return best, worst


def find_part(avatar: Avatar, name: str) -> Part:
    """The mesh of that name.

    Raises:
        DataError: There is none.
    """
    for part in avatar.parts:
        if part.name == name:
            return part
    raise DataError(f"{avatar.name} has no mesh called {name}", seen=[part.name for part in avatar.parts])


def joint_position(avatar: Avatar, name: str) -> np.ndarray:
    """Where a joint is at rest, `float64 (3,)` metres.

    Raises:
        DataError: There is no such joint.
    """
    if name not in avatar.joints:
        raise DataError(f"{avatar.name} has no joint called {name}")
    return avatar.rest[avatar.joints.index(name)][:3, 3]


def _opening(part: Part) -> np.ndarray:
    zero = np.zeros_like(part.position)
    return part.shapes.get("MouthOpen_h", part.shapes.get("t_MouthOpen_h", zero))


def bake_ambient(position: np.ndarray, triangles: np.ndarray, *, directions: int = 64) -> np.ndarray:
    """How much of the half space above it each vertex sees, `float32 (n,)` in [0, 1].

    From each of many directions the surface is splatted into a coarse depth map; a vertex that lies
    behind the map's depth is hidden from there.
    """
    turn = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(directions)
    height = 1.0 - 2.0 * (np.arange(directions) + 0.5) / directions
    radius = np.sqrt(1.0 - height**2)
    axes = np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], -1)
    grid = np.array([(a, b, 1 - a - b) for a in (0, 0.25, 0.5, 0.75, 1) for b in (0, 0.25, 0.5, 0.75, 1) if a + b <= 1])
    dots = np.einsum("gc,tcd->tgd", grid, position[triangles]).reshape(-1, 3)
    corners = position[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.zeros_like(position)
    for corner in range(3):
        np.add.at(normal, triangles[:, corner], cross)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    seen, total = np.zeros(len(position)), np.full(len(position), 1e-6)
    for axis in axes:
        side = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(axis, side), axis], -1)
        there, here = dots @ frame, position @ frame
        cell = np.round((there[:, :2] + 0.7) / 0.004).astype(np.int64)
        depth = np.full((400, 400), -9.0)
        np.maximum.at(depth, (cell[:, 0], cell[:, 1]), there[:, 2])
        own = np.round((here[:, :2] + 0.7) / 0.004).astype(np.int64)
        weight = np.clip(normal @ axis, 0, 1)
        seen += weight * (here[:, 2] > depth[own[:, 0], own[:, 1]] - 0.007)
        total += weight
    return (seen / total).astype(np.float32)


def _skin(avatar: Avatar, part: Part) -> np.ndarray:
    """Weights of a part on `JOINTS`: joints that are not listed count for their nearest listed ancestor."""
    column = []
    for index in range(len(avatar.joints)):
        while index >= 0 and avatar.joints[index] not in JOINTS:
            index = avatar.parents[index]
        column.append(JOINTS.index(avatar.joints[index]) if index >= 0 else 0)
    out = np.zeros((len(part.position), len(JOINTS)), np.float32)
    rows = np.arange(len(out))
    for slot in range(4):
        np.add.at(out, (rows, np.array(column)[part.joints[:, slot]]), part.weights[:, slot])
    return out


def _face_mask(position: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Soft oval around the features, seen from the front, fading before hairline, ears and neck."""
    x, y, z = position.T
    oval = np.sqrt((x / 0.062) ** 2 + ((y + 0.035) / np.where(y > -0.035, 0.066, 0.082)) ** 2)
    front = np.clip((z + 0.045) / 0.03, 0, 1)
    mask = np.clip((1.1 - oval) / 0.4, 0, 1) * front
    mask = mask * mask * (3 - 2 * mask)
    return np.where(part == 0, mask, 1.0).astype(np.float32)


def _simplify(position: np.ndarray, triangles: np.ndarray, target: int) -> np.ndarray:
    """Fewer triangles on the same vertices."""
    import meshoptimizer

    if len(triangles) <= target:
        return triangles
    out = np.zeros(triangles.size, np.uint32)
    count = meshoptimizer.simplify(
        out,
        np.ascontiguousarray(triangles.reshape(-1), np.uint32),
        np.ascontiguousarray(position, np.float32),
        target_index_count=target * 3,
        target_error=0.05,
    )
    return out[:count].astype(np.int32).reshape(-1, 3)


def _shrink(image: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image[..., :3]).resize((size, size), Image.Resampling.BOX))


def _hair(avatar: Avatar, origin: np.ndarray, size: int) -> Extra | None:
    try:
        part = find_part(avatar, "h_wig")
    except DataError:
        return None
    triangles = _simplify(part.position, part.triangles, _HAIR_TRIANGLES)
    used = np.unique(triangles)
    new = np.zeros(len(part.position), np.int32)
    new[used] = np.arange(len(used))
    position = (part.position[used] - origin).astype(np.float32)
    texture = _shrink(avatar.textures[part.texture], size)
    return Extra(position, part.uv[used], new[triangles], _skin(avatar, part)[used], texture)
