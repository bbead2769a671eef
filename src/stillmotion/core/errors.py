"""Everything that can go wrong, as one tree.

StillmotionError
├── ImageError       (ValueError)    a source picture that cannot be used
├── VideoError       (ValueError)    a clip that cannot be read
├── MotionError      (ValueError)    motion that is malformed, or a motion file that is
├── CropError        (ValueError)    a crop that does not fit
│   └── NoFaceError                  no face where one was asked for
├── ConfigError      (ValueError)    a preset, option or YAML file that makes no sense
├── DataError        (ValueError)    a training set that cannot be trained on
├── WeightsError     (ValueError)    a bundle or checkpoint that cannot be loaded
├── EngineError      (RuntimeError)  a runtime that cannot run a stage
├── MissingExtraError (ImportError)  an optional part of stillmotion that is not installed
└── OutputError      (OSError)       a file that cannot be written

A message says what was wrong and what was seen; `hint` says what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StillmotionError(Exception):
    """Root of every error this package raises on purpose.

    Args:
        message: What was wrong and what was seen, one line.
        hint: What the user can do about it, one line; empty when there is nothing to say.
        **fields: Facts for programs (`path=...`, `seen=...`); each becomes an attribute.
    """

    def __init__(self, message: str, *, hint: str = "", **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __getattr__(self, name: str) -> object:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __str__(self) -> str:
        return self.message


class ImageError(StillmotionError, ValueError):
    """A source picture that cannot be used."""


class VideoError(StillmotionError, ValueError):
    """A clip that cannot be read."""


class MotionError(StillmotionError, ValueError):
    """Motion that is malformed, or a motion file that is."""


class CropError(StillmotionError, ValueError):
    """A crop that does not fit the picture."""


class NoFaceError(CropError):
    """No face was found where one was asked for."""


class ConfigError(StillmotionError, ValueError):
    """A preset, option or YAML file that makes no sense."""


class DataError(StillmotionError, ValueError):
    """A training set that cannot be trained on."""


class WeightsError(StillmotionError, ValueError):
    """A bundle or checkpoint that cannot be loaded."""


class EngineError(StillmotionError, RuntimeError):
    """A runtime that cannot run a stage."""


class MissingExtraError(StillmotionError, ImportError):
    """An optional part of stillmotion that is not installed."""


class OutputError(StillmotionError, OSError):
    """A file that cannot be written."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint: `did you mean 'x'?` for the closest of `known`, or a list of them all, or an empty string."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is {', '.join(names)}" if names else ""
