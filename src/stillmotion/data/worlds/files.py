"""Writing files so that a crash leaves no half file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from stillmotion.core.errors import OutputError


def write_bytes(path: Path, data: bytes) -> Path:
    """Write beside `path`, then rename.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path
