"""A clip as the browser's fake camera wants it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_y4m(path: Path, frames: Iterable[np.ndarray], *, fps: Fraction | int = 25) -> Path:
    """Write frames `uint8 (h, w, 3)` as uncompressed 4:2:0."""
    rate = Fraction(fps)
    with path.open("wb") as file:
        for index, frame in enumerate(frames):
            if index == 0:
                size, pace = f"W{frame.shape[1]} H{frame.shape[0]}", f"F{rate.numerator}:{rate.denominator}"
                file.write(f"YUV4MPEG2 {size} {pace} Ip A1:1 C420jpeg\n".encode())
            planes = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + planes.to_ndarray().tobytes())
    return path
