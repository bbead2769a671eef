"""Docstrings: everything public has one, and public functions name what they take and raise."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import pytest

import stillmotion
from tests.sources import modules, tree

FUNCTIONS = [name for name in stillmotion.__all__ if inspect.isfunction(getattr(stillmotion, name))]


KNOWN = {"forward", "write", "finish", "abandon", "close", "state_dict", "load_state_dict", "extra_repr"}


def is_protocol(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)


def public(name: str) -> Iterator[tuple[str, ast.AST]]:
    """Public classes and functions of a module; of classes, their public methods, protocols aside."""
    for node in tree(name).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef) and not is_protocol(node):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def overrides(path: str) -> bool:
    """Methods whose meaning another class documents: torch's `forward`, a file's `close`, a clip's verbs."""
    return "." in path and path.rpartition(".")[2] in KNOWN


def test_everything_public_is_documented() -> None:
    bare = [name for name in modules() if not ast.get_docstring(tree(name))]
    for name in modules():
        bare += [f"{name}.{path}" for path, node in public(name) if not ast.get_docstring(node) and not overrides(path)]
    assert not bare


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_name_every_parameter(name: str) -> None:
    function = getattr(stillmotion, name)
    parameters = list(inspect.signature(function).parameters)
    doc = inspect.getdoc(function) or ""
    assert doc
    for parameter in parameters if len(parameters) > 2 else []:
        assert "Args:" in doc
        assert re.search(rf"\b{parameter}\b", doc), f"{name} does not document {parameter}"


def raises_errors(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Raise) and n.exc and "Error" in ast.unparse(n.exc) for n in ast.walk(node))


def test_public_functions_that_raise_say_so() -> None:
    silent = []
    for name in modules():
        for path, node in public(name):
            if isinstance(node, ast.FunctionDef) and raises_errors(node) and not overrides(path):
                doc = (ast.get_docstring(node) or "").lower()
                if "raise" not in doc and "see `" not in doc:
                    silent.append(f"{name}.{path}")
    assert not silent
