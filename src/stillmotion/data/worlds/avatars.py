"""Rigged people from GLB files: what the renderer needs of the format, and nothing else.

Read are `EXT_meshopt_compression` (through the package `meshoptimizer`), `KHR_mesh_quantization`,
`KHR_texture_transform` and `EXT_texture_webp`. Everything comes out as plain float arrays in
metres, in the rest pose of the skeleton, y up, the face towards +z.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stillmotion.core.errors import DataError, MissingExtraError

_TYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass
class Part:
    """One mesh of an avatar, in the rest pose.

    Attributes:
        name: Mesh name, for example `H_DDS_HighRes`.
        position: `float32 (n, 3)`, metres.
        uv: `float32 (n, 2)` in [0, 1], origin top left.
        triangles: `int32 (m, 3)`.
        joints: `int32 (n, 4)` joint indices into `Avatar.joints`.
        weights: `float32 (n, 4)`, rows sum to 1.
        shapes: Shape name to `float32 (n, 3)` displacement in metres; names without prefix.
        texture: Index into `Avatar.textures`.
    """

    name: str
    position: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    shapes: dict[str, np.ndarray] = field(default_factory=dict)
    texture: int = 0


@dataclass
class Avatar:
    """One person as read from a file.

    Attributes:
        name: File stem.
        parts: The meshes.
        joints: Joint names.
        rest: `float64 (j, 4, 4)` world matrix of each joint at rest.
        parents: Index of each joint's parent, -1 for a root.
        textures: `uint8 (h, w, 3 or 4)` albedo pictures.
    """

    name: str
    parts: list[Part]
    joints: list[str]
    rest: np.ndarray
    parents: list[int]
    textures: list[np.ndarray]


def read_avatar(path: str | Path) -> Avatar:
    """Read one GLB file.

    Raises:
        DataError: Not a GLB file, or one without a skinned mesh.
        MissingExtraError: The package `meshoptimizer` is not installed.
    """
    file = _Glb(Path(path))
    nodes = file.json["nodes"]
    skinned = [node for node in nodes if "mesh" in node and "skin" in node]
    if not skinned:
        raise DataError(f"{path} holds no skinned mesh", hint="the renderer needs rigged avatars with facial shapes")
    world, parents = _world(nodes)
    order = file.json["skins"][skinned[0]["skin"]]["joints"]
    place = {joint: index for index, joint in enumerate(order)}
    textures, slot = file.textures()
    parts = [_part(file, node, world, place, slot) for node in skinned]
    return Avatar(
        name=Path(path).stem,
        parts=parts,
        joints=[nodes[index]["name"] for index in order],
        rest=np.stack([world[index] for index in order]),
        parents=[place.get(parents[index], -1) for index in order],
        textures=textures,
    )


def _part(
    file: _Glb, node: dict[str, Any], world: list[np.ndarray], place: dict[int, int], slot: dict[int, int]
) -> Part:
    mesh = file.json["meshes"][node["mesh"]]
    primitive = mesh["primitives"][0]
    attributes = primitive["attributes"]
    skin = file.json["skins"][node["skin"]]
    inverse = file.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    bind = np.stack([world[joint] @ matrix for joint, matrix in zip(skin["joints"], inverse, strict=True)])
    joints = file.array(attributes["JOINTS_0"], raw=True).astype(np.int32)
    weights = file.array(attributes["WEIGHTS_0"])
    weights /= weights.sum(1, keepdims=True)
    blend = np.einsum("nk,nkij->nij", weights, bind[joints])
    position = file.array(attributes["POSITION"])
    names = [name.split(".")[-1] for name in mesh.get("extras", {}).get("targetNames", [])]
    shapes = {}
    for name, target in zip(names, primitive.get("targets", []), strict=True):
        shapes[name] = np.einsum("nij,nj->ni", blend[:, :3, :3], file.array(target["POSITION"])).astype(np.float32)
    remap = np.array([place[joint] for joint in skin["joints"]], dtype=np.int32)
    return Part(
        name=node["name"],
        position=(np.einsum("nij,nj->ni", blend[:, :3, :3], position) + blend[:, :3, 3]).astype(np.float32),
        uv=file.uv(attributes["TEXCOORD_0"], primitive["material"]),
        triangles=file.array(primitive["indices"], raw=True).astype(np.int32).reshape(-1, 3),
        joints=remap[joints],
        weights=weights.astype(np.float32),
        shapes=shapes,
        texture=slot[primitive["material"]],
    )


def _world(nodes: list[dict[str, Any]]) -> tuple[list[np.ndarray], list[int]]:
    """World matrix and parent index of every node."""
    parents = [-1] * len(nodes)
    for index, node in enumerate(nodes):
        for child in node.get("children", []):
            parents[child] = index
    world: dict[int, np.ndarray] = {}

    def resolve(index: int) -> np.ndarray:
        if index not in world:
            own = _local(nodes[index])
            world[index] = own if parents[index] < 0 else resolve(parents[index]) @ own
        return world[index]

    return [resolve(index) for index in range(len(nodes))], parents


def _local(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.asarray(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


class _Glb:
    """The two chunks of a GLB file, and its accessors as arrays."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if data[:4] != b"glTF":
            raise DataError(f"{path} is not a GLB file: it starts with {data[:4]!r}")
        (length,) = struct.unpack("<I", data[12:16])
        self.json: dict[str, Any] = json.loads(data[20 : 20 + length])
        self.binary = data[28 + length :]
        self.views: dict[int, np.ndarray] = {}

    def view(self, index: int) -> np.ndarray:
        """Bytes of a buffer view, decompressed once."""
        if index not in self.views:
            view = self.json["bufferViews"][index]
            packed = view.get("extensions", {}).get("EXT_meshopt_compression")
            if packed is None:
                start = view.get("byteOffset", 0)
                self.views[index] = np.frombuffer(self.binary, np.uint8, view["byteLength"], start)
            else:
                self.views[index] = self._unpack(packed)
        return self.views[index]

    def _unpack(self, packed: dict[str, Any]) -> np.ndarray:
        try:
            import meshoptimizer
        except ImportError as error:
            raise MissingExtraError(
                "reading compressed avatars needs the package meshoptimizer", hint='pip install "stillmotion[train]"'
            ) from error
        start = packed.get("byteOffset", 0)
        data = self.binary[start : start + packed["byteLength"]]
        count, stride = packed["count"], packed["byteStride"]
        if packed["mode"] == "ATTRIBUTES":
            rows = meshoptimizer.decode_vertex_buffer(count, stride, data, dtype=np.dtype((np.void, stride)))
            out = rows.view(np.uint8).reshape(-1)
        else:
            decode = (
                meshoptimizer.decode_index_buffer
                if packed["mode"] == "TRIANGLES"
                else meshoptimizer.decode_index_sequence
            )
            out = decode(count, stride, data).view(np.uint8).reshape(-1)
        name = {"OCTAHEDRAL": "oct", "QUATERNION": "quat", "EXPONENTIAL": "exp"}.get(packed.get("filter", "NONE"))
        return (
            out if name is None else getattr(meshoptimizer, f"decode_filter_{name}")(out, count, stride).view(np.uint8)
        )

    def array(self, index: int, *, raw: bool = False) -> np.ndarray:
        """Accessor as `(n, width)`: float with normalisation undone, or the stored integers where `raw`."""
        accessor = self.json["accessors"][index]
        kind, width, count = np.dtype(_TYPES[accessor["componentType"]]), _WIDTH[accessor["type"]], accessor["count"]
        if "bufferView" not in accessor:
            return np.zeros((count, width), kind if raw else np.float64)
        view = self.json["bufferViews"][accessor["bufferView"]]
        stride = view.get("byteStride", kind.itemsize * width)
        data = self.view(accessor["bufferView"])[accessor.get("byteOffset", 0) :]
        rows = np.lib.stride_tricks.as_strided(data, (count, kind.itemsize * width), (stride, 1))
        out = np.ascontiguousarray(rows).view(kind).reshape(count, width)
        if raw:
            return out
        scale = 1.0 / float(np.iinfo(str(kind)).max) if accessor.get("normalized") else 1.0
        values = out.astype(np.float64) * scale
        return np.maximum(values, -1.0) if accessor.get("normalized") else values

    def uv(self, index: int, material: int) -> np.ndarray:
        """Texture coordinates with the material's texture transform applied, `float32 (n, 2)`."""
        info = self.json["materials"][material]["pbrMetallicRoughness"]["baseColorTexture"]
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        scale, offset = transform.get("scale", (1.0, 1.0)), transform.get("offset", (0.0, 0.0))
        return (self.array(index) * scale + offset).astype(np.float32)

    def textures(self) -> tuple[list[np.ndarray], dict[int, int]]:
        """Albedo pictures, and which of them each material uses."""
        pictures: list[np.ndarray] = []
        slot: dict[int, int] = {}
        for material, entry in enumerate(self.json["materials"]):
            texture = self.json["textures"][entry["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
            source = texture.get("extensions", {}).get("EXT_texture_webp", texture).get("source")
            image = Image.open(io.BytesIO(self.view(self.json["images"][source]["bufferView"]).tobytes()))
            slot[material] = len(pictures)
            pictures.append(np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB")))
        return pictures, slot
