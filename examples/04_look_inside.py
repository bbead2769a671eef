"""What the method sees: where its keypoints are, how far they move, what it has to invent.

python examples/04_look_inside.py me.jpg talking.mp4 flow.mp4 [WEIGHTS]
"""

from __future__ import annotations

import sys

import numpy as np

import stillmotion


def main(source: str, driving: str, output: str, weights: str | None = None) -> None:
    """Print a line for each frame, and write the flow beside the result."""
    method = stillmotion.load(weights)
    animator = stillmotion.Animator(method, stillmotion.read_image(source))
    with stillmotion.open_video(driving) as video:
        for index, frame in enumerate(video):
            motion = animator.transfer(animator.read(frame))
            rendering = animator.render(motion)
            moved = np.linalg.norm(motion.value - animator.source.value, axis=1).mean()
            hidden = rendering.flows[0].occlusion
            invented = "no occlusion map" if hidden is None else f"{1 - hidden.mean():.0%} invented"
            print(f"frame {index}: keypoints {moved:.3f} from rest, {invented}")
    stillmotion.animate(source, driving, output, method=method, show="flow")


if __name__ == "__main__":
    main(*sys.argv[1:])
