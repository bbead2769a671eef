"""The other side of `server.worker`: a process that opens what visitors bring, within limits.

It reads one request a line, `{"verb", "arguments"}`, and answers in lines: any number of
`{"progress"}`, then `{"done"}` or `{"error"}`. A request is JSON and names a verb of a fixed table:
nothing is unpickled or evaluated.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO, TypeAlias

from stillmotion.core.errors import StillmotionError

Progress: TypeAlias = Callable[[int, int | None, float], object]
Verb: TypeAlias = Callable[..., dict[str, Any]]
"""Takes its arguments and `progress`, returns what JSON can hold."""


def serve(verbs: Mapping[str, Verb], *, memory: int) -> None:
    """Answer requests on stdin until it closes.

    Args:
        verbs: What may be asked.
        memory: Most memory to map, bytes.
    """
    restrict(memory)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        for line in sys.stdin:
            _answer(json.loads(line), verbs, answers)


def restrict(memory: int) -> None:
    """Limit this process: memory, file sizes, no core dumps. Windows has no such limits."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 4 << 30), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _answer(request: dict[str, Any], verbs: Mapping[str, Verb], answers: TextIO) -> None:
    def say(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    def progress(done: int, total: int | None, speed: float) -> None:
        say(progress=[done, total, speed])

    try:
        result = verbs[request["verb"]](**request["arguments"], progress=progress)
    except StillmotionError as error:
        say(error={"kind": type(error).__name__, "message": error.message, "hint": error.hint})
    except MemoryError:
        say(error={"kind": "ImageError", "message": "this does not fit in memory", "hint": "scale it down first"})
    except BrokenPipeError:
        raise
    except Exception as error:
        import traceback

        traceback.print_exc()
        hint = "this is a bug in stillmotion; the terminal it was started in shows more"
        say(error={"kind": "EngineError", "message": f"{type(error).__name__}: {error}", "hint": hint})
    else:
        say(done=result)
