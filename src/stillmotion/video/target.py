"""Where files are written: beside the target under a partial name, then renamed.

A crash, a full disk or a cancelled run never leaves a half file under the name that was asked for.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from stillmotion.core.errors import OutputError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DENIED = {errno.EACCES, errno.EPERM}


def partial_path(path: Path) -> Path:
    """`clip.mp4` -> `clip.partial.mp4`, `frames` -> `frames.partial`, in the same folder."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def output_error(error: Exception, path: Path) -> OutputError:
    """What a failed write means to the person who asked for `path`.

    Args:
        error: What the system or an encoder raised; its `errno` decides.
        path: The file that was asked for, not the partial one.
    """
    number = getattr(error, "errno", None)
    if number in _FULL:
        return OutputError(
            f"the disk is full: {path} could not be written",
            hint="free some space or write to another disk; nothing was left behind",
            path=path,
        )
    if number == errno.EFBIG:
        return OutputError(
            f"{path} grew past the largest file allowed here",
            hint="raise the limit (ulimit -f), write to another disk, or write a shorter clip",
            path=path,
        )
    if number in _DENIED:
        return OutputError(f"no permission to write {path}", hint="write to a folder that you own", path=path)
    if number == errno.EROFS:
        return OutputError(f"{path} is on a read-only disk", hint="write to another folder", path=path)
    if number == errno.ENAMETOOLONG:
        return OutputError(f"the name {path.name[:40]}… is too long", hint="choose a shorter name", path=path)
    reason = getattr(error, "strerror", None) or str(error)
    return OutputError(f"{path} could not be written: {reason}", hint="try another folder, format or size", path=path)


def check_folder(path: Path) -> None:
    """Refuse early if the folder that should hold `path` is not there.

    Raises:
        OutputError: The folder is missing, or is a file.
    """
    folder = path.parent
    if not folder.exists():
        raise OutputError(
            f"the folder {folder} does not exist, so {path.name} cannot be written there",
            hint=f"create it first: mkdir -p {folder}",
            path=path,
        )
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", hint="choose another output path", path=path)


def remove(path: Path) -> None:
    """Remove a partial file or folder if it is there; never raises, since an error is on its way already."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the partial path to write to; rename it to `path` on success, remove it on any failure.

    Raises:
        OutputError: The folder is missing or the write failed.
    """
    check_folder(path)
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        remove(partial)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise output_error(error, path) from error
        raise
