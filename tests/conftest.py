"""Fixtures shared by all tests: where the optional shared material is, and a fixed seed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def find_shared() -> Path | None:
    """The folder with clips, golden arrays and assets that some tests can use, if it is here."""
    named = os.environ.get("STILLMOTION_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "golden").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = find_shared()
    if folder is None:
        pytest.skip("the shared material (golden arrays, clips, assets) is not here; set STILLMOTION_SHARED")
    return folder


@pytest.fixture()
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
