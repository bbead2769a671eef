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
    """

    uv: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    skin: np.ndarray
    moving: np.ndarray
    face: np.ndarray


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
    blocks, start = [], 0
    for index, name in enumerate(_MESHES):
        part = find_part(avatar, name)
        position = part.position
        keep = (position[:, 1] > 1.22) & (np.abs(position[:, 0]) < 0.42)
        triangles = part.triangles[keep[part.triangles].all(1)]
        if "Teeth" in name:
            triangles = _simplify(part.position, triangles, _TEETH_TRIANGLES)
        used = np.unique(triangles)
        new = np.full(len(position), -1, dtype=np.int32)
        new[used] = np.arange(len(used), dtype=np.int32)
        blocks.append((part.uv[used], new[triangles] + start, np.full(len(used), index, np.uint8), _skin(avatar, part)[used], used, part))
        start += len(used)
    uv, triangles, part_ids, skin = (np.concatenate([block[column] for block in blocks]) for column in range(4))
    moved = []
    for _, _, _, _, used, part in blocks:
        still = np.zeros(len(used), bool)
        for delta in part.shapes.values():
            still |= np.abs(delta[used]).max(1) > 1e-4
        moved.append(still)
    position = np.concatenate([part.position[used] for *_, used, part in blocks])
    eyes = np.stack([joint_position(avatar, name) for name in ("LeftEye", "RightEye")]).mean(0)
    face = _face_mask(position - eyes, part_ids)
    return Template(uv, triangles, part_ids, skin, np.flatnonzero(np.concatenate(moved)).astype(np.int32), face)


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
        match = match_uv(template.uv[rows], part.uv, name=f"{avatar.name}: {name}")
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
    out = np.empty(len(wanted), np.int64)
    worst = np.empty(len(wanted))
    have = have.astype(np.float64)
    norm = (have**2).sum(1)
    for start in range(0, len(wanted), 1024):
        rows = wanted[start : start + 1024].astype(np.float64)
        square = norm[None] - 2.0 * rows @ have.T
        nearest = square.argmin(1)
        out[start : start + 1024] = nearest
        worst[start : start + 1024] = np.linalg.norm(rows - have[nearest], axis=1)
    if (worst > limit).mean() > 0.01:
        raise DataError(
            f"{name} has another UV layout: {(worst > limit).mean():.0%} of its vertices have no twin",
            hint="the renderer needs avatars of one family, such as the VALID library",
        )
    return out


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
    oval = np.sqrt((x / 0.062) ** 2 + ((y + 0.025) / 0.088) ** 2)
    front = np.clip((z + 0.045) / 0.03, 0, 1)
    mask = np.clip((1.15 - oval) / 0.4, 0, 1) * front
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
