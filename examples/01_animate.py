"""Files in, file out: the whole story in one call.

python examples/01_animate.py me.jpg talking.mp4 out.mp4 [WEIGHTS]
"""

from __future__ import annotations

import sys

import stillmotion


def main(source: str, driving: str, output: str, weights: str | None = None) -> None:
    """Animate, then say what was done."""
    report = stillmotion.animate(source, driving, output, weights=weights, reference="auto", side_by_side=True)
    print(f"{report.frames} frames at {report.fps} a second, {report.speed:.0f} made each second")
    print(f"rest pose: driving frame {report.reference}, {report.mismatch:.2f} from the source's pose")
    for warning in report.warnings:
        print("warning:", warning)


if __name__ == "__main__":
    main(*sys.argv[1:])
