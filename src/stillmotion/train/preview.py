"""Held-out pairs, looked at and scored while a run goes on."""

from __future__ import annotations

import numpy as np
import torch

from stillmotion.core.errors import DataError
from stillmotion.core.flow import Convention, Flow, warp
from stillmotion.core.frame import Frame, to_frames, to_planes
from stillmotion.core.method import Method, Rendering
from stillmotion.core.motion import Latent, Motion
from stillmotion.data.folder import ClipFolder
from stillmotion.nn.geometry import resize_grid
from stillmotion.prepare.resize import resize_frame
from stillmotion.prepare.show import draw_flow, draw_keypoints, draw_occlusion

SHOWN = 5
"""Rows of the picture grid."""
SCORED = 32
"""Held-out clips that are scored."""
_TALLEST = 128


class Preview:
    """A fixed set of pairs, evenly spread over a folder's clips: the first frame and the middle one.

    Args:
        folder: Held-out clips, or the training clips where there are none.

    Raises:
        DataError: None can be read.
    """

    def __init__(self, folder: ClipFolder) -> None:
        pairs = []
        for index in np.unique(np.linspace(0, len(folder) - 1, min(SCORED, len(folder))).round().astype(int)):
            try:
                frames = folder.store.clip(folder.clips[int(index)])
                pairs.append(frames[[0, len(frames) // 2]])
            except DataError:
                continue  # the data check and the training pairs report it
        if not pairs:
            raise DataError(f"no clip in {folder.path} can be read", hint=f"run: stillmotion data check {folder.path}")
        self._pairs = np.stack(pairs)

    def look(self, method: Method) -> tuple[Frame, dict[str, float]]:
        """Render all pairs, absolute motion.

        Returns:
            The picture grid `uint8`, and `held-out/l1` with `held-out/copying` (the source left as it
            is), mean absolute differences in [0, 1].
        """
        rows: list[Frame] = []
        errors: list[float] = []
        still: list[float] = []
        for source, driving in self._pairs:
            state, motion = method.encode([source]), method.read(driving[None])[0]
            rendering = method.render(state, [motion])
            planes = to_planes(np.stack([source, driving]))
            errors.append(float(np.abs(rendering.planes[0] - planes[1]).mean()))
            still.append(float(np.abs(planes[0] - planes[1]).mean()))
            if len(rows) < SHOWN:
                rest = method.source_motion(state)
                marked = [_marked(f, m, method.spec.convention) for f, m in ((source, rest), (driving, motion))]
                rows.append(_row([*marked, *_makings(source, rendering), rendering.frames[0], driving], rendering))
        scores = {"held-out/l1": float(np.mean(errors)), "held-out/copying": float(np.mean(still))}
        return np.concatenate(rows, axis=0), scores


def _marked(frame: Frame, motion: Motion, convention: Convention) -> Frame:
    return frame if isinstance(motion, Latent) else draw_keypoints(frame, motion, convention=convention)


def _makings(source: Frame, rendering: Rendering) -> list[Frame]:
    """The source warped by the flow, where there is one."""
    if not rendering.flows:
        return []
    flow = rendering.flows[0]
    grid = resize_grid(torch.from_numpy(flow.grid)[None], *source.shape[:2], convention=flow.convention)[0].numpy()
    warped = warp(to_planes(source[None])[0].transpose(1, 2, 0), Flow(grid, flow.convention))
    return [to_frames(warped.transpose(2, 0, 1)[None])[0]]


def _row(tiles: list[Frame], rendering: Rendering) -> Frame:
    """Source and driving with keypoints, warped source, prediction, driving, flow, occlusion."""
    size = tiles[0].shape[:2]
    if rendering.flows:
        flow = rendering.flows[0]
        tiles.append(draw_flow(flow, size))
        if flow.occlusion is not None:
            tiles.append(draw_occlusion(flow, size))
    side = max(size)
    shape = (min(size[0], size[0] * _TALLEST // side), min(size[1], size[1] * _TALLEST // side))
    return np.concatenate([resize_frame(tile, shape) for tile in tiles], axis=1)
