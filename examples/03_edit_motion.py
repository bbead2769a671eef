"""Motion is numbers: read a clip, calm it to half, animate with it.

python examples/03_edit_motion.py me.jpg talking.mp4 out.mp4 [WEIGHTS]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import stillmotion


def main(source: str, driving: str, output: str, weights: str | None = None) -> None:
    """Read, edit, animate."""
    file = Path(output).with_suffix(".safetensors")
    stillmotion.read_motion(driving, file, weights=weights)
    clip = stillmotion.MotionClip.open(file)
    value = clip.arrays["value"]  # float32 (frames, keypoints, 2), (x, y) in [-1, 1]
    calm = value[:1] + 0.5 * (value - value[:1])
    edited = replace(clip, arrays={**clip.arrays, "value": calm})
    report = stillmotion.animate(source, edited, output, weights=weights)
    print(f"{report.frames} frames from {file.stat().st_size} bytes of motion")


if __name__ == "__main__":
    main(*sys.argv[1:])
