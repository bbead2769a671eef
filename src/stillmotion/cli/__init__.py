"""The command line: find the verb, parse its options, call it, say what went wrong.

Each verb is a module with a dataclass `Command`: its fields are the options, its docstrings the
help, `run` the work. Only the verb that was asked for is imported.
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from stillmotion.core.errors import MissingExtraError, StillmotionError

VERBS = {
    "demo": "animate the example that ships with the package",
    "studio": "open the page: drop a photo and a clip",
    "live": "animate a photo live with your camera",
    "animate": "make a still picture move as a clip does",
    "predict": "make a still picture move by itself",
    "read": "save the motion of a clip as a motion file",
    "verify": "say whether a file was marked as generated, and changed since",
    "methods": "list methods, presets and weights",
    "convert": "turn a published checkpoint into a weights bundle",
    "export": "give a bundle the stages that run without torch",
    "train": "train a preset on a folder of clips",
    "ablate": "train the first-order method without its parts, and tabulate what each is good for",
    "reconstruct": "score weights on test clips",
    "evaluate": "score weights beside each other, in one table with intervals",
    "compare": "show what several weights make of one picture and clip",
    "data check": "say what is wrong with a training set before a run does",
    "prepare faces": "cut clips of faces out of long videos",
    "prepare bodies": "cut clips of persons out of long videos",
    "prepare folder": "bring whole videos to one size, and split them",
    "render shapes": "render moving shapes, a first training set",
    "render heads": "render talking heads from rigged avatars",
    "render benchmark": "render the clips that weights are scored on",
}
"""Every verb and what it does; `a b` lives in the module `a_b`."""

EXTRAS = {
    "onnxruntime": "onnx",
    "c2pa": "provenance",
    "cryptography": "provenance",
    "gradio": "studio",
    "fastapi": "studio",
    "uvicorn": "studio",
    "aiortc": "studio",
    "pyvirtualcam": "camera",
    "ray": "ray",
}
"""Modules that are not in the base, by the extra that brings them; all others come with `train`."""
_TRAIN = {"torch", "lightning_fabric", "tensorboard", "torchmetrics", "onnx", "onnxscript", "moderngl", "meshoptimizer"}

OK, FAILED, USAGE, STOPPED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: Arguments after the program's name; None takes them from the process.

    Returns:
        Exit status: 0, 1 for input we cannot use, 2 for a command line we cannot, 130 for Ctrl-C, 143 for a kill.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    is_debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with _tidy_end():
            return _dispatch(words)
    except SystemExit as stop:  # tyro has printed its help or what is wrong with an option; or we were told to end
        return stop.code if isinstance(stop.code, int) else FAILED
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if is_debug:
            raise
        return _explain(error)


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Told to end (a kill, a terminal that is closed), leave by an exception, so that no half file stays."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return OK if words else USAGE
    if words[0] == "--version":
        from stillmotion import __version__

        print(f"stillmotion {__version__}")
        return OK
    verb = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in VERBS), None)
    if verb is None:
        return _unknown(words)
    module = import_module(f"stillmotion.cli.{verb.replace(' ', '_')}")
    from stillmotion.cli.options import parse

    return parse(module.Command, verb=verb, words=words[len(verb.split()) :]).run() or OK


def overview() -> str:
    """What `stillmotion --help` prints."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: stillmotion COMMAND ...",
            "",
            "Bring a still image to motion: a photo, drawing or sprite moves as a driving video does.",
            "",
            *lines,
            "",
            "`stillmotion COMMAND --help` lists the options of one; --debug shows where an error came from.",
        ]
    )


def _unknown(words: list[str]) -> int:
    group = [verb for verb in VERBS if verb.startswith(f"{words[0]} ")]
    said = " ".join(words[:2]) if group and len(words) > 1 else words[0]
    close = difflib.get_close_matches(said, VERBS, n=1)
    hint = f"did you mean `stillmotion {close[0]}`?" if close else "`stillmotion --help` lists the commands"
    if group and not close:
        hint = " or ".join(f"`stillmotion {verb}`" for verb in group)
    _say(f"there is no command {said!r}", hint)
    return USAGE


def _explain(error: BaseException) -> int:
    """Say what went wrong in one line and what to do in another; bugs keep their traceback."""
    if isinstance(error, KeyboardInterrupt):
        notes = getattr(error, "__notes__", [])
        _say("stopped", notes[0] if notes else "no file was left half-written")
        return STOPPED
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in {*EXTRAS, *_TRAIN}:
        name = (error.name or "").split(".")[0]
        extra = EXTRAS.get(name, "train")
        error = MissingExtraError(
            f"this command needs {name}, which is not installed", hint=f"pip install 'stillmotion[{extra}]'"
        )
    if isinstance(error, StillmotionError):
        _say(error.message, error.hint or "`--debug` shows where this came from")
    elif isinstance(error, OSError) and error.errno:
        _say(f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror), "check the disk")
    else:
        raise error
    return FAILED


def _say(message: str, hint: str) -> None:
    for label, text in (("error", message), ("hint", hint)):
        print(f"{label}: {' '.join(text.split())}", file=sys.stderr)
