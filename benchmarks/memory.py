"""Does a long clip cost more memory than a short one? It must not: frames stream.

    python benchmarks/memory.py                     # 1 and 10 minutes of 720p, the default weights
    python benchmarks/memory.py --seconds 10 60     # a quick look
    python benchmarks/memory.py --weights BUNDLE

Each length is animated in its own process, from file to file, with the default engine; the number is
the largest resident set that process ever had.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

import record

SIZE = (720, 1280)
SHARE = 1.05  # of the short clip's peak
MEGABYTES = 900


def repeat_clip(short: Path, output: Path, times: int) -> None:
    """The same packets again and again: a long clip without encoding one."""
    with av.open(str(output), "w") as writer:
        stream, length = None, 0
        for _ in range(times):
            with av.open(str(short)) as reader:
                video = reader.streams.video[0]
                stream = stream or writer.add_stream_from_template(video)
                last = 0
                for packet in reader.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + length, packet.dts + length
                    last = max(last, packet.pts + packet.duration)
                    packet.stream = stream
                    writer.mux(packet)
                length = last


def child(weights: str | None, driving: str, output: str) -> None:
    """Animate, then print the peak in kilobytes and the number of frames."""
    import numpy as np

    import stillmotion

    source = np.full((256, 256, 3), 128, np.uint8)
    source[64:192, 96:160] = 220
    report = stillmotion.animate(source, driving, output, weights=weights, crop_source="none", crop_driving="none")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, report.frames)


def measure(weights: str | None, driving: Path) -> tuple[float, int]:
    """Peak resident set in megabytes (10⁶ bytes) and frames written."""
    with tempfile.TemporaryDirectory() as place:
        arguments = [__file__, "--child", str(driving), str(Path(place) / "out.mp4")]
        arguments += ["--weights", weights] if weights else []
        done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
    peak, frames = done.stdout.split()[-2:]
    return int(peak) * 1024 / 1e6, int(frames)


def compare(weights: str | None, seconds: list[int], machine: str | None) -> dict[str, Any]:
    """Peaks of all lengths; the first is the short one that the last is held against."""
    from speed import write_clip

    short, long = seconds[0], seconds[-1]
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        piece = Path(place) / "piece.mp4"
        write_clip(piece, frames=25 * short, size=SIZE)
        for length in seconds:
            clip = Path(place) / f"{length}.mp4"
            repeat_clip(piece, clip, max(1, length // short))
            peak, frames = measure(weights, clip)
            rows[f"{length} s"] = {
                "median": peak,
                "p10": peak,
                "p90": peak,
                "unit": "MB",
                "rounds": 1,
                "frames": frames,
            }
    growth = rows[f"{long} s"]["median"] / rows[f"{short} s"]["median"]
    peak = max(row["median"] for row in rows.values())
    bars = {
        f"{long} s against {short} s": record.bar(f"<= {SHARE}", growth, met=growth <= SHARE),
        "peak": record.bar(f"< {MEGABYTES} MB", peak, met=peak < MEGABYTES),
    }
    conditions = {"driving": "720p, 25 frames/s", "weights": Path(weights).name if weights else "default"}
    return record.result("memory/animate", machine=machine, conditions=conditions, variants=rows, ratios={}, bars=bars)


def main() -> None:
    """Run, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="shipped name or bundle folder; the default weights otherwise")
    parser.add_argument("--seconds", type=int, nargs="+", default=[60, 600], help="lengths, the shortest first")
    parser.add_argument("--machine", help="name for the result file; cores and processor family otherwise")
    parser.add_argument("--dry", action="store_true", help="print, store nothing")
    parser.add_argument("--child", nargs=2, metavar=("DRIVING", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.weights, *options.child)
        return
    run = compare(options.weights, options.seconds, options.machine)
    record.show(run)
    if not options.dry:
        print(f"  stored in {record.save(run)}")


if __name__ == "__main__":
    main()
