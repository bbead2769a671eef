"""A number in a strip under the picture: whoever displays the frame can tell which one it is.

It travels through any video codec, so that the delay from capture to display can be measured where the
display is. The strip is below the picture, never in it.
"""

from __future__ import annotations

import numpy as np

from stillmotion.core.frame import Frame

STRIP = 8
"""Height of the strip in pixels."""
BITS = 12
"""Bits of the number; four more check it."""
NUMBERS = 1 << BITS


def add_stamp(frame: Frame, number: int) -> Frame:
    """`frame` with a strip below it: 16 blocks, black or white, the highest bit first.

    Args:
        frame: `uint8 (h, w, 3)`, w a multiple of 16.
        number: Counted modulo `NUMBERS`.

    Returns:
        `uint8 (h + STRIP, w, 3)`.
    """
    word = (number % NUMBERS) << 4 | _check(number % NUMBERS)
    bits = np.array([(word >> shift) & 1 for shift in range(15, -1, -1)], np.uint8) * np.uint8(255)
    row = np.repeat(bits, frame.shape[1] // 16)
    strip = np.broadcast_to(row[None, :, None], (STRIP, len(row), 3))
    return np.concatenate([frame, strip])


def read_stamp(frame: Frame) -> int | None:
    """The number under a picture; None where the strip was damaged.

    Args:
        frame: `uint8 (h + STRIP, w, 3)` as `add_stamp` made it, decoded again.
    """
    strip = frame[-STRIP:].mean(axis=(0, 2))
    blocks = strip[: len(strip) // 16 * 16].reshape(16, -1).mean(axis=1) > 127
    word = int("".join("1" if block else "0" for block in blocks), 2)
    number = word >> 4
    return number if word & 15 == _check(number) else None


def _check(number: int) -> int:
    return ((number >> 8) + (number >> 4) + number + 5) & 15
