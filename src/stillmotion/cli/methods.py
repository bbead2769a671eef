"""`stillmotion methods`: what there is to choose from."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass


@dataclass(kw_only=True)
class Command:
    """List methods, their presets, and the weights that ship."""

    json: bool = False
    """Print the list as JSON on stdout."""

    def run(self) -> None:
        """Print the list."""
        from stillmotion import weights
        from stillmotion.methods import names

        presets = {name: _presets(name) for name in names()}
        shipped = weights.shipped()
        if self.json:
            print(json.dumps({"methods": presets, "weights": shipped, "default": weights.DEFAULT}, indent=2))
            return
        for name, known in presets.items():
            print(f"{name}: presets {', '.join(known) or 'none'}")
        marked = [f"{name} (default)" if name == weights.DEFAULT else name for name in shipped]
        print(f"shipped weights: {', '.join(marked) or 'none'}")


def _presets(method: str) -> list[str]:
    """Names of a method's presets; they stand beside its config."""
    from stillmotion.methods import method_class

    return sorted(getattr(sys.modules[method_class(method).config_type.__module__], "PRESETS", {}))
