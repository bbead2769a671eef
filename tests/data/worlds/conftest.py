"""A small pack of three avatars, where the avatars and an EGL context are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillmotion.core.errors import StillmotionError

NAMES = ("White_M_1_Casual", "Black_F_1_Casual", "Asian_F_2_Casual")
"""Three people; the last has a hair mesh of her own."""


@pytest.fixture(scope="session")
def glb_files(shared: Path) -> list[Path]:
    pytest.importorskip("meshoptimizer", reason="reading avatars needs meshoptimizer (extra: train)")
    folder = shared / "assets" / "avatars"
    files = [path for path in sorted(folder.rglob("*.glb")) if path.stem in NAMES]
    if len(files) < len(NAMES):
        pytest.skip("the avatars are not in the shared material")
    return files


@pytest.fixture(scope="session")
def pack(glb_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stillmotion.data.worlds.pack import pack_avatars

    return pack_avatars(glb_files, tmp_path_factory.mktemp("people") / "people.pack", texture_size=256)


@pytest.fixture(scope="session")
def egl() -> None:
    pytest.importorskip("moderngl", reason="rendering needs moderngl (extra: train)")
    from stillmotion.data.worlds.scene import open_context

    try:
        open_context().release()
    except StillmotionError as error:
        pytest.skip(f"no EGL context can be made here: {error}")
