"""Weights that ship inside the package: one bundle folder each, beside this file."""

from __future__ import annotations

from pathlib import Path

from stillmotion.core.errors import WeightsError, did_you_mean

DEFAULT = "heads"
"""The bundle that is used when none is named."""
ALIASES = {"fast": "heads", "quality": "heads-quality"}
"""What is wanted of them, by name."""
FOLDER = Path(__file__).resolve().parent
FACE = FOLDER / "face"
"""The face and landmark networks: no motion weights, hence not among the `shipped` ones."""
LIDS = FOLDER / "lids"
"""The network that says how open eyes are; as `FACE`."""


def shipped() -> list[str]:
    """Names of the bundles with a method's weights that are here, sorted."""
    names = {card.parent.name for card in FOLDER.glob("*/model.json")}
    return sorted(names - {FACE.name, LIDS.name})


def is_shipped(word: str) -> bool:
    """Whether a word names weights that ship. Such a name means them, also beside a folder of that name."""
    return ALIASES.get(word, word) in shipped()


def find(name: str | None = None) -> Path:
    """Folder of a shipped bundle; None is `DEFAULT`.

    Raises:
        WeightsError: None of that name ships.
    """
    name, names = name or DEFAULT, shipped()
    if is_shipped(name):
        return FOLDER / ALIASES.get(name, name)
    nothing = "this copy of stillmotion ships no weights; give the path of a bundle folder, or install it again"
    hint = did_you_mean(name, names) or nothing
    raise WeightsError(f"there are no shipped weights called {name!r}", hint=hint, name=name, known=tuple(names))
