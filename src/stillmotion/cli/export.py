"""`stillmotion export BUNDLE -o BUNDLE`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stillmotion.cli.options import Bundling, Output


@dataclass(kw_only=True)
class Command(Bundling):
    """Export the tensors of a bundle as stages that run without torch, or store them smaller."""

    bundle: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="BUNDLE")]
    """Bundle folder that holds tensors, or the training run that wrote one."""
    output: Output
    """Bundle folder to write; may be the same one."""
    name: str | None = None
    """Name of the weights (default: as they were called)."""

    def run(self) -> None:
        """Export and say where to."""
        from stillmotion.methods import bundle_in, method_class, method_weights
        from stillmotion.runtime.bundle import Bundle

        bundle = Bundle.open(bundle_in(self.bundle))
        card, module = bundle.card, method_weights(bundle.card.method)
        path = module.save_bundle(
            module.open_networks(bundle),
            bundle.config(method_class(card.method).config_type),
            self.output,
            name=self.name or card.name,
            crop=card.crop,
            data=card.data,
            licence=card.licence,
            credit=card.credit,
            recipe=card.recipe,
            keep=self.keep,
            half=self.half,
        )
        print(f"wrote {path}; use it with --weights {path}")
