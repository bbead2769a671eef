"""When to stop: the time budget, the step budget, and signals."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Literal, TypeAlias

Reason: TypeAlias = Literal["finished", "steps", "time", "signal"]


class Stopper:
    """Watches the clock and SIGTERM / SIGINT; a context manager that puts the old handlers back.

    The first signal asks the loop to save and leave after the current step; a second Ctrl-C
    interrupts at once.

    Args:
        minutes: Time budget from now, or None.
    """

    def __init__(self, *, minutes: float | None) -> None:
        self._deadline = None if minutes is None else time.monotonic() + minutes * 60
        self._signalled = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        # Python only lets the main thread set handlers; elsewhere the clock alone is watched.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True

    def reason(self) -> Reason | None:
        """Why to stop now, or None to go on."""
        if self._signalled:
            return "signal"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "time"
        return None
