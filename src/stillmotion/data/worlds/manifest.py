"""Is your rendering of a benchmark ours? Fingerprints of clips, exact and approximate.

Rasterisers, video encoders and compilers differ in last bits between machines, so a manifest keeps
two things for each clip: SHA-256 sums of the decoded frames and of the truth, which agree where the
same software renders, and a few hundred numbers, rounded, which must agree within a tolerance
anywhere: colours on a coarse grid over the whole clip, and the landmarks of its middle frame.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.data.worlds.benchmark import Benchmark
from stillmotion.data.worlds.files import write_bytes
from stillmotion.data.worlds.store import read_clip
from stillmotion.data.worlds.truth import ClipTruth

Verdict: TypeAlias = Literal["same", "close", "other"]
"""To the last bit; within the tolerances; or something else."""

CELLS = 6
"""Colours are means over a grid of this many cells a side, over all frames."""
COLOUR_TOLERANCE = 1.0
"""Levels of 255 by which the colour of a cell may differ."""
PLACE_TOLERANCE = 0.004
"""By how much a landmark may differ, `edges`: half a pixel of a 256×256 picture."""
NAME = "manifest.json"


def fingerprint(frames: np.ndarray, truth: ClipTruth) -> dict[str, Any]:
    """What a manifest says of one clip.

    Args:
        frames: `uint8 (t, h, w, 3)`, decoded.
        truth: Of those frames.
    """
    height, width = (side - side % CELLS for side in frames.shape[1:3])
    cells = frames[:, :height, :width].reshape(len(frames), CELLS, height // CELLS, CELLS, width // CELLS, 3)
    landmarks = truth.landmarks[len(truth) // 2]
    return {
        "person": truth.person,
        "motion": truth.motion,
        "frames": len(frames),
        "frames_sha256": hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest(),
        "truth_sha256": _truth_sum(truth),
        "colours": np.round(cells.mean((0, 2, 4)) * 10).astype(int).reshape(-1).tolist(),
        "landmarks": np.round(landmarks * 1000).astype(int).reshape(-1).tolist(),
    }


def _truth_sum(truth: ClipTruth) -> str:
    """Sum over what decides flow and occlusion; places are rounded as they are stored."""
    total = hashlib.sha256()
    for array in (truth.ids, truth.triangles, np.round(truth.points * 16000).astype(np.int32)):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def make_manifest(benchmark: Benchmark, folder: str | Path) -> dict[str, Any]:
    """The manifest of a rendered benchmark.

    Raises:
        DataError: A clip is missing or damaged.
    """
    clips = [fingerprint(*read_clip(folder, index)) for index in range(len(benchmark.clips))]
    tasks = [asdict(task) for task in benchmark.tasks]
    facts = {name: getattr(benchmark, name) for name in ("name", "world", "size", "truth_size", "fps")}
    return facts | {"tasks": tasks, "clips": clips}


def write_manifest(manifest: dict[str, Any], folder: str | Path) -> Path:
    """Write `manifest.json`, a line for each clip.

    Raises:
        OutputError: The folder cannot be written.
    """
    return write_bytes(Path(folder) / NAME, (_one_line_each(manifest) + "\n").encode())


def _one_line_each(manifest: dict[str, Any]) -> str:
    lines = []
    for name, value in manifest.items():
        if isinstance(value, list):
            rows = ",\n".join(json.dumps(row) for row in value)
            lines.append(f"{json.dumps(name)}: [\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def shipped_manifest(name: str) -> dict[str, Any]:
    """The manifest of a benchmark as it was published with this version.

    Raises:
        DataError: There is none.
    """
    path = files("stillmotion.data.worlds") / f"{name}.json"
    if not path.is_file():
        raise DataError(f"no manifest of {name!r} ships with this version")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def compare(ours: dict[str, Any], published: dict[str, Any]) -> list[Verdict]:
    """How close each clip of one manifest is to that of another.

    Raises:
        DataError: They are not manifests of the same benchmark.
    """
    facts = ("name", "world", "size", "truth_size", "fps", "tasks")
    if any(ours.get(fact) != published.get(fact) for fact in facts) or len(ours["clips"]) != len(published["clips"]):
        raise DataError(
            f"this is not a rendering of {published.get('name')} as published: its size, length or tasks differ",
            hint="render it again with this version, into an empty folder",
        )
    return [_compare_clip(a, b) for a, b in zip(ours["clips"], published["clips"], strict=True)]


def _compare_clip(ours: dict[str, Any], theirs: dict[str, Any]) -> Verdict:
    if any(ours[name] != theirs[name] for name in ("person", "motion", "frames")):
        return "other"
    if all(ours[name] == theirs[name] for name in ("frames_sha256", "truth_sha256")):
        return "same"
    colour = _gap(ours["colours"], theirs["colours"]) / 10
    place = _gap(ours["landmarks"], theirs["landmarks"]) / 1000
    return "close" if colour <= COLOUR_TOLERANCE and place <= PLACE_TOLERANCE else "other"


def _gap(a: Iterable[int], b: Iterable[int]) -> float:
    """Largest difference."""
    first, second = np.array(list(a)), np.array(list(b))
    return float(np.abs(first - second).max()) if first.shape == second.shape else float("inf")
