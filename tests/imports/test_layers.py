"""The Never rules of the design, held by walking the import graph."""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.sources import imports, modules, ours

STORY = ("animate", "animator", "compose", "driving", "inputs", "meter", "motionfile", "recording", "report")
LAYERS = (
    ("core",),
    ("video", "prepare", "runtime", "nn", "weights"),
    ("methods",),
    STORY,
    ("data", "evaluate", "train"),
    ("cli", "live", "studio", "__main__"),
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
SIBLINGS = {("evaluate", "data"), ("train", "data"), ("train", "evaluate"), ("__main__", "cli")}
SIBLINGS |= {(a, b) for a in STORY for b in STORY}

TORCH_PACKAGES = ("nn", "data", "train", "evaluate")
TORCH_FILES = ("network", "losses", "weights")
TORCH_FAMILY = {"torch", "torchmetrics", "lightning_fabric", "tensorboard", "onnxscript"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "misc", "common", "base"}

INNER = sorted(name for name in modules() if name)


def package(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", INNER)
def test_module_has_a_layer(name: str) -> None:
    assert package(name) in RANK, f"{name} is in no layer: add it to the design, then here"


@pytest.mark.parametrize("name", INNER)
def test_nothing_imports_from_above_or_beside(name: str) -> None:
    mine = package(name)
    for target in ours(name) - {""}:
        other = package(target)
        if other == mine or (mine, other) in SIBLINGS:
            continue
        assert RANK[other] != RANK[mine], f"{name} imports its sibling {target}"
        assert RANK[other] < RANK[mine], f"{name} imports {target}, a layer above it"


@pytest.mark.parametrize("name", [name for name in INNER if package(name) not in ("cli", "live", "studio")])
def test_only_the_top_layer_imports_the_package_itself(name: str) -> None:
    assert "" not in ours(name), f"{name} imports `stillmotion`; import the module that has the name"


def test_no_import_cycles() -> None:
    graph = {name: ours(name) - {"", "__main__"} for name in INNER}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", [name for name in INNER if package(name) == "core"])
def test_core_knows_numpy_and_the_standard_library_only(name: str) -> None:
    roots = {target.partition(".")[0] for target in imports(name)}
    assert roots <= {"numpy", "stillmotion", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", INNER)
def test_torch_stays_in_its_places(name: str) -> None:
    in_method = package(name) == "methods" and name.count(".") == 2 and name.rpartition(".")[2] in TORCH_FILES
    if package(name) in TORCH_PACKAGES or in_method:
        return
    roots = {target.partition(".")[0] for target in imports(name)}
    assert not roots & TORCH_FAMILY, f"{name} imports {roots & TORCH_FAMILY}"


@pytest.mark.parametrize("name", [name for name in INNER if name.count(".") >= 1 and package(name) == "methods"])
def test_a_method_never_imports_another_method(name: str) -> None:
    mine = name.split(".")[1]
    others = {target.split(".")[1] for target in ours(name) if target.startswith("methods.")} - {mine}
    assert not others, f"{name} imports {others}"


@pytest.mark.parametrize("name", [name for name in INNER if name.endswith(".network")])
def test_a_network_never_sees_config_path_device_choice_or_logger(name: str) -> None:
    seen = {target.partition(".")[0] for target in imports(name)} | {t.rpartition(".")[2] for t in ours(name)}
    assert not seen & {"config", "pathlib", "os", "logging", "argparse", "yaml"}


@pytest.mark.parametrize("name", [name for name in INNER if package(name) in ("cli", "live", "studio")])
def test_the_top_layer_does_no_array_arithmetic(name: str) -> None:
    assert "numpy" not in {target.partition(".")[0] for target in imports(name)}


@pytest.mark.parametrize("name", INNER)
def test_no_module_is_named_after_nothing(name: str) -> None:
    assert not set(name.split(".")) & FORBIDDEN_NAMES
