"""What happens behind the page: jobs go to the children, files to their visitor, errors into words."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillmotion import weights as shipped_weights
from stillmotion.core.errors import ConfigError
from stillmotion.server.child import Progress
from stillmotion.server.limits import Limits
from stillmotion.server.visits import Visits
from stillmotion.server.worker import CancelledError, Worker
from stillmotion.studio.choices import Choices

MODULE = "stillmotion.studio.jobs"


class Desk:
    """Two children, one that looks and one that animates, and the visitors' files.

    Args:
        folder: For everything that visitors bring or make.
        limits: On each of them.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.visits = Visits(folder)
        self.weights = shipped_weights.shipped()
        self._looker = Worker(MODULE, seconds=120.0)
        self._animator = Worker(MODULE, seconds=limits.job_seconds)
        self._working: str | None = None
        self._cancelled: set[str] = set()

    @property
    def worker(self) -> Worker:
        """The child that animates."""
        return self._animator

    def warm(self) -> None:
        """Start the children ahead of the first visitor."""
        self._looker.start()
        self._animator.start()

    def close(self) -> None:
        """End the children."""
        self._looker.close()
        self._animator.close()

    def look(self, visitor: str, what: str, path: str, *, crop: str, weights: str) -> dict[str, Any]:
        """The crop of an uploaded `photo` or `clip`: its box, the size, a picture of it.

        Raises:
            StillmotionError: It cannot be used.
        """
        verb = {"photo": "look_at_photo", "clip": "look_at_clip"}[what]
        file, folder = self.visits.bring(visitor, path), self.visits.folder(visitor)
        arguments: dict[str, Any] = {what: str(file), "crop": crop or "auto", "weights": self._known(weights)}
        return self._looker.ask(verb, **arguments, folder=str(folder))

    def reference(self, visitor: str, photo: str, clip: str, choices: Choices) -> dict[str, Any]:
        """The driving frame closest to the photo's pose, its score and picture.

        Raises:
            StillmotionError: Something cannot be used.
        """
        return self._looker.ask(
            "find_reference",
            photo=str(self._file(visitor, photo)),
            clip=str(self._file(visitor, clip)),
            crop_source=choices.crop_source or "auto",
            crop_driving=choices.crop_driving or "auto",
            weights=self._known(choices.weights),
            folder=str(self.visits.folder(visitor)),
        )

    def animate(
        self, visitor: str, photo: str, clip: str, choices: Choices, *, progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        """Animate uploaded files; returns the video and the report as a dictionary.

        Raises:
            StillmotionError: Something cannot be used, the job was cancelled, or its child died.
        """
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(photo).stem)[:40].strip("-") or "photo"
        output = self.visits.folder(visitor) / f"{name}-{secrets.token_hex(2)}.mp4"
        files = {"photo": str(self._file(visitor, photo)), "clip": str(self._file(visitor, clip))}
        options, weights = choices.options(), self._known(choices.weights)
        if visitor in self._cancelled:
            raise CancelledError("cancelled", hint="nothing was kept")
        self._working = visitor
        try:
            report = self._animator.ask(
                "animate", **files, output=str(output), weights=weights, options=options, progress=progress
            )
        finally:
            self._working = None
        return output, report

    def begin(self, visitor: str) -> None:
        """A visitor's job starts or is queued.

        Raises:
            ConfigError: One of theirs runs already.
        """
        if not self.visits.begin(visitor):
            raise ConfigError("you have a job running already", hint="wait for it, or cancel it")
        self._cancelled.discard(visitor)

    def cancel(self, visitor: str) -> None:
        """End the visitor's job, whether it runs or waits."""
        self._cancelled.add(visitor)
        if self._working == visitor:
            self._animator.cancel()

    def leave(self, visitor: str) -> None:
        """The visit is over: cancel what runs, remove the files."""
        self.cancel(visitor)
        self.visits.end(visitor)
        self.visits.leave(visitor)
        self._cancelled.discard(visitor)

    def _file(self, visitor: str, path: str) -> Path:
        """An uploaded file, or one of the examples that ship."""
        return Path(path) if path in examples() else self.visits.bring(visitor, path)

    def _known(self, weights: str) -> str | None:
        if weights and weights not in self.weights:
            raise ConfigError(f"there are no weights called {weights!r} here", hint=f"use {_words(self.weights)}")
        return weights or None


def examples() -> tuple[str, str]:
    """The photo and the motion that ship."""
    folder = Path(shipped_weights.FOLDER).parent / "example"
    return str(folder / "astronaut.jpg"), str(folder / "driving.safetensors")


def _words(names: Sequence[str]) -> str:
    return " or ".join(names) or "none: this copy ships no weights"
