"""What a run looks like: one row a pair."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

COLUMNS = ("source", "driving", "deformed", "keep", "generated", "prediction", "occlusion")


def sheet(item: dict[str, Tensor], outputs: dict[str, Tensor], path: Path) -> None:
    """Source and driving frame with their keypoints, then what the networks made, for up to six pairs."""
    have = item | outputs
    names = [name for name in COLUMNS if name in have]
    rows = [
        np.hstack([cv2.resize(_cell(have, name, i), (128, 128)) for name in names])
        for i in range(min(6, len(item["source"])))
    ]
    cv2.imwrite(str(path), np.vstack(rows)[:, :, ::-1])


def _cell(have: dict[str, Tensor], name: str, index: int) -> np.ndarray:
    picture = have[name][index].detach().float().cpu().expand(3, -1, -1).numpy()
    cell = np.ascontiguousarray((np.moveaxis(picture, 0, 2) * 255).clip(0, 255).astype(np.uint8))
    points = have.get(f"{name}_value")
    if points is not None:
        size = len(cell)
        for j, (x, y) in enumerate(points[index].detach().cpu().numpy()):
            colour = cv2.cvtColor(np.uint8([[[j * 11, 255, 255]]]), cv2.COLOR_HSV2RGB)[0, 0]
            where = int((x + 1) / 2 * size), int((y + 1) / 2 * size)
            cv2.circle(cell, where, max(1, size // 64), tuple(int(v) for v in colour), -1)
    return cell
