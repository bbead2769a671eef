"""Small files, small functions."""

from __future__ import annotations

from statistics import median

import pytest

from tests.sources import code_lines, functions, modules

LONGEST_FUNCTION = 80
MEDIAN_FUNCTION = 12


@pytest.mark.parametrize("name", sorted(modules()))
def test_files_are_short(name: str) -> None:
    limit = 500 if name.endswith("network") else 400
    assert len(modules()[name].read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("name", sorted(modules()))
def test_functions_are_short(name: str) -> None:
    long = {path: code_lines(node) for path, node in functions(name) if code_lines(node) > LONGEST_FUNCTION}
    assert not long


def test_the_usual_function_is_very_short() -> None:
    assert median(code_lines(node) for name in modules() for _, node in functions(name)) <= MEDIAN_FUNCTION
