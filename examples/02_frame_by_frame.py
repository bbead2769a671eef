"""Frame by frame: for your own camera, filter or window. Nothing holds more than one frame.

python examples/02_frame_by_frame.py me.jpg talking.mp4 out.mp4 [WEIGHTS]
"""

from __future__ import annotations

import sys

import stillmotion


def main(source: str, driving: str, output: str, weights: str | None = None) -> None:
    """Read, step, write."""
    method = stillmotion.load(weights)
    animator = stillmotion.Animator(method, stillmotion.read_image(source))
    with (
        stillmotion.open_video(driving) as video,
        stillmotion.VideoWriter(output, fps=video.fps, size=method.spec.size, audio_from=driving) as writer,
    ):
        for time, frame in video.timed():
            writer.write(animator.step(frame, float(time)), time)
    print(f"{writer.frames} frames in {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
