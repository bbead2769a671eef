"""The record of a run: `run.json`, TensorBoard events, log lines."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from stillmotion.core.frame import Frame
from stillmotion.train.options import Options
from stillmotion.train.setup import Config
from stillmotion.video.image import write_image
from stillmotion.video.target import replacing

NAME = "run.json"
_PACKAGES = ("stillmotion", "torch", "lightning-fabric", "numpy", "opencv-python-headless", "av")


def versions() -> dict[str, str]:
    """Versions of Python and of what moves numbers; empty for what is not installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def describe_features(path: Path | None, kind: str | None) -> dict[str, str] | None:
    """Which feature network a run used: kind, file name and checksum, so that losses can be compared."""
    if path is None or kind is None:
        return None
    return {"kind": kind, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


class Record:
    """Writes what happens to the run's folder; only one process of a run has one.

    Args:
        config: Of the method.
        options: Of the run.
        facts: Anything else that belongs into `run.json` from the start.
    """

    def __init__(self, config: Config, options: Options, facts: dict[str, Any]) -> None:
        self.folder = options.output
        self.content: dict[str, Any] = {
            "preset": config.name,
            "options": {
                key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()
            },
            "seed": options.seed,
            "versions": versions(),
            "machine": {"system": platform.platform(), "processor": platform.processor() or platform.machine()},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "status": "running",
            "config": asdict(config),  # type: ignore[call-overload]
            "skipped": {},
            **facts,
        }
        self._board = SummaryWriter(str(self.folder / "events"))
        self.write()

    def update(self, **facts: Any) -> None:
        """Add facts and rewrite the file."""
        self.content |= facts
        self.write()

    def write(self) -> None:
        """Write `run.json` beside its place and rename it."""
        with replacing(self.folder / NAME) as partial:
            partial.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf-8")

    def skip(self, name: str, message: str) -> bool:
        """Note a clip that could not be used; True the first time it is seen."""
        is_new = name not in self.content["skipped"]
        self.content["skipped"][name] = message
        return is_new

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Numbers by tag, such as `loss/perceptual`, to TensorBoard and to `log.jsonl`."""
        for tag, value in values.items():
            self._board.add_scalar(tag, value, step)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | {k: round(v, 6) for k, v in values.items()}) + "\n")

    def picture(self, grid: Frame, step: int) -> None:
        """A picture grid, to TensorBoard and as a PNG in `pictures/`."""
        self._board.add_image("preview", np.ascontiguousarray(grid), step, dataformats="HWC")
        folder = self.folder / "pictures"
        folder.mkdir(exist_ok=True)
        write_image(folder / f"{step:08d}.png", grid)

    def close(self) -> None:
        """Flush and close the event file."""
        self._board.close()
