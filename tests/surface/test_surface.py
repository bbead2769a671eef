"""The public names: sorted, documented, resolvable, and nothing else."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import version
from types import ModuleType

import pytest

import stillmotion
from stillmotion.core.errors import StillmotionError
from tests.sources import tree

FUNCTIONS = [name for name in stillmotion.__all__ if inspect.isfunction(getattr(stillmotion, name))]
ERRORS = [name for name in stillmotion.__all__ if name.endswith("Error")]


def test_all_is_sorted_and_complete() -> None:
    assert stillmotion.__all__ == sorted(stillmotion.__all__)
    assert set(stillmotion.__all__) == set(stillmotion._HOME)


def test_type_checkers_see_the_same_names() -> None:
    block = next(node for node in tree("").body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == stillmotion._HOME


@pytest.mark.parametrize("name", stillmotion.__all__)
def test_every_name_resolves_and_says_what_it_is(name: str) -> None:
    value = getattr(stillmotion, name)
    assert not isinstance(value, ModuleType)
    assert name in dir(stillmotion)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        stillmotion.nonsense  # noqa: B018


def test_version_is_the_installed_one() -> None:
    assert stillmotion.__version__ == version("stillmotion")


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_ours_and_a_builtin(name: str) -> None:
    kind = getattr(stillmotion, name)
    assert issubclass(kind, StillmotionError)
    if kind is not StillmotionError:
        assert issubclass(kind, ValueError | RuntimeError | ImportError | OSError)


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    from stillmotion.core import errors

    for name in ERRORS:
        assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_take_two_positional_parameters_or_three_files(name: str) -> None:
    kinds = [p.kind for p in inspect.signature(getattr(stillmotion, name)).parameters.values()]
    assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) <= 3
