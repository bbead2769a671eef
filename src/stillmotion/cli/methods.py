"""`stillmotion methods`: what there is to choose from."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(kw_only=True)
class Command:
    """List methods, their presets, and the weights that ship."""

    json: bool = False
    """Print the list as JSON on stdout."""

    def run(self) -> None:
        """Print the list."""
        from stillmotion import weights
        from stillmotion.methods import names, presets

        known_presets = {name: sorted(presets(name)) for name in names()}
        shipped = weights.shipped()
        if self.json:
            print(json.dumps({"methods": known_presets, "weights": shipped, "default": weights.DEFAULT}, indent=2))
            return
        for name, known in known_presets.items():
            print(f"{name}: presets {', '.join(known) or 'none'}")
        marked = [f"{name} (default)" if name == weights.DEFAULT else name for name in shipped]
        print(f"shipped weights: {', '.join(marked) or 'none'}")
