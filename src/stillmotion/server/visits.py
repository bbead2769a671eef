"""What visitors leave behind, and that it goes when they do."""

from __future__ import annotations

import secrets
import shutil
import threading
from pathlib import Path

from stillmotion.core.errors import ImageError
from stillmotion.video.target import remove


class Visits:
    """The files of each visitor, under one folder.

    Args:
        folder: Everything that visitors bring or make is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder.resolve()
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._brought: dict[Path, set[str]] = {}
        self._busy: set[str] = set()

    def folder(self, visitor: str) -> Path:
        """A folder for what is made for this visitor; its name cannot be guessed."""
        with self._lock:
            if visitor not in self._folders:
                self._folders[visitor] = self.root / f"visit-{secrets.token_urlsafe(16)}"
                self._folders[visitor].mkdir(mode=0o700)
            return self._folders[visitor]

    def bring(self, visitor: str, path: str) -> Path:
        """A file that the visitor uploaded.

        Raises:
            ImageError: The path is no uploaded file: paths that a client makes up are never opened.
        """
        found = Path(path).resolve()
        if self.root not in found.parents or not found.is_file():
            raise ImageError("this file was not uploaded here", hint="upload it first")
        with self._lock:
            self._brought.setdefault(found, set()).add(visitor)
        return found

    def begin(self, visitor: str) -> bool:
        """Whether the visitor may start a job: one at a time."""
        with self._lock:
            if visitor in self._busy:
                return False
            self._busy.add(visitor)
            return True

    def end(self, visitor: str) -> None:
        """The visitor's job is over."""
        with self._lock:
            self._busy.discard(visitor)

    def leave(self, visitor: str) -> None:
        """Remove all that was made for the visitor, and what nobody else uploaded as well."""
        with self._lock:
            made = self._folders.pop(visitor, None)
            mine = [path for path, owners in self._brought.items() if visitor in owners]
            for path in mine:
                self._brought[path].discard(visitor)
            gone = [path for path in mine if not self._brought[path]]
            for path in gone:
                del self._brought[path]
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        for path in gone:
            remove(path.parent if path.parent != self.root else path)
