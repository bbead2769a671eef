"""Who is live: the seats, the photos, and what is remembered of a visitor until they are gone for good."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stillmotion.core.errors import ConfigError
from stillmotion.core.frame import Frame
from stillmotion.live import wire
from stillmotion.live.backstage import Backstage, Performance
from stillmotion.server.limits import Limits
from stillmotion.server.visits import Visits
from stillmotion.session.live import Calibration, Settings
from stillmotion.session.pump import Seen

ABSENCE = 300.0
"""Seconds for which a visitor whose connection broke is remembered: their photo and calibration."""


class Seat(Protocol):
    """One visitor's connection."""

    performance: Performance

    def show(self, frame: Frame, seen: Seen | None) -> None:
        """Take a result; called by the performance's thread."""

    def begin(self, performance: Performance) -> None:
        """The performance has begun; its results come to `show`."""

    async def close(self) -> None:
        """Hang up, and end the performance."""


@dataclass(frozen=True, eq=False)
class Entrance:
    """With what a visitor comes in.

    Attributes:
        settings: Wanted ones.
        source: Their own, `uint8` of the method's size; None takes their photo, or the one to begin with.
        calibration: Of an earlier connection; None takes what is remembered.
    """

    settings: Settings
    source: Frame | None = None
    calibration: Calibration | None = None


class Stage:
    """What the live page needs: who animates, the photos, and the seats.

    Args:
        folder: For uploaded photos.
        limits: On them.
        backstage: Animates.
        seats: Visitors that may be live at once.

    Attributes:
        seated: The connection of each visitor who is live.
        sources: Visitors' own sources.
        calibrations: Of visitors whose connection broke.
    """

    def __init__(self, folder: Path, limits: Limits, *, backstage: Backstage, seats: int = 1) -> None:
        self.seats, self.limits, self.backstage = seats, limits, backstage
        self.visits = Visits(folder)
        self.seated: dict[str, Seat] = {}
        self.sources: dict[str, Frame] = {}
        self.calibrations: dict[str, Calibration] = {}
        self._waiting: list[str] = []
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End what runs backstage."""
        self.backstage.close()

    async def photo(self, visitor: str, data: bytes) -> None:
        """Take an uploaded photo as the visitor's source, at once where they are live.

        Raises:
            StillmotionError: It cannot be used.
        """
        self.sources[visitor] = await self.cut(visitor, data)
        if visitor in self.seated:
            await asyncio.to_thread(self.seated[visitor].performance.session.swap, self.sources[visitor])

    async def cut(self, visitor: str, data: bytes) -> Frame:
        """The part of an uploaded photo that is animated; the photo itself is removed.

        Raises:
            StillmotionError: It cannot be used.
        """
        folder = self.visits.folder(visitor)
        file = folder / f"photo-{secrets.token_hex(8)}"
        file.write_bytes(data)
        try:
            return await asyncio.to_thread(self.backstage.cut, file, folder)
        finally:
            file.unlink(missing_ok=True)

    def still(self, visitor: str) -> bytes:
        """The visitor's source as a PNG: their own picture, so nothing marks it as generated."""
        return wire.to_png(self.sources.get(visitor, self.backstage.first))

    async def sit(self, visitor: str, seat: Seat, entrance: Entrance) -> None:
        """Give a visitor a seat and begin to animate; one who sat already changes to the new one.

        Raises:
            ConfigError: All seats are taken.
            StillmotionError: It cannot begin.
        """
        async with self._turn:
            if visitor in self.seated:  # they come back: the old connection is dead or dying
                await self.leave(visitor, forget=False)
            if len(self.seated) >= self.seats:
                raise ConfigError(
                    f"all seats are taken: {self._place(visitor)} waiting before you",
                    hint="this page asks again by itself",
                )
            self._waiting = [name for name in self._waiting if name != visitor]
            source = entrance.source if entrance.source is not None else self.sources.get(visitor, self.backstage.first)
            performance = await asyncio.to_thread(
                self.backstage.perform,
                source,
                settings=entrance.settings,
                calibration=entrance.calibration or self.calibrations.get(visitor),
                sink=seat.show,
            )
            seat.begin(performance)
            self.seated[visitor] = seat

    async def leave(self, visitor: str, *, forget: bool = True) -> None:
        """Free the visitor's seat; with `forget`, remove their photo as well."""
        seat = self.seated.pop(visitor, None)
        if seat is not None:
            self.calibrations[visitor] = seat.performance.session.calibration
            await seat.close()
        if forget:
            self.sources.pop(visitor, None)
            self.calibrations.pop(visitor, None)
            self.visits.leave(visitor)

    async def lost(self, visitor: str, seat: Seat) -> None:
        """A connection broke: free its seat, and forget the visitor if they do not come back."""
        if self.seated.get(visitor) is seat:
            await self.leave(visitor, forget=False)
            self.keep(self._forget(visitor, self.calibrations[visitor]))

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside everything else."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget(self, visitor: str, left: Calibration) -> None:
        """Forget a visitor who has not been here since they left."""
        await asyncio.sleep(ABSENCE)
        if visitor not in self.seated and self.calibrations.get(visitor) is left:
            await self.leave(visitor)

    def _place(self, visitor: str) -> int:
        if visitor not in self._waiting:
            self._waiting = [*self._waiting, visitor][-self.limits.waiting :]
        return self._waiting.index(visitor)
