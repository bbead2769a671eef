"""Score weights on heads-1: rendered people that no training saw, with a true answer for every task.

    stillmotion render benchmark heads-1 --avatars AVATARS -o DATA
    python benchmarks/heads_1.py BUNDLE... --data DATA -o OUT [--every 4]
        [--landmarks] [--lpips-trunk FILE --lpips-heads FILE] [--grid CLIPS --face-model YUNET.onnx]

Writes OUT/heads-1.md, .csv, .json and .png. `--benchmark shapes-1` needs no avatars.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from record import machine_name
from stillmotion import __version__, evaluate, methods
from stillmotion.core.errors import StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.data.worlds.benchmark import find_benchmark
from stillmotion.evaluate import speakers
from stillmotion.evaluate.lpips import Lpips
from stillmotion.evaluate.protocol import answer, check_rendered, copying, read_sample, true_warp
from stillmotion.evaluate.scores import FindLandmarks, landmark_scores, score
from stillmotion.evaluate.sheet import sheet_row, sheet_titles
from stillmotion.evaluate.table import BARS, COPYING, TRUE_WARP, TRUTH, Entry, as_csv, as_dict, markdown
from stillmotion.prepare.faces import YuNet, main_face
from stillmotion.video.image import write_image
from stillmotion.video.target import replacing

GRID_HELD_OUT = ("brbk7n", "pwij3p")
"""The two speakers of GRID whose clips are never trained on."""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", help="names or folders of weights")
    parser.add_argument("--data", type=Path, required=True, help="where the benchmark was rendered")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--benchmark", default="heads-1")
    parser.add_argument("--every", type=int, default=1, help="score each n-th frame only (no jitter then)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lpips-trunk", type=Path)
    parser.add_argument("--lpips-heads", type=Path)
    parser.add_argument("--landmarks", action="store_true", help="landmark distance and jitter, by the shipped network")
    parser.add_argument("--grid", type=Path, help="folder of GRID's clips")
    parser.add_argument("--face-model", type=Path, help="YuNet, for the boxes on GRID")
    return parser.parse_args()


def load_all(options: argparse.Namespace) -> dict[str, Method]:
    """The candidates, by name."""
    found: dict[str, Method] = {}
    for bundle in options.bundles:
        method = methods.load(bundle, engine=options.engine, device=options.device, threads=options.threads)
        name = method.spec.weights
        found[name if name not in found else f"{name} ({Path(bundle).name})"] = method
    return found


def baseline_file(options: argparse.Namespace, has_lpips: bool, has_landmarks: bool) -> Path:
    """Where the baselines' scores are kept from run to run: named after all that they depend on."""
    parts = ("scores", "protocol", "flows", "metrics", "lpips")
    code = [(Path(evaluate.__file__).parent / f"{part}.py").read_bytes() for part in parts]
    data = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(options.data.glob("*.npz"))]
    facts = (options.benchmark, options.every, has_lpips, has_landmarks, data)
    key = hashlib.sha256(b"".join([*code, repr(facts).encode()])).hexdigest()[:12]
    return Path(options.data) / f"baselines-{key}.json"


def score_world(
    options: argparse.Namespace,
    candidates: dict[str, Method],
    *,
    lpips: Lpips | None,
    find_landmarks: FindLandmarks | None,
) -> tuple[list[Entry], list[np.ndarray]]:
    """All tasks of the benchmark, and rows for the picture sheet."""
    benchmark = find_benchmark(options.benchmark)
    check_rendered(benchmark, options.data)
    measure = partial(score, lpips=lpips, find_landmarks=find_landmarks)
    kept = baseline_file(options, lpips is not None, find_landmarks is not None)
    baselines: dict[str, dict[str, dict[str, float]]] = json.loads(kept.read_text()) if kept.exists() else {}
    entries, rows = [], []
    for number, task in enumerate(benchmark.tasks):
        start = time.perf_counter()
        sample = read_sample(options.data, task, every=options.every)
        answers = {name: answer(method, sample) for name, method in candidates.items()}
        found = baselines.setdefault(str(number), {})
        if not found:
            found |= {COPYING: measure(copying(sample), sample), TRUE_WARP: measure(true_warp(sample), sample)}
            if find_landmarks is not None:
                found[TRUTH] = landmark_scores(sample.target, sample, find_landmarks)
        found = found | {who: measure(rendering, sample) for who, rendering in answers.items()}
        entries += [Entry(task.kind, sample.name, who, scores) for who, scores in found.items()]
        rows = rows or [sheet_titles(answers)]
        rows.append(sheet_row(sample, answers))
        print(
            f"{number + 1}/{len(benchmark.tasks)} {task.kind} {sample.name}: {time.perf_counter() - start:.1f} s",
            flush=True,
        )
    with replacing(kept) as partial_file:
        partial_file.write_text(json.dumps(baselines), encoding="utf-8")
    return entries, rows


def score_grid(options: argparse.Namespace, candidates: dict[str, Method]) -> list[Entry]:
    """The held-out speakers of GRID."""
    detector = YuNet(options.face_model)
    entries = []
    for clip in GRID_HELD_OUT:
        for name, method in candidates.items():
            frames = speakers.read_speaker(options.grid / f"{clip}.mpg", method, detector)
            boxes = speakers.face_boxes(frames, detector)
            if name == next(iter(candidates)):
                copied = speakers.score_speaker(speakers.copy_first(frames), frames, boxes)
                entries.append(Entry("speakers", clip, COPYING, copied))
            found = speakers.score_speaker(speakers.rebuild(method, frames), frames, boxes)
            entries.append(Entry("speakers", clip, name, found))
    return entries


def landmark_finder() -> tuple[FindLandmarks | None, str]:
    """The shipped landmark network as the scores want it, or why there is none."""
    from stillmotion.session.faces import open_landmarker

    try:
        landmarker = open_landmarker(threads=1)
    except StillmotionError as error:
        return None, error.message

    def find(frame: Frame) -> np.ndarray | None:
        face = main_face(landmarker.find(frame))
        if face is None or face.landmarks is None:
            return None
        return face.landmarks * 2 / [frame.shape[1], frame.shape[0]] - 1

    return find, ""


def save(options: argparse.Namespace, entries: list[Entry], rows: list[np.ndarray], missing: dict[str, str]) -> str:
    """Write the tables and the sheet; returns the page."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    which = "every frame" if options.every == 1 else f"frames 0, {options.every}, {2 * options.every} …"
    facts = f"stillmotion {__version__}, {options.benchmark}, {today}, {machine_name()}, {which}"
    bars = BARS if options.benchmark == "heads-1" else ()
    page = f"{facts}\n\n{markdown(entries, unmeasured=missing, bars=bars)}"
    options.output.mkdir(parents=True, exist_ok=True)
    for suffix, text in (
        ("md", page),
        ("csv", as_csv(entries)),
        ("json", json.dumps({"facts": facts} | as_dict(entries, bars=bars), indent=1) + "\n"),
    ):
        with replacing(options.output / f"{options.benchmark}.{suffix}") as partial:
            partial.write_text(text, encoding="utf-8")
    write_image(options.output / f"{options.benchmark}.png", np.vstack(rows))
    return page


def main() -> None:
    """Score, print, write."""
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    candidates = load_all(options)
    lpips, missing = None, {}
    if options.lpips_trunk and options.lpips_heads:
        lpips = Lpips(trunk=options.lpips_trunk, heads=options.lpips_heads)
    else:
        missing["lpips"] = "no weights given"
    find_landmarks, why = landmark_finder() if options.landmarks else (None, "not asked for: --landmarks")
    if find_landmarks is None:
        missing |= {"landmark_distance": why, "jitter": why}
    entries, rows = score_world(options, candidates, lpips=lpips, find_landmarks=find_landmarks)
    if options.grid and options.face_model:
        entries += score_grid(options, candidates)
    print(save(options, entries, rows, missing))


if __name__ == "__main__":
    main()
