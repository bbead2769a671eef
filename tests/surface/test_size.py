"""Small files, small functions."""

from __future__ import annotations

from statistics import median

from tests.sources import code_lines, functions, modules

LONGEST_FILE, LONGEST_NETWORK = 400, 500
LONGEST_FUNCTION = 80
MEDIAN_FUNCTION = 12


def test_files_are_short() -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    long = {
        n: count for n, count in lines.items() if count > (LONGEST_NETWORK if n.endswith("network") else LONGEST_FILE)
    }
    assert not long


def test_functions_are_short() -> None:
    sizes = {f"{name}.{path}": code_lines(node) for name in modules() for path, node in functions(name)}
    assert not {path: count for path, count in sizes.items() if count > LONGEST_FUNCTION}
    assert median(sizes.values()) <= MEDIAN_FUNCTION
