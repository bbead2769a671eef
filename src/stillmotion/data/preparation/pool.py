"""Many jobs at once: by processes of this machine, or by a Ray cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from stillmotion.core.errors import EngineError, MissingExtraError, StillmotionError

Answer = TypeVar("Answer")
Lost = Callable[[int], Answer]
"""From a job's number to the answer for a job whose process died."""

_LOCAL = {"include_dashboard": False, "object_store_memory": 200 << 20}  # records are small, frames stay where they are
_QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run_here(jobs: Sequence[Callable[[], Answer]]) -> Iterator[tuple[int, Answer]]:
    """One after the other, in this process."""
    for index, job in enumerate(jobs):
        yield index, job()


def _call(job: Callable[[], Answer]) -> Answer:
    cv2.setNumThreads(1)  # processes are the parallelism
    return job()


def _start() -> None:
    """In a new process: leave Ctrl-C to the parent, and end with it, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_processes(
    jobs: Sequence[Callable[[], Answer]], *, workers: int, lost: Lost[Answer]
) -> Iterator[tuple[int, Answer]]:
    """On several processes, in the order in which they end.

    When a process dies (a decoder crashes, the system kills it for its memory), the jobs that were
    running then are done again one by one, each in a process of its own: only the one that kills
    its process alone is lost.

    Args:
        jobs: What to call; they travel to the processes.
        workers: Processes.
        lost: The answer for a job that killed its process.

    Yields:
        The job's number and its answer.
    """
    waiting = list(range(len(jobs)))[::-1]
    suspects: list[int] = []
    while waiting or suspects:
        if suspects:
            index = suspects.pop()
            with _pool(1) as pool:
                future = pool.submit(_call, jobs[index])
                try:
                    answer = future.result()
                except BrokenProcessPool:
                    answer = lost(index)
            yield index, answer
            continue
        with _pool(min(workers, len(waiting))) as pool:
            running: dict[Future[Answer], int] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < workers:
                        running[pool.submit(_call, jobs[waiting[-1]])] = waiting[-1]
                        waiting.pop()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        answer = future.result()
                        yield running.pop(future), answer
            except BrokenProcessPool:
                suspects = list(running.values())


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update({name: value for name, value in _QUIET.items() if before[name] is None})
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        # After Ctrl-C nobody waits for a video of an hour: what it has not finished is done again.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def run_ray(jobs: Sequence[Callable[[], Answer]], *, workers: int, lost: Lost[Answer]) -> Iterator[tuple[int, Answer]]:
    """On a Ray cluster: the one that the environment variable `RAY_ADDRESS` names, or one made on this machine.

    All machines must see the videos and the output folder under the same paths.

    Args:
        jobs: See `run_processes`.
        workers: Processor cores of a cluster made here; of another cluster, all that it has are used.
        lost: See `run_processes`.

    Raises:
        MissingExtraError: Ray is not installed.
        EngineError: The cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        hint = "pip install 'stillmotion[ray]'"
        raise MissingExtraError("--ray needs ray, which is not installed", hint=hint) from error
    is_ours = not ray.is_initialized()
    if is_ours:
        _join(ray, workers)
    try:
        yield from _on_ray(ray, jobs, lost)
    finally:
        if is_ours:
            ray.shutdown()


def _join(ray: Any, workers: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address} if address else dict(_LOCAL, num_cpus=workers)
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises bare ones, for a node that does not start in time
        raise EngineError(
            f"no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]}",
            hint="start one with `ray start --head`, or unset RAY_ADDRESS",
        ) from error


def _on_ray(ray: Any, jobs: Sequence[Callable[[], Answer]], lost: Lost[Answer]) -> Iterator[tuple[int, Answer]]:
    remote = ray.remote(num_cpus=1, max_retries=1)(_call)
    # Twice as many as run at once: no machine waits, and nothing piles up.
    window = max(int(2 * ray.cluster_resources().get("CPU", 1)), 2)
    waiting = list(range(len(jobs)))[::-1]
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < window:
                index = waiting.pop()
                running[remote.remote(jobs[index])] = index
            for reference in ray.wait(list(running), num_returns=1)[0]:
                index = running.pop(reference)
                yield index, _answer(ray, reference, lost, index)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _answer(ray: Any, reference: Any, lost: Lost[Answer], index: int) -> Answer:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, StillmotionError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError:
        return lost(index)
