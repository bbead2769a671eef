"""Two processes under torchrun: shares differ, gradients are averaged, weights stay the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_two_processes(clips: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    script = Path(__file__).with_name("processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(clips), str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads((tmp_path / "run" / "facts.json").read_text())
    assert facts.pop("distance from the mean") < 1e-5
    assert facts == {
        "processes": 2,
        "share": [2, 2, 3, 32, 32],
        "shares differ": True,
        "gradients alone differ": True,
        "gradients together agree": True,
        "weights agree": True,
        "step": 3,
    }
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["processes"], record["status"]) == (2, "steps")
