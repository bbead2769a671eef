"""The package's own sources as syntax trees, for tests that read the code instead of running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "stillmotion"


@cache
def modules() -> dict[str, Path]:
    """Every module by dotted name, `stillmotion` left out: `core.frame`, `cli` for `cli/__init__.py`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    """Syntax tree of a module."""
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Absolute dotted names that a module imports, anywhere in it; `a.b` for `from a import b`."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> set[str]:
    """Modules of the package (dotted, as in `modules`) that a module imports."""
    known = modules()
    found = set()
    for target in imports(name):
        if target == "stillmotion":
            found.add("")
        elif target.startswith("stillmotion."):
            inner = target.removeprefix("stillmotion.")
            found.add(inner if inner in known else inner.rpartition(".")[0])
    return found - {name}


def functions(name: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function and method of a module with its dotted path in it."""

    def walk(node: ast.AST, path: tuple[str, ...]) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = (*path, child.name)
                if isinstance(child, ast.FunctionDef):
                    yield ".".join(inner), child
                yield from walk(child, inner)
            else:
                yield from walk(child, path)

    return walk(tree(name), ())


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function from `def` to its end, docstring left out."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total
