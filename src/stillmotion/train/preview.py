"""Held-out pairs, looked at and scored while a run goes on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.errors import DataError
from stillmotion.core.flow import Convention, Flow
from stillmotion.core.frame import Frame, to_frames
from stillmotion.core.motion import Keypoints
from stillmotion.data.folder import ClipFolder
from stillmotion.nn.geometry import resize_grid, warp
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
        convention: Grid convention of the networks.
    """

    def __init__(self, folder: ClipFolder, *, convention: Convention) -> None:
        self._convention = convention
        pairs = []
        for index in np.unique(np.linspace(0, len(folder) - 1, min(SCORED, len(folder))).round().astype(int)):
            try:
                frames = folder.store.clip(folder.clips[int(index)])
                pairs.append(frames[[0, len(frames) // 2]])
            except DataError:
                continue  # the data check and the training pairs report it
        if not pairs:
            raise DataError(f"no clip in {folder.path} can be read", hint=f"run: stillmotion data check {folder.path}")
        planes = np.moveaxis(np.stack(pairs), 4, 2)
        self._pairs = torch.from_numpy(np.ascontiguousarray(planes))

    @torch.no_grad()
    def look(self, networks: dict[str, nn.Module], *, device: torch.device) -> tuple[Frame, dict[str, float]]:
        """Render all pairs in evaluation mode.

        Returns:
            The picture grid `uint8`, and `held-out/l1` with `held-out/copying` (the source left as it
            is), mean absolute differences in [0, 1].
        """
        modes = {name: network.training for name, network in networks.items()}
        for network in networks.values():
            network.eval()
        rows: list[Frame] = []
        errors: list[float] = []
        still: list[float] = []
        for start in range(0, len(self._pairs), 8):
            pair = self._pairs[start : start + 8].to(device).float() / 255
            outputs = self._render(networks, pair[:, 0], pair[:, 1])
            errors += (outputs["prediction"] - pair[:, 1]).abs().mean((1, 2, 3)).tolist()
            still += (pair[:, 0] - pair[:, 1]).abs().mean((1, 2, 3)).tolist()
            rows += [self._row(pair, outputs, i) for i in range(min(len(pair), SHOWN - len(rows)))]
        for name, network in networks.items():
            network.train(modes[name])
        scores = {"held-out/l1": float(np.mean(errors)), "held-out/copying": float(np.mean(still))}
        return np.concatenate(rows, axis=0), scores

    def _render(self, networks: dict[str, nn.Module], source: Tensor, driving: Tensor) -> dict[str, Tensor]:
        rest_value, rest_jacobian = networks["kp_detector"](source)
        value, jacobian = networks["kp_detector"](driving)
        outputs = dict(networks["generator"](source, rest_value, value, rest_jacobian, jacobian))
        full = resize_grid(outputs["flow"], *source.shape[2:], convention=self._convention)
        outputs["deformed"] = warp(source, full, convention=self._convention)
        return outputs | {"source_value": rest_value, "driving_value": value}

    def _row(self, pair: Tensor, outputs: dict[str, Tensor], index: int) -> Frame:
        """Source and driving with keypoints, warped source, prediction, flow, occlusion."""
        source, driving = (to_frames(pair[index].float().cpu().numpy())[i] for i in (0, 1))
        size = source.shape[:2]
        occlusion = outputs["occlusion"][index, 0].float().cpu().numpy() if "occlusion" in outputs else None
        flow = Flow(outputs["flow"][index].float().cpu().numpy(), self._convention, occlusion)
        tiles = [
            self._with_keypoints(source, outputs["source_value"][index]),
            self._with_keypoints(driving, outputs["driving_value"][index]),
            _frame(outputs["deformed"][index]),
            _frame(outputs["prediction"][index]),
            driving,
            draw_flow(flow, size),
        ]
        if occlusion is not None:
            tiles.append(draw_occlusion(flow, size))
        side = max(size)
        shape = (min(size[0], size[0] * _TALLEST // side), min(size[1], size[1] * _TALLEST // side))
        return np.concatenate([resize_frame(tile, shape) for tile in tiles], axis=1)

    def _with_keypoints(self, frame: Frame, value: Tensor) -> Frame:
        points = Keypoints(value.float().cpu().numpy())
        return draw_keypoints(frame, points, convention=self._convention)


def _frame(planes: Tensor) -> Frame:
    return to_frames(F.relu(planes.float()).cpu().numpy()[None])[0]
