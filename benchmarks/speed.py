"""How fast a frame is, against the network run the published way.

    python benchmarks/speed.py vox-256              # networks: published, cached, engines
    python benchmarks/speed.py compact-256          # the same for the compact network
    python benchmarks/speed.py animate --weights W  # file to file, decoding and encoding included

Every variant lives in its own process (two thread pools in one process slow each other) and makes
one frame when it is its turn, round after round, so that whatever else the machine does hits all
alike. `published` is the plain eager network as its own script runs it: the source encoded again for
every frame, blur-then-pick anti-aliasing, the warped source made although nobody looks at it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import record

Frame = Callable[[], np.ndarray]
BASE = "published"
FAST = "openvino"
SOURCE, DRIVING = 11, 12  # seeds of the two pictures


def published(bundle: Path, threads: int) -> Frame:
    """Plain eager torch, nothing kept between frames but the source's keypoints."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from networks import smooth_picture
    from stillmotion.core.frame import to_planes
    from stillmotion.methods.firstorder.config import FirstOrderConfig
    from stillmotion.methods.firstorder.weights import open_networks
    from stillmotion.nn.blocks import AntiAliasDown
    from stillmotion.nn.rewrite.tree import replace_modules
    from stillmotion.runtime.bundle import Bundle

    class BlurThenPick(nn.Module):
        def __init__(self, down: AntiAliasDown) -> None:
            super().__init__()
            self.weight, self.padding, self.stride = down.weight, down.padding, down.stride

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            blurred = F.conv2d(image, self.weight, padding=self.padding, groups=image.shape[1])
            return blurred[:, :, :: self.stride, :: self.stride]

    torch.set_num_threads(threads)
    opened = Bundle.open(bundle)
    size = opened.config(FirstOrderConfig).size
    networks = {
        name: replace_modules(network, lambda part: BlurThenPick(part) if isinstance(part, AntiAliasDown) else None)
        for name, network in open_networks(opened).items()
    }
    detector, generator = networks["kp_detector"], networks["generator"]
    source, driving = (torch.from_numpy(to_planes(smooth_picture(s, size)[None])) for s in (SOURCE, DRIVING))
    with torch.inference_mode():
        value, jacobian = detector(source)

    def frame() -> np.ndarray:
        with torch.inference_mode():
            driven, turned = detector(driving)
            out = generator(source, value, driven, jacobian, turned)
            if not generator.composite:
                generator.deform(source, out["flow"])
            return out["prediction"].numpy()

    return frame


def by_engine(bundle: Path, threads: int, engine: str) -> Frame:
    """`read` and `render` of the loaded method; the source is encoded once."""
    from networks import smooth_picture
    from stillmotion.methods import load

    if engine == "torch":
        import torch

        torch.set_num_threads(threads)
    method = load(bundle, engine=engine, device="cpu" if engine == "torch" else None, threads=threads)
    size = method.spec.size[0]
    state = method.encode([smooth_picture(SOURCE, size)])
    driving = smooth_picture(DRIVING, size)[None]
    return lambda: method.render(state, method.read(driving)).planes


def worker(make: Callable[..., Frame], arguments: tuple[Any, ...], clock: str, link: Connection) -> None:
    """Make a frame whenever told to; answer with its time in milliseconds (first: the frame itself)."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    frame = make(*arguments)
    for _ in range(2):
        planes = frame()
    link.send(planes)
    while link.recv():
        start = now()
        frame()
        link.send((now() - start) * 1e3)


def take_turns(
    variants: dict[str, tuple[Any, ...]], *, rounds: int, clock: str
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Frames of all variants, and their times round by round."""
    context = multiprocessing.get_context("spawn")
    links, frames = {}, {}
    for name, (make, *arguments) in variants.items():
        links[name], end = context.Pipe()
        context.Process(target=worker, args=(make, tuple(arguments), clock, end), daemon=True).start()
        end.close()
        frames[name] = links[name].recv()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, link in links.items():
            time.sleep(0.02)  # lets the threads of the last one stop spinning
            link.send(True)
            times[name].append(link.recv())
    for link in links.values():
        link.send(False)
    return frames, times


def networks_only(preset: str, *, rounds: int, threads: int, clock: str, machine: str | None) -> dict[str, Any]:
    """Every variant of one preset."""
    from networks import CONDITIONING, random_bundle
    from stillmotion.methods.firstorder.config import PRESETS

    with tempfile.TemporaryDirectory() as place:
        fast = random_bundle(PRESETS[preset](), Path(place))
        plain = random_bundle(PRESETS[preset](), Path(place), optimise=False)
        variants: dict[str, tuple[Any, ...]] = {
            BASE: (published, fast, threads),
            "torch, source kept": (by_engine, fast, threads, "torch"),
            "openvino, not rewritten": (by_engine, plain, threads, "openvino"),
            FAST: (by_engine, fast, threads, "openvino"),
            "onnxruntime": (by_engine, fast, threads, "onnx"),
        }
        frames, times = take_turns(variants, rounds=rounds, clock=clock)
    errors = {name: float(np.abs(frame - frames[BASE]).max()) for name, frame in frames.items()}
    rows = {
        name: record.spread(ms)
        | {"unit": "ms", "rounds": len(ms), "fps": 1e3 / float(np.median(ms)), "max_abs_error": errors[name]}
        for name, ms in times.items()
    }
    ratios = {f"{BASE} / {name}": record.paired(times[BASE], times[name]) for name in variants if name != BASE}
    gain = ratios[f"{BASE} / {FAST}"]["median"]
    bars = {"frame error of the default engine": record.bar("<= 1e-3", errors[FAST], met=errors[FAST] <= 1e-3)}
    if preset == "vox-256":
        bars["default engine against published"] = record.bar(">= 3.3 times", gain, met=gain >= 3.3)
    conditions = {
        "threads": threads,
        "clock": clock,
        "batch": 1,
        "warm_up_frames": 2,
        "weights": f"random: {CONDITIONING}",
    }
    return record.result(
        f"speed/{preset}", machine=machine, conditions=conditions, variants=rows, ratios=ratios, bars=bars
    )


def write_clip(path: Path, *, frames: int, size: tuple[int, int]) -> None:
    """A clip of a slowly turning picture at 25 frames a second."""
    from networks import smooth_picture
    from stillmotion.video.write import VideoWriter

    height, width = size
    picture = smooth_picture(DRIVING, max(size))
    with VideoWriter(path, fps=Fraction(25), size=size) as writer:
        for i in range(frames):
            writer.write(np.ascontiguousarray(np.roll(picture, 2 * i, axis=1)[:height, :width]))


def file_to_file(weights: str | None, *, seconds: int, rounds: int, machine: str | None) -> dict[str, Any]:
    """`stillmotion.animate` on a generated clip of the network's size, default engine."""
    import stillmotion
    from networks import smooth_picture

    method = stillmotion.load(weights)
    size = method.spec.size
    speeds = []
    with tempfile.TemporaryDirectory() as place:
        clip = Path(place) / "driving.mp4"
        write_clip(clip, frames=25 * seconds, size=size)
        for i in range(rounds + 1):
            report = stillmotion.animate(
                smooth_picture(SOURCE, size[0]),
                clip,
                Path(place) / f"{i}.mp4",
                method=method,
                crop_source="none",
                crop_driving="none",
            )
            speeds.append(report.speed)
    speed = record.spread(speeds[1:])
    conditions = {"weights": method.spec.weights, "engine": report.engine, "frames": report.frames, "size": f"{size}"}
    return record.result(
        f"speed/animate-{method.spec.weights}",
        machine=machine,
        conditions=conditions,
        variants={"animate": speed | {"unit": "frames/s", "rounds": rounds}},
        ratios={},
        bars={"live speed": record.bar(">= 25 frames/s", speed["median"], met=speed["median"] >= 25)},
    )


def main() -> None:
    """Run, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", help="a preset such as vox-256, or `animate`")
    parser.add_argument("--weights", help="for `animate`: shipped name or bundle folder; the default weights otherwise")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=10, help="for `animate`: length of the clip")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time, for a busy machine; meant for --threads 1",
    )
    parser.add_argument("--machine", help="name for the result file; cores and processor family otherwise")
    parser.add_argument("--dry", action="store_true", help="print, store nothing")
    options = parser.parse_args()
    if options.what == "animate":
        rounds = min(options.rounds, 5)
        run = file_to_file(options.weights, seconds=options.seconds, rounds=rounds, machine=options.machine)
    else:
        run = networks_only(
            options.what,
            rounds=options.rounds,
            threads=options.threads,
            clock=options.clock,
            machine=options.machine,
        )
    record.show(run)
    if not options.dry:
        print(f"  stored in {record.save(run)}")


if __name__ == "__main__":
    main()
