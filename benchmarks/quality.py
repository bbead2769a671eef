"""Train every method at equal budget at 64×64 and 128×128, score all alike, tabulate; the ablation is trained beside.

    python benchmarks/quality.py -o OUT --shapes DIR --actions DIR --heads DIR --bench DIR
        --features FILE --lpips-heads FILE [--jobs 2] [--large] [--only METHOD/SET/SEED ...] [--table]

A set whose folder is not given is left out. Every training has a folder, OUT/<set>/<row>/seed-<n>; one that is done is
not made again. The order is seed 0 of everything first. `--table` trains nothing and writes, from what is done,
OUT/quality.md, .csv, .json, OUT/quality-<set>.jpg and for each set with ablation rows OUT/<set>/ablation.*.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import torch

from quality import heads
from quality.jobs import EXTRA, PAIRS, Job, all_jobs, given_sets, ground_of, is_done, reference_of, trial_of
from quality.sets import SIZES, arrange, shows_heads
from quality.tables import write_all
from stillmotion.core.errors import StillmotionError
from stillmotion.evaluate.candidates import Rebuilding, open_candidate
from stillmotion.train.trials import bundle_of, known, make
from stillmotion.video.target import replacing


def pairs(word: str) -> tuple[str, int]:
    """`SET=NUMBER`, or `NUMBER` for every set, as pattern and number."""
    name, _, number = word.rpartition("=")
    return name or "*", int(number)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    for name, what in (("shapes", "published set"), ("actions", "published set"), ("heads", "rendered clips")):
        parser.add_argument(f"--{name}", type=Path, help=f"{what} to train on")
    parser.add_argument("--large", action="store_true", help="heads-1 at 128×128 too, with one seed")
    parser.add_argument("--bench", type=Path, help="where heads-1 was rendered")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1: perceptual terms and LPIPS")
    parser.add_argument("--lpips-heads", type=Path, required=True)
    parser.add_argument(
        "--pairs",
        nargs="+",
        type=pairs,
        default=PAIRS,
        help="that each training sees: NUMBER, or SET=NUMBER",
    )
    parser.add_argument("--clips", type=int, default=24, help="test clips of each set, evenly spread")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ablation-seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, one thread each")
    parser.add_argument("--only", nargs="*", default=["*"], help="METHOD/SET/SEED, with * for any")
    parser.add_argument("--table", action="store_true", help="write the tables and pictures of what is done")
    parser.add_argument("--here", action="store_true", help="train in this process, one after the other")
    return parser.parse_args(words)


def do(job: Job, options: argparse.Namespace) -> None:
    """Train and score, in this process."""
    began = time.monotonic()
    trial, ground = trial_of(job, options), ground_of(job.set, options)
    outcome = make(trial, ground)
    if shows_heads(job.set) and not (trial.folder / EXTRA).exists():
        candidate = open_candidate(str(bundle_of(trial)))
        assert isinstance(candidate, Rebuilding)
        keep(
            trial.folder / EXTRA,
            heads.score_method(
                candidate.method, options.bench, heads.open_finder(), size=SIZES[job.set], most=options.clips
            ),
        )
    print(
        f"{job.name}: L1 {outcome.scores['l1_paper']:.4f} (copying {outcome.copying['l1_paper']:.4f}), "
        f"{outcome.processor_seconds / max(outcome.pairs, 1) * 1000:.1f} ms of processor time a pair, "
        f"{outcome.seconds:.0f} s of training, {time.monotonic() - began:.0f} s in all",
        flush=True,
    )


def keep(path: Path, content: object) -> None:
    """Write JSON beside its place and rename it."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def prepare(options: argparse.Namespace) -> None:
    """The sets, and on heads-1 what copying and the right answer score."""
    options.output.mkdir(parents=True, exist_ok=True)
    for name, data in given_sets(options).items():
        arrange(name, data, options.output / "data", most=options.clips, bench=options.bench)
        path = reference_of(name, options)
        if shows_heads(name) and not path.exists():
            find, rules = heads.open_finder(), {"size": SIZES[name], "most": options.clips}
            judges = {"copying": heads.score_copying, "truth": heads.score_truth}
            keep(path, {who: judge(options.bench, find, **rules) for who, judge in judges.items()})


def work(jobs: Sequence[Job], options: argparse.Namespace) -> list[Job]:
    """Train what is not done, several at a time, each in a process with one thread; returns those that failed."""
    waiting, failed = [job for job in jobs if not is_done(job, options)], []
    running: dict[Future[int], Job] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        while waiting or running:
            for job in [job for job in waiting if is_ready(job, [*waiting, *running.values()])]:
                if len(running) < options.jobs:
                    waiting.remove(job)
                    running[pool.submit(start, job)] = job
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                if future.result():
                    failed.append(job)
    return failed


def is_ready(job: Job, unfinished: Sequence[Job]) -> bool:
    """Whether nothing that it needs is still to come."""
    return job.needs is None or job.needs not in unfinished


def start(job: Job) -> int:
    """One job in a process of its own; its exit status."""
    words = [*sys.argv[1:], "--here", "--only", job.name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run([sys.executable, __file__, *words], env=environment, check=False).returncode


def main() -> None:
    """Train, or tabulate."""
    options = parse()
    torch.set_num_threads(1)
    jobs = all_jobs(options)
    if options.table:
        grounds = {name: ground_of(name, options) for name in given_sets(options)}
        done = [(job, known(trial_of(job, options), grounds[job.set])) for job in jobs if is_done(job, options)]
        print(write_all([(job, outcome) for job, outcome in done if outcome is not None], options, grounds))
        return
    prepare(options)
    if options.here:
        for job in jobs:
            try:
                do(job, options)
            except StillmotionError as error:
                sys.exit(f"{job.name}: {error.message} ({error.hint})")
        return
    failed = work(jobs, options)
    print(f"{len(jobs) - len(failed)} of {len(jobs)} done" + "".join(f"\nfailed: {job.name}" for job in failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
