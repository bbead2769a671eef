"""`stillmotion verify FILE`: what a file says of its origin, and whether it was changed since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

TAMPERED, UNMARKED = 3, 4


@dataclass(kw_only=True)
class Command:
    """Check the marks that say a video or picture was generated.

    Prints `valid`, `tampered`, `marked`, `unmarked` or `unchecked`, and why. Exit status: 0 for
    valid and marked, 3 for tampered, 4 for unmarked and unchecked.
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """Video or picture to check."""
    json: bool = False
    """Print the verdict as JSON on stdout."""

    def run(self) -> int:
        """Check and say."""
        from stillmotion.provenance.checking import verify

        verdict = verify(self.file)
        if self.json:
            print(verdict.to_json())
        else:
            print(f"{verdict.state}: {verdict.reason}")
            for name, value in verdict.facts.items():
                print(f"  {name}: {value}")
        return {"valid": 0, "marked": 0, "tampered": TAMPERED}.get(verdict.state, UNMARKED)
