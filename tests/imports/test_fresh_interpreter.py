"""What importing costs, asked of interpreters that have imported nothing yet."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

HEAVY = ("torch", "cv2", "av", "openvino", "onnxruntime", "PIL", "safetensors", "pydantic", "tyro", "rich", "yaml")


def run(code: str, *arguments: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_costs_numpy_only() -> None:
    seen = json.loads(run("import json, sys, stillmotion; print(json.dumps(sorted(sys.modules)))"))
    loaded = {name.partition(".")[0] for name in seen}
    assert not loaded & set(HEAVY)
    assert {name for name in seen if name.startswith("stillmotion")} == {"stillmotion"}


def test_help_imports_neither_numpy_nor_tyro() -> None:
    code = (
        "import json, sys; from stillmotion.cli import main; main(['--help']); print(json.dumps(sorted(sys.modules)))"
    )
    loaded = {name.partition(".")[0] for name in json.loads(run(code).splitlines()[-1])}
    assert not loaded & {*HEAVY, "numpy"}


@pytest.mark.parametrize("verb", ["animate", "read", "demo"])
def test_help_of_a_verb_loads_no_runtime(verb: str) -> None:
    code = f"""
    import json, sys
    from stillmotion.cli import main
    assert main(["{verb}", "--help"]) == 0
    print(json.dumps(sorted(sys.modules)))
    """
    loaded = {name.partition(".")[0] for name in json.loads(run(code).splitlines()[-1])}
    assert not loaded & {"torch", "cv2", "av", "openvino"}


def test_the_submodule_animate_does_not_hide_the_function() -> None:
    code = """
    import stillmotion.animate
    from stillmotion.session.animator import Animator
    assert callable(stillmotion.animate) and stillmotion.animate.__module__ == "stillmotion.animate"
    assert stillmotion.Animator is Animator
    """
    run(code)
