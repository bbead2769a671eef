"""Options that several verbs share, and how the command line becomes a `Command`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import tyro

from stillmotion.core.errors import ConfigError

Source = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
Driving = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DRIVING")]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


class Runnable(Protocol):
    """What a verb's `Command` is."""

    def run(self) -> int | None: ...


CommandType = TypeVar("CommandType", bound=Runnable)


def parse(command: type[CommandType], *, verb: str, words: list[str]) -> CommandType:
    """Build a verb's command from its words.

    Raises:
        SystemExit: Help was asked for (0), or the words make no sense (2); both are printed.
    """
    return tyro.cli(
        command,
        prog=f"stillmotion {verb}",
        args=words,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
    )


@dataclass(kw_only=True)
class Loading:
    """Which weights run, and in what."""

    weights: str | None = None
    """Name of shipped weights, or path of a bundle or a training run (default: the shipped ones)."""
    engine: Literal["auto", "openvino", "onnx", "torch"] = "auto"
    """What runs the network."""
    device: str | None = None
    """For torch, such as cuda."""
    face_model: Path | None = None
    """YuNet file that finds faces, or the word haar for OpenCV's cascades; without it, the shipped networks do."""
    json: bool = False
    """Print the report as JSON on stdout."""


@dataclass(kw_only=True)
class Bundling:
    """How a bundle is stored."""

    keep: Literal["all", "stages", "tensors"] = "all"
    """Keep all, only the stages (runs without torch), or only the tensors (needs torch)."""
    half: bool = False
    """Store numbers as float16: half the size, computed in float32 all the same."""


def parse_rate(text: str | None) -> Fraction | None:
    """Frames per second from `25`, `29.97` or `30000/1001`.

    Raises:
        ConfigError: Anything else.
    """
    if text is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"fps {text!r} is no frame rate", hint="write 25, 29.97 or 30000/1001") from None
