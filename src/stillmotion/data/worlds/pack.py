"""The cast on disk: one compact file that renders without the avatars' own files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from stillmotion.core.errors import DataError
from stillmotion.data.worlds.avatars import read_avatar
from stillmotion.data.worlds.cast import Extra, Person, Template, make_person, make_template
from stillmotion.data.worlds.files import write_bytes

_POSITION = 2e-5
_SHAPE = 2e-5
_TEMPLATE = "White_M_1_Casual"
_FORMAT = 1


class Cast:
    """All people, read one by one as they are needed and kept.

    Args:
        path: File written by `pack_avatars`.
        texture_size: Shrink albedos to this side where they are larger; hair textures to half of it.

    Attributes:
        names: Who there is, sorted.
        template: The shared mesh.

    Raises:
        DataError: Not such a file.
    """

    def __init__(self, path: str | Path, *, texture_size: int = 4096) -> None:
        self._limit = texture_size
        try:
            self._file = np.load(path, allow_pickle=False)
            if int(self._file["format"]) != _FORMAT:
                raise DataError(f"{path} was packed by another version", hint="pack the avatars again")
            self.names = [str(name) for name in self._file["names"]]
            self.template = Template(**{name: self._file[f"template/{name}"] for name in Template.__annotations__})
        except (OSError, ValueError, KeyError, EOFError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} is not a pack of avatars: {error}") from error
        self._people: dict[str, Person] = {}

    def person(self, name: str) -> Person:
        """One person.

        Raises:
            DataError: Nobody of that name is in the pack.
        """
        if name not in self.names:
            raise DataError(f"nobody called {name!r} is in the pack", hint=f"there are {', '.join(self.names)}")
        if name not in self._people:
            self._people[name] = self._read(name)
        return self._people[name]

    def _read(self, name: str) -> Person:
        file = self._file
        hair = None
        if f"{name}/hair/position" in file.files:
            hair = Extra(
                position=file[f"{name}/hair/position"],
                uv=file[f"{name}/hair/uv"],
                triangles=file[f"{name}/hair/triangles"].astype(np.int32),
                skin=file[f"{name}/hair/skin"].astype(np.float32) / 255.0,
                texture=_picture(file[f"{name}/hair/texture"], self._limit // 2),
            )
        return Person(
            name=name,
            position=file[f"{name}/position"].astype(np.float32) * np.float32(_POSITION),
            shapes=file[f"{name}/shapes"].astype(np.float32) * np.float32(_SHAPE),
            joints=file[f"{name}/joints"],
            texture=_picture(file[f"{name}/texture"], self._limit),
            hair=hair,
        )


def find_glb(folder: str | Path) -> list[Path]:
    """The avatars in a folder and its subfolders, sorted by name.

    Raises:
        DataError: There are none.
    """
    files = sorted(Path(folder).rglob("*.glb"), key=lambda path: path.stem)
    if not files:
        raise DataError(f"{folder} holds no .glb files", hint="give a folder of avatars, or a pack of them")
    return files


def pack_avatars(avatars: str | Path | Iterable[Path], output: str | Path, *, texture_size: int = 1024) -> Path:
    """Pack avatars into one file: head and shoulders, quantised, textures as WebP.

    Args:
        avatars: Folder of GLB files (read recursively), or the files.
        output: Where to; written beside it and renamed.
        texture_size: Side of the albedo textures; hair textures have half of it.

    Raises:
        DataError: No avatars, or not of one family.
    """
    files = find_glb(avatars) if isinstance(avatars, str | Path) else list(avatars)
    first = next((path for path in files if path.stem == _TEMPLATE), files[0])
    template = make_template(read_avatar(first))
    arrays = {f"template/{name}": getattr(template, name) for name in Template.__annotations__}
    for path in files:
        _store(arrays, make_person(read_avatar(path), template, texture_size=texture_size))
    arrays["names"] = np.array(sorted(path.stem for path in files))
    arrays["format"] = np.array(_FORMAT)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return write_bytes(Path(output), buffer.getvalue())


def _store(arrays: dict[str, np.ndarray], person: Person) -> None:
    name = person.name
    arrays[f"{name}/position"] = np.round(person.position / _POSITION).astype(np.int16)
    arrays[f"{name}/shapes"] = np.round(person.shapes / _SHAPE).astype(np.int16)
    arrays[f"{name}/joints"] = person.joints
    arrays[f"{name}/texture"] = _webp(person.texture)
    if person.hair is not None and person.hair.texture is not None:
        arrays[f"{name}/hair/position"] = person.hair.position
        arrays[f"{name}/hair/uv"] = person.hair.uv
        arrays[f"{name}/hair/triangles"] = person.hair.triangles.astype(np.uint16)
        arrays[f"{name}/hair/skin"] = np.round(person.hair.skin * 255).astype(np.uint8)
        arrays[f"{name}/hair/texture"] = _webp(person.hair.texture)


def _webp(picture: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=88, method=4)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def _picture(data: np.ndarray, limit: int) -> np.ndarray:
    picture = Image.open(io.BytesIO(data.tobytes())).convert("RGB")
    if picture.width > limit:
        picture = picture.resize((limit, limit), Image.Resampling.BOX)
    return np.asarray(picture)
