"""Which weights somebody means, and how rows of a table are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.weights import is_shipped


def find_weights(given: str) -> str:
    """The weights that somebody means: a name, a bundle, a checkpoint, or the `bundle` in a run's folder.

    Raises:
        WeightsError: The folder is a run that has not written its bundle.
    """
    path = Path(given)
    if is_shipped(given) or not path.is_dir() or (path / "model.json").is_file():
        return given
    if (path / "bundle" / "model.json").is_file():
        return str(path / "bundle")
    if (path / "checkpoint.pt").is_file():
        raise WeightsError(
            f"the run {given} holds no bundle, only a checkpoint", hint="a run writes its bundle when it ends"
        )
    return given


def told_apart(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """The same names, equal ones told apart by what was given for them.

    Raises:
        ConfigError: The same was given twice.
    """
    twice = next((words for words in given if list(given).count(words) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is given twice", hint="name each once")
    known = list(names)
    return [name if known.count(name) == 1 else f"{name} [{words}]" for name, words in zip(known, given, strict=True)]
