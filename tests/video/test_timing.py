"""Exact rates, and times that rise whatever the stamps do."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from stillmotion.video.timing import COARSE_TICK, Clock, nominal_rate

FPS = Fraction(10)


def run(stamps, *, fps=FPS, tick=None):
    clock = Clock(fps, tick=tick)
    return [clock.at(None if stamp is None else Fraction(stamp)) for stamp in stamps]


def test_clock_starts_at_zero_and_remembers_where_the_file_started() -> None:
    clock = Clock(FPS)
    assert clock.at(Fraction(7, 2)) == 0
    assert clock.at(Fraction(36, 10)) == Fraction(1, 10)
    assert clock.start == Fraction(7, 2)


def test_variable_rate_is_kept_exactly() -> None:
    stamps = [Fraction(0), Fraction(1, 7), Fraction(3, 7), Fraction(9, 7)]
    assert run(stamps) == stamps


def test_missing_stamps_count_frames() -> None:
    assert run([None, None, None]) == [0, Fraction(1, 10), Fraction(2, 10)]


def test_a_repeated_stamp_does_not_shift_those_that_follow() -> None:
    times = run([0, Fraction(1, 10), Fraction(1, 10), Fraction(1, 10), Fraction(2, 10), Fraction(3, 10)])
    assert times == [0, Fraction(1, 10), Fraction(3, 20), Fraction(7, 40), Fraction(2, 10), Fraction(3, 10)]


def test_stamps_that_never_change_still_rise_at_about_the_frame_rate() -> None:
    times = run([5] * 50)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert 4 < times[-1] <= 5


@pytest.mark.parametrize("jump", [-100, 100_000])
def test_a_break_in_the_clock_is_closed(jump: int) -> None:
    stamps = [Fraction(i, 10) for i in range(5)] + [jump + Fraction(i, 10) for i in range(5, 10)]
    assert run(stamps) == [Fraction(i, 10) for i in range(10)]


def test_milliseconds_are_put_on_the_exact_grid_and_odd_times_are_not() -> None:
    fps = Fraction(30000, 1001)
    rounded = [Fraction(round(1000 * i / fps), 1000) for i in range(100)]
    assert run(rounded, fps=fps, tick=COARSE_TICK) == [i / fps for i in range(100)]
    assert run([0, Fraction(49, 1000)], fps=fps, tick=COARSE_TICK) == [0, Fraction(49, 1000)]


@pytest.mark.parametrize(
    ("rate", "tick", "expected"),
    [
        (Fraction(30000, 1001), Fraction(1, 30000), Fraction(30000, 1001)),
        (Fraction(2997, 100), Fraction(1, 90000), Fraction(2997, 100)),
        (Fraction(2997, 100), COARSE_TICK, Fraction(30000, 1001)),
        (Fraction(19001, 634), COARSE_TICK, Fraction(30000, 1001)),
        (Fraction(1234500, 41167), Fraction(1, 90000), Fraction(1234500, 41167)),
        (Fraction(90000), None, Fraction(25)),
        (None, None, Fraction(25)),
    ],
)
def test_nominal_rate(rate: Fraction | None, tick: Fraction | None, expected: Fraction) -> None:
    assert nominal_rate(rate, tick=tick) == expected
