"""Between a camera and a network that is slower: the newest frame wins, the others are dropped and counted."""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Latest(Generic[Item]):
    """A mailbox with room for one: putting a second item in replaces the first. Thread-safe.

    Attributes:
        put_count: Items put in so far.
        dropped: Items that were replaced before anybody took them.
    """

    def __init__(self) -> None:
        self.put_count = 0
        self.dropped = 0
        self._item: Item | None = None
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Leave an item; never waits."""
        with self._changed:
            self.put_count += 1
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self, timeout: float | None = None) -> Item | None:
        """The newest item, waiting for one; None after `timeout` seconds, or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout)
            item, self._item = self._item, None
            return None if self._is_closed else item

    def close(self) -> None:
        """Nothing more comes: whoever waits is let go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed


class Rhythm:
    """Frames per second and delays of the most recent frames.

    Args:
        count: How many frames are remembered.
    """

    def __init__(self, count: int = 300) -> None:
        self._times: deque[float] = deque(maxlen=count)
        self._delays: deque[float] = deque(maxlen=count)

    def beat(self, delay: float | None = None, *, now: float | None = None) -> None:
        """A frame has come out.

        Args:
            delay: Seconds from its capture to now, where that is known.
            now: Time in seconds on any rising clock; None takes it.
        """
        self._times.append(perf_counter() if now is None else now)
        if delay is not None:
            self._delays.append(delay)

    @property
    def rate(self) -> float:
        """Frames per second over the remembered ones; 0 before the second."""
        spent = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        return (len(self._times) - 1) / spent if spent > 0 else 0.0

    def delay(self, share: float) -> float | None:
        """The delay that this share of the frames kept to, seconds (0.5: the median); None before the first."""
        ordered = sorted(self._delays)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
