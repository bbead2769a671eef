"""A studio in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVE = Path(__file__).with_name("serve.py")


@dataclass
class Studio:
    """A running studio: where it answers, the child that animates, and the folder of its visitors."""

    address: str
    worker: int
    folder: Path


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    pytest.importorskip("gradio", reason="the studio needs the extra studio")
    folder = tmp_path_factory.mktemp("visitors")
    with subprocess.Popen(
        [sys.executable, str(SERVE), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address, worker = process.stdout.readline().split()
        yield Studio(address, int(worker), folder)
        process.stdin.close()
        process.wait(30)
