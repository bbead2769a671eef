"""`stillmotion reconstruct DATA`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stillmotion.cli.screen import progress_bar
from stillmotion.core.errors import ConfigError


@dataclass(kw_only=True)
class Command:
    """Score weights: rebuild every frame of test clips from their first one.

    L1, PSNR, SSIM and MS-SSIM, beside the scores of copying the first frame; LPIPS where its
    weights are given.
    """

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Folder of clips, with `test` inside or without."""
    weights: str | None = None
    """Name of shipped weights, or path of a bundle or a training run (default: the shipped ones)."""
    engine: Literal["auto", "openvino", "onnx", "torch"] = "auto"
    """What runs the network."""
    device: str | None = None
    """For torch, such as cuda."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """JSON file for the scores of every clip."""
    subset: Literal["test", "train", "all"] = "test"
    """Which clips of the folder."""
    videos: int | None = None
    """How many clips, the first ones (default: all)."""
    seed: int = 0
    """Seed of the split where the folder has none."""
    lpips_trunk: Path | None = None
    """SqueezeNet 1.1 state dict, for LPIPS."""
    lpips_heads: Path | None = None
    """Linear heads of LPIPS 0.1 for SqueezeNet."""
    json: bool = False
    """Print the report as JSON on stdout."""

    def run(self) -> None:
        """Score and print.

        Raises:
            ConfigError: One of the two files of LPIPS without the other.
        """
        from stillmotion.evaluate.lpips import Lpips
        from stillmotion.evaluate.reconstruct import reconstruct
        from stillmotion.methods import load

        if (self.lpips_trunk is None) != (self.lpips_heads is None):
            raise ConfigError("LPIPS needs two files", hint="give --lpips-trunk and --lpips-heads, or neither")
        lpips = None
        if self.lpips_trunk is not None and self.lpips_heads is not None:
            lpips = Lpips(trunk=self.lpips_trunk, heads=self.lpips_heads)
        method = load(self.weights, engine=self.engine, device=self.device)
        with progress_bar("scoring", unit="clips") as progress:

            def show(done: int, total: int) -> None:
                progress(done, total, 0.0)

            report = reconstruct(
                method,
                self.data,
                videos=self.videos,
                output=self.output,
                subset=self.subset,
                seed=self.seed,
                lpips=lpips,
                progress=show,
            )
        print(json.dumps(report.as_dict(), indent=2) if self.json else report.text())
