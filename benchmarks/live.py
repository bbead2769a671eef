"""Live, all on one machine: a browser with a camera, WebRTC both ways, the network.

    python benchmarks/live.py                      # ten minutes, the default weights
    python benchmarks/live.py --seconds 60 --dry   # a quick look, nothing stored
    python benchmarks/live.py --weights BUNDLE --fps 25

Chromium (named by STILLMOTION_BROWSER, or found) gets a fake camera, fed from the example portrait as it
moves, at 480×360. Frames are counted where they are displayed. The delay runs from the capture of a
camera frame to the display of its result, by the browser's clock; see docs/how-to/live.md. Memory is
the server's resident set. The first ten seconds warm up and are not counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

import record
import stillmotion

EXAMPLE = Path(stillmotion.__file__).resolve().parent / "example"
SIZE = (360, 480)
EVERY = 5.0
FPS, DELAY, GROWTH = 20.0, 250.0, 1.05
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic --use-fake-device-for-media-stream "
    "--use-fake-ui-for-media-stream"
)


def camera_file(folder: Path, fps: Fraction) -> Path:
    """The example portrait in motion, as uncompressed video in a camera's shape."""
    stillmotion.animate(EXAMPLE / "astronaut.jpg", EXAMPLE / "driving.safetensors", folder / "a.mp4", sign="never")
    path, (height, width) = folder / "camera.y4m", SIZE
    with stillmotion.open_video(folder / "a.mp4") as video, path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps.numerator}:{fps.denominator} Ip A1:1 C420jpeg\n".encode())
        frames = list(video)
        for frame in [*frames, *frames[::-1]]:  # there and back again, so that the loop has no cut
            square = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(height, height, "rgb24").to_ndarray()
            wide = np.full((height, width, 3), 120, np.uint8)
            wide[:, (width - height) // 2 : (width + height) // 2] = square
            picture = av.VideoFrame.from_ndarray(wide, format="rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + picture.to_ndarray().tobytes())
    return path


def resident(process: int) -> float:
    """Resident set of a process in 10⁶ bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6


def watch(page: Any, server: int, seconds: float) -> dict[str, list[float]]:
    """Sample the page and the server every few seconds."""
    rows: dict[str, list[float]] = {"fps": [], "delay": [], "memory": [], "dropped": []}
    shown, moment, end = page.evaluate("stillmotion.shown"), time.perf_counter(), time.perf_counter() + seconds
    page.evaluate("stillmotion.delays.length = 0")
    while time.perf_counter() < end:
        page.wait_for_timeout(EVERY * 1000)
        numbers, now = page.evaluate("stillmotion.numbers()"), time.perf_counter()
        rows["fps"].append((numbers["shown"] - shown) / (now - moment))
        rows["memory"].append(resident(server))
        rows["dropped"].append(numbers["server"]["dropped"] / max(numbers["server"]["seen"], 1))
        rows["delay"] += page.evaluate("stillmotion.delays.splice(0)")
        shown, moment = numbers["shown"], now
    return rows


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Start the server and the browser, measure, and judge."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("STILLMOTION_BROWSER") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        sys.exit("no chromium here; name one with STILLMOTION_BROWSER")
    with tempfile.TemporaryDirectory() as place:
        camera = camera_file(Path(place), Fraction(options.fps))
        words = [sys.executable, "-m", "stillmotion", "live", "--port", "0"]
        words += ["--weights", options.weights] if options.weights else []
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().split()[-1]
                arguments = [*FLAGS.split(), f"--use-file-for-fake-video-capture={camera}"]
                browser = playwright.chromium.launch(executable_path=found, args=arguments)
                page = browser.new_context(permissions=["camera"]).new_page()
                page.goto(address)
                page.click("#consent-yes")
                page.click("#start")
                page.wait_for_function("stillmotion.last && stillmotion.last.status === 'live'", timeout=120_000)
                page.wait_for_timeout(10_000)
                rows = watch(page, server.pid, options.seconds)
                browser.close()
            finally:
                server.terminate()
    return judge(rows, options)


def judge(rows: dict[str, list[float]], options: argparse.Namespace) -> dict[str, Any]:
    """The result in the common form: five seconds are a round, except for delays, where each frame is one."""
    tenth = max(len(rows["memory"]) // 10, 1)
    growth = max(rows["memory"][-tenth:]) / max(rows["memory"][:tenth])
    fps, late = float(np.median(rows["fps"])), float(np.percentile(rows["delay"], 95))
    first, last = float(np.median(rows["fps"][:tenth])), float(np.median(rows["fps"][-tenth:]))
    units = {"fps": "frames/s", "delay": "ms", "memory": "MB", "dropped": "of 1"}
    bars = {
        "displayed": record.bar(f">= {FPS:g} frames/s", fps, met=fps >= FPS),
        "delay p95": record.bar(f"< {DELAY:g} ms", late, met=late < DELAY),
        "memory, end against start": record.bar(f"<= {GROWTH}", growth, met=growth <= GROWTH),
        "rate, end against start": record.bar(">= 0.95", last / first, met=last / first >= 0.95),
    }
    variants = {name: {**record.spread(rows[name]), "unit": units[name], "rounds": len(rows[name])} for name in rows}
    conditions = {
        "camera": f"{SIZE[1]}x{SIZE[0]} at {options.fps} frames/s",
        "seconds": options.seconds,
        "weights": Path(options.weights).name if options.weights else "default",
    }
    return record.result(
        "live", machine=options.machine, conditions=conditions, variants=variants, ratios={}, bars=bars
    )


def main() -> None:
    """Run, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="shipped name or bundle folder; the default weights otherwise")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to measure")
    parser.add_argument("--fps", default="30", help="frames a second of the camera")
    parser.add_argument("--machine", help="name for the result file; cores and processor family otherwise")
    parser.add_argument("--dry", action="store_true", help="print, store nothing")
    options = parser.parse_args()
    result = run(options)
    record.show(result)
    if not options.dry:
        print(f"  stored in {record.save(result)}")


if __name__ == "__main__":
    main()
