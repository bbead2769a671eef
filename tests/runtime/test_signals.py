"""OpenVINO's signal stack must not outlive a compilation: the next Ctrl-C would end the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stillmotion


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has the fault")
def test_loading_leaves_no_signal_stack(tiny_bundle: Path) -> None:
    script = """
import ctypes, os, signal, sys
import numpy as np
from stillmotion.methods import load
from stillmotion.runtime.signal_stack import _Stack
def stack():
    now = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(now))
    return now.base, now.flags, now.size
before = stack()
method = load(sys.argv[1])
method.read(np.zeros((1, 32, 32, 3), np.uint8))
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
print(stack() == before)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["handled", "True"]), done.stderr


def test_whoever_compiles_keeps_the_signal_stack() -> None:
    """One place without it ended a whole test run at the next finished child process."""
    source = Path(stillmotion.__file__).parent
    compiling = [path for path in source.rglob("*.py") if ".compile_model(" in path.read_text()]
    assert compiling
    assert not [path.name for path in compiling if "with kept_signal_stack():" not in path.read_text()]
