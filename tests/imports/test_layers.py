"""The Never rules of the design, held by walking the import graph."""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.sources import imports, modules, ours

STORY = ("animate", "session")
LAYERS = (
    ("core",),
    ("video", "prepare", "runtime", "nn", "weights"),
    ("methods", "provenance"),
    STORY,
    ("data", "evaluate", "train", "server"),
    ("cli", "live", "studio", "__main__"),
)
TOP = LAYERS[-1]
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
SIBLINGS = {("evaluate", "data"), ("train", "data"), ("train", "evaluate"), ("__main__", "cli")}
SIBLINGS |= {("cli", "studio"), ("cli", "live")}
SIBLINGS |= {(a, b) for a in STORY for b in STORY}

TORCH_PACKAGES = ("nn", "data", "train", "evaluate")
TORCH_FILES = ("network", "losses", "weights")
KIT = "methods.kit"
"""What the `weights` of all methods share: it stands among the methods, and knows torch."""
TORCH_FAMILY = {"torch", "torchmetrics", "lightning_fabric", "tensorboard", "onnxscript"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "misc", "common", "base"}

INNER = sorted(name for name in modules() if name)


def package(name: str) -> str:
    return name.partition(".")[0]


def roots(name: str) -> set[str]:
    """First words of what a module imports: `torch`, `stillmotion`, `os`."""
    return {target.partition(".")[0] for target in imports(name)}


def test_every_module_has_a_layer() -> None:
    homeless = [name for name in INNER if package(name) not in RANK]
    assert not homeless, "put them into a layer of the design, then here"


def test_nothing_imports_from_above_or_beside() -> None:
    wrong = []
    for name in INNER:
        mine = package(name)
        for target in ours(name) - {""}:
            other = package(target)
            if other != mine and (mine, other) not in SIBLINGS and RANK[other] >= RANK[mine]:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_only_the_top_layer_imports_the_package_itself() -> None:
    wrong = [name for name in INNER if "" in ours(name) and package(name) not in TOP]
    assert not wrong, "they import `stillmotion`; import the module that has the name"


def test_no_import_cycles() -> None:
    graph = {name: ours(name) - {"", "__main__"} for name in INNER}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_core_knows_numpy_and_the_standard_library_only() -> None:
    allowed = {"numpy", "stillmotion", *sys.stdlib_module_names}
    wrong = {name: roots(name) - allowed for name in INNER if package(name) == "core" and roots(name) - allowed}
    assert not wrong


def test_torch_stays_in_its_places() -> None:
    def may(name: str) -> bool:
        in_method = package(name) == "methods" and name.count(".") == 2 and name.rpartition(".")[2] in TORCH_FILES
        return in_method or name == KIT or package(name) in TORCH_PACKAGES

    wrong = {name: roots(name) & TORCH_FAMILY for name in INNER if not may(name) and roots(name) & TORCH_FAMILY}
    assert not wrong


def test_a_method_never_imports_another_method() -> None:
    wrong = []
    for name in INNER:
        if package(name) == "methods" and "." in name:
            mine = name.split(".")[1]
            others = {t for t in ours(name) if t.startswith("methods.") and t.split(".")[1] != mine} - {KIT}
            wrong += [f"{name} imports {other}" for other in others]
    assert not wrong


def test_only_the_torch_side_of_a_method_knows_the_kit() -> None:
    users = [name for name in INNER if KIT in ours(name)]
    assert len(users) > 1
    assert all(package(name) == "methods" and name.endswith(".weights") for name in users)


def test_a_network_never_sees_config_path_device_choice_or_logger() -> None:
    networks = [name for name in INNER if name.endswith(".network")]
    assert networks
    for name in networks:
        seen = roots(name) | {target.rpartition(".")[2] for target in ours(name)}
        assert not seen & {"config", "pathlib", "os", "logging", "argparse", "yaml"}, name


def test_the_top_layer_does_no_array_arithmetic() -> None:
    assert not [name for name in INNER if package(name) in TOP and "numpy" in roots(name)]


def test_no_module_is_named_after_nothing() -> None:
    assert not [name for name in INNER if set(name.split(".")) & FORBIDDEN_NAMES]
