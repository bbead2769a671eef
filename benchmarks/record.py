"""What every benchmark here shares: how a result is summed up, stored and shown.

One file per version and machine, `results/<version>/<machine>.json`, holds the latest run of each
benchmark:

    {"speed/vox-256": {"name", "version", "machine", "date", "conditions": {...},
                       "variants": {name: {"median", "p10", "p90", "unit", "rounds", ...}},
                       "ratios": {"a / b": {"median", "p10", "p90"}},
                       "bars": {what: {"wanted", "got", "met"}}}}

Ratios are paired: both sides of one were measured in turn, within one run.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import stillmotion

RESULTS = Path(__file__).resolve().parent / "results"


def machine_name() -> str:
    """Cores and family of the processor, such as `2-core-epyc`."""
    info = Path("/proc/cpuinfo")
    model = next((line for line in info.read_text().splitlines() if "model name" in line), "") if info.exists() else ""
    known = re.search(r"epyc|xeon|ryzen|core|apple|neoverse", (model or platform.processor()).lower())
    return f"{os.cpu_count()}-core-{known.group() if known else platform.machine().lower()}"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return {"median": round(float(middle), 4), "p10": round(float(low), 4), "p90": round(float(high), 4)}


def paired(top: Sequence[float], bottom: Sequence[float]) -> dict[str, float]:
    """Spread of the quotients of what was measured in turn."""
    return spread([a / b for a, b in zip(top, bottom, strict=True)])


def bar(wanted: str, got: float, *, met: bool) -> dict[str, Any]:
    """A promise and whether this run keeps it."""
    return {"wanted": wanted, "got": round(got, 6), "met": met}


def result(
    name: str,
    *,
    machine: str | None,
    conditions: dict[str, Any],
    variants: dict[str, dict[str, Any]],
    ratios: dict[str, dict[str, float]],
    bars: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """One run in the common form."""
    return {
        "name": name,
        "version": stillmotion.__version__,
        "machine": machine or machine_name(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "conditions": conditions,
        "variants": variants,
        "ratios": ratios,
        "bars": bars,
    }


def save(run: dict[str, Any]) -> Path:
    """Put a run in its place beside the other benchmarks of this version and machine."""
    path = RESULTS / run["version"] / f"{run['machine']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    known[run["name"]] = run
    beside = path.with_suffix(".json.partial")
    beside.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
    beside.replace(path)
    return path


def show(run: dict[str, Any]) -> None:
    """Print a run as a table."""
    print(f"\n{run['name']}  ·  stillmotion {run['version']}  ·  {run['machine']}  ·  {run['date']}")
    print("  " + ", ".join(f"{key}: {value}" for key, value in run["conditions"].items()))
    for name, row in run["variants"].items():
        rest = {k: v for k, v in row.items() if k not in ("median", "p10", "p90", "unit")}
        facts = "  ".join(f"{key} {value:.4g}" for key, value in rest.items())
        print(f"  {name:24s} {row['median']:9.1f} {row['unit']} ({row['p10']:.1f} to {row['p90']:.1f})  {facts}")
    for name, row in run["ratios"].items():
        print(f"  {name:40s} {row['median']:6.2f} ({row['p10']:.2f} to {row['p90']:.2f})")
    for name, row in run["bars"].items():
        print(f"  {'met' if row['met'] else 'MISSED'}: {name}: wanted {row['wanted']}, got {row['got']:.4g}")
