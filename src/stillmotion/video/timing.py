"""Time: exact frame rates, and time stamps that always rise.

Containers round and break time stamps; what leaves here is a `Fraction` of a second, the first
frame at 0, strictly rising.
"""

from __future__ import annotations

from fractions import Fraction

DEFAULT_RATE = Fraction(25)
FASTEST_RATE = Fraction(1000)

COARSE_TICK = Fraction(1, 1000)
"""Matroska, WebM and FLV count milliseconds, so they cannot say 1001/30000 of a second."""

_LONGEST_GAP = Fraction(600)
_TRUSTED_REPEATS = 3
_FAMILIAR = [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)]
_FAMILIAR += [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)]


def nominal_rate(*candidates: Fraction | None, tick: Fraction | None = None) -> Fraction:
    """The first believable rate in frames per second.

    A rate that was only measured (a long denominator) or whose container counts milliseconds is
    taken for the familiar one within 1 in 10,000 of it: 19001/634 is 30000/1001.

    Args:
        *candidates: Rates to consider, best first; None and absurd ones are passed over.
        tick: Time base of the container, seconds.
    """
    for rate in candidates:
        if rate is not None and 0 < rate <= FASTEST_RATE:
            return _familiar(rate) if rate.denominator > 1001 or (tick or 0) >= COARSE_TICK else rate
    return DEFAULT_RATE


def _familiar(rate: Fraction) -> Fraction:
    nearest = min(_FAMILIAR, key=lambda known: abs(known - rate))
    return nearest if abs(nearest - rate) * 10_000 <= rate else rate


class Clock:
    """Turns the time stamps of decoded frames into times from 0 that strictly rise.

    - A missing stamp is one frame after the last.
    - A stamp that repeats falls between its neighbours, so that those that follow keep their time.
    - A jump back by more than two frames, or forward by more than ten minutes, is a break in the
      clock: the frame follows the last one directly, and the rest keep their distance to it.
    - Stamps of a millisecond clock that lie within a tick of the exact frame grid are put on it;
      a variable frame rate keeps its own times.

    Args:
        fps: Nominal rate.
        tick: Time base of the container in seconds.
    """

    def __init__(self, fps: Fraction, *, tick: Fraction | None = None) -> None:
        self.start = Fraction(0)
        """Stamp of the first frame on the container's own clock, seconds."""
        self._period = 1 / fps
        self._tick = tick if tick is not None and tick >= COARSE_TICK else None
        self._origin = Fraction(0)
        self._last: Fraction | None = None
        self._ceiling = Fraction(0)
        self._repeats = 0

    def at(self, stamp: Fraction | None) -> Fraction:
        """The time of the next frame, given its stamp in seconds, or None where it has none."""
        if self._last is None:
            self.start = self._origin = stamp if stamp is not None else Fraction(0)
            time = Fraction(0)
        else:
            time = self._after(self._last, stamp)
        self._last = time
        return time

    def _after(self, last: Fraction, stamp: Fraction | None) -> Fraction:
        time = last + self._period if stamp is None else self._on_grid(stamp - self._origin)
        is_back = time < last - 2 * self._period and self._repeats < _TRUSTED_REPEATS
        if is_back or time > last + _LONGEST_GAP:
            self._origin += time - (last + self._period)
            time = last + self._period
        if time > last:
            self._repeats = 0
            self._ceiling = time + self._period
            return time
        self._repeats += 1
        # After some repeats in a row the stamps say nothing any more: count frames instead.
        if self._ceiling <= last:
            self._ceiling = last + self._period
        return last + (self._ceiling - last) / 2 if self._repeats <= _TRUSTED_REPEATS else last + self._period

    def _on_grid(self, time: Fraction) -> Fraction:
        if self._tick is None:
            return time
        nearest = round(time / self._period) * self._period
        return nearest if abs(time - nearest) <= self._tick else time
