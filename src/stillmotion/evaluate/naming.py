"""Which weights somebody means, and how rows of a table are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stillmotion.core.errors import ConfigError
from stillmotion.methods import bundle_in
from stillmotion.weights import is_shipped


def find_weights(given: str) -> str:
    """The weights that somebody means: a name, a bundle, a checkpoint, or the `bundle` in a run's folder.

    Raises:
        WeightsError: A run that has not written its bundle, or its checkpoint.
    """
    path = Path(given)
    found = path if is_shipped(given) else bundle_in(path)
    return given if found == path else str(found)  # `./heads` stays what it is: the folder, not the name


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
