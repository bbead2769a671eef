"""A child process that works for the pages: one job at a time, cancelled or killed without harm to them."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from time import monotonic
from typing import Any

from stillmotion.core import errors
from stillmotion.core.errors import EngineError, StillmotionError
from stillmotion.server.child import Progress


class CancelledError(StillmotionError):
    """The job was cancelled by whoever asked for it."""


class Worker:
    """Starts a module as a child process when it is first needed, and again whenever it is gone.

    Thread-safe; requests wait for each other.

    Args:
        module: Module to run, such as `stillmotion.studio.jobs`; it calls `server.child.serve`.
        seconds: Longest time that one request may take; after it the child is killed.
    """

    def __init__(self, module: str, *, seconds: float) -> None:
        self._module, self._seconds = module, seconds
        self._turn = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._is_cancelled = False
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Process number of the child; None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the child ahead of the first request, so that it has loaded when one comes."""
        with self._turn:
            self._ensure()

    def ask(self, verb: str, *, progress: Progress | None = None, **arguments: Any) -> dict[str, Any]:
        """Have the child do something and wait for it.

        Args:
            verb: One of the verbs the child serves.
            progress: Called with frames done, frames expected and speed.
            **arguments: What JSON can hold.

        Raises:
            StillmotionError: What the child raised.
            CancelledError: `cancel` was called meanwhile.
            EngineError: The child died or took too long.
        """
        with self._turn:
            self._is_cancelled = False
            process = self._ensure()
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps({"verb": verb, "arguments": arguments}) + "\n")
                process.stdin.flush()
            except OSError:
                self._kill()
                raise self._lost() from None
            return self._wait(progress)

    def cancel(self) -> None:
        """End the running request by ending the child; the next request starts another."""
        self._is_cancelled = True
        self._kill()

    def close(self) -> None:
        """End the child for good."""
        self._is_closed = True
        self._kill()

    def _wait(self, progress: Progress | None) -> dict[str, Any]:
        deadline = monotonic() + self._seconds
        while True:
            try:
                line = self._answers.get(timeout=max(deadline - monotonic(), 0.01))
            except queue.Empty:
                self._kill()
                raise EngineError(
                    f"this took more than {self._seconds:g} seconds and was stopped", hint="use a shorter clip"
                ) from None
            if line is None:
                self._kill()
                raise self._lost()
            answer = json.loads(line)
            if "progress" in answer and progress is not None:
                progress(*answer["progress"])
            elif "error" in answer:
                raise error_from(**answer["error"])
            elif "done" in answer:
                done: dict[str, Any] = answer["done"]
                return done

    def _lost(self) -> StillmotionError:
        if self._is_cancelled:
            return CancelledError("cancelled", hint="nothing was kept")
        if self._is_closed:
            return EngineError("the server is shutting down", hint="start it again")
        return EngineError(
            "the process that does the work has stopped", hint="try again; a new one has taken its place"
        )

    def _ensure(self) -> subprocess.Popen[str]:
        if self._is_closed:
            raise EngineError("the server is shutting down", hint="start it again")
        if self._process is None or self._process.poll() is not None:
            self._answers = queue.Queue()
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        return self._process

    def _kill(self) -> None:
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                try:
                    process.stdin.close()
                except OSError:
                    return


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            answers.put(line)
    answers.put(None)


def error_from(kind: str, message: str, hint: str) -> StillmotionError:
    """An error raised in another process; only ours are known by name, anything else is an `EngineError`."""
    found = getattr(errors, kind, None)
    known = found if isinstance(found, type) and issubclass(found, StillmotionError) else EngineError
    return known(message, hint=hint)
