"""Flows of different sizes and conventions made comparable: in pixels of the frame, at the same places."""

from __future__ import annotations

import numpy as np

from stillmotion.core.flow import Flow, make_grid, to_normalised, to_pixels


def read_map(values: np.ndarray, points: np.ndarray, *, flow: Flow) -> np.ndarray:
    """Read a map that lies on a flow's own grid: bilinear, its edge repeated.

    Args:
        values: `(h, w)` or `(h, w, c)`.
        points: `(..., 2)` in the flow's convention.
        flow: Says the convention.

    Returns:
        `float64 (...)` or `(..., c)`.
    """
    height, width = values.shape[:2]
    at = np.clip(to_pixels(points, (height, width), flow.convention), 0, [width - 1, height - 1])
    x, y = np.floor(at[..., 0]).astype(np.intp), np.floor(at[..., 1]).astype(np.intp)
    right, down = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    across, along = at[..., 0] - x, at[..., 1] - y
    if values.ndim == 3:
        across, along = across[..., None], along[..., None]
    upper = values[y, x] * (1 - across) + values[y, right] * across
    lower = values[down, x] * (1 - across) + values[down, right] * across
    out: np.ndarray = upper * (1 - along) + lower * along
    return out


def flow_at(flow: Flow, points: np.ndarray, *, frame: tuple[int, int]) -> np.ndarray:
    """Where a flow reads in the source, for any points of the frame.

    Displacements are interpolated, so that the identity stays the identity up to the border.

    Args:
        flow: Backward map of any size and convention.
        points: `(..., 2)`, `edges`.
        frame: Size `(h, w)` of the picture in pixels.

    Returns:
        `float32 (..., 2)`, `edges`.
    """
    own = to_normalised(to_pixels(points, frame, "edges"), frame, flow.convention)
    offset = np.asarray(flow.grid, np.float64) - make_grid(flow.size, flow.convention)
    moved = own + read_map(offset, own, flow=flow)
    return to_normalised(to_pixels(moved, frame, flow.convention), frame, "edges").astype(np.float32)


def resample_flow(flow: Flow, size: tuple[int, int], *, frame: tuple[int, int]) -> np.ndarray:
    """A flow at the pixel centres of another size, `float32 (h, w, 2)`, `edges`; see `flow_at`."""
    if flow.convention == "edges" and flow.size == tuple(size):
        return np.asarray(flow.grid, np.float32)
    return flow_at(flow, make_grid(size, "edges"), frame=frame)


def resample_occlusion(flow: Flow, size: tuple[int, int], *, frame: tuple[int, int]) -> np.ndarray | None:
    """A flow's occlusion at the pixel centres of another size, `float (h, w)`; None where it has none.

    An occlusion map may be finer or coarser than its flow.
    """
    if flow.occlusion is None or flow.occlusion.shape == tuple(size):
        return flow.occlusion
    own = to_normalised(to_pixels(make_grid(size, "edges"), frame, "edges"), frame, flow.convention)
    return read_map(flow.occlusion, own, flow=flow)


def distance(ours: np.ndarray, theirs: np.ndarray, *, frame: tuple[int, int]) -> np.ndarray:
    """Distances in pixels of the frame between `edges` points `(..., 2)`: `(...)`."""
    gap = (np.asarray(ours, np.float64) - theirs) * np.array([frame[1], frame[0]]) / 2
    return np.asarray(np.linalg.norm(gap, axis=-1))
