"""What is done already: one line a video, written when its clips are whole, so that a killed run goes on.

A line is added and flushed to the disk after the clips have their names. What a kill leaves is a
video without a line, which is done again into the same names, or half a line, which is cut off.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from stillmotion.core.errors import ConfigError, OutputError
from stillmotion.data.preparation.jobs import Record
from stillmotion.video.target import output_error

locks: ModuleType | None
try:
    import fcntl as locks
except ImportError:  # Windows: a second run there is not noticed
    locks = None

NAME = ".prepare.jsonl"
"""The journal's file in the output folder."""


class Journal:
    """The journal of one output folder; one run at a time.

    Args:
        folder: The output folder; made if it is not there.
        plan: What decides how the clips look: a folder holds clips of one kind only.

    Attributes:
        records: The newest record of each video.
        parts: Who is on which side of the split.

    Raises:
        OutputError: The folder cannot be written, or another run is at work in it.
        ConfigError: The folder was begun with other options.
    """

    def __init__(self, folder: Path, plan: Record) -> None:
        self.path = folder / NAME
        self.records: dict[str, Record] = {}
        self.parts: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise output_error(error, self.path) from error
        try:
            self._lock(folder)
            self._read(folder, plan)
        except BaseException:
            self._file.close()
            raise

    def _lock(self, folder: Path) -> None:
        if locks is None:
            return
        try:
            locks.flock(self._file, locks.LOCK_EX | locks.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"another run is preparing into {folder}", hint="wait for it, or name another folder", path=self.path
            ) from error

    def _read(self, folder: Path, plan: Record) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        lines = [json.loads(line) for line in whole.splitlines()]
        if not lines:
            self._add({"plan": plan})
            return
        begun = lines[0].get("plan", {})
        other = [name for name in plan if begun.get(name) != json.loads(json.dumps(plan[name]))]
        if other:
            raise ConfigError(
                f"{folder} was begun with another {other[0].replace('_', ' ')}: "
                f"{begun.get(other[0])}, not {plan[other[0]]}",
                hint="use the same options, or another output folder",
            )
        for line in lines[1:]:
            if "parts" in line:
                self.parts |= line["parts"]
            else:
                self.records[line["video"]] = line

    def add(self, record: Record) -> None:
        """Say that a video is finished, whatever became of it.

        Raises:
            OutputError: The disk is full.
        """
        self._add(record)
        self.records[record["video"]] = record

    def assign(self, parts: dict[str, str]) -> None:
        """Remember who is on which side.

        Raises:
            OutputError: The disk is full.
        """
        new = {name: part for name, part in parts.items() if self.parts.get(name) != part}
        if new:
            self._add({"parts": new})
            self.parts |= new

    def _add(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise output_error(error, self.path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
