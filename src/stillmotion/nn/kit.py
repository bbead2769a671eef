"""From networks to tensors, stages and engines: what every method's `weights` does alike."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from stillmotion.core.errors import WeightsError
from stillmotion.nn.checkpoint import load_strictly
from stillmotion.nn.engine import TorchEngine
from stillmotion.nn.export import export_stage
from stillmotion.nn.rewrite import rewrite

Networks: TypeAlias = dict[str, nn.Module]
Names: TypeAlias = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def plain(config: Any) -> dict[str, Any]:
    """A config as JSON would give it back: nested dictionaries and lists."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return found


@dataclass(frozen=True)
class Kit:
    """How a method's networks become stages.

    Attributes:
        stages: From networks and config to modules by stage, in evaluation mode.
        names: From the config to input and output array names of every stage, in order.
        examples: From the modules and the config to an array for every input name, batch 1.
        saved: From the config to the names of the networks that a bundle holds.
    """

    stages: Callable[[Networks, Any], Networks]
    names: Callable[[Any], Names]
    examples: Callable[[Networks, Any], dict[str, Tensor]]
    saved: Callable[[Any], tuple[str, ...]]

    def arrays(self, networks: Networks, config: Any) -> dict[str, np.ndarray]:
        """Tensors of the saved networks, the network's name before their own.

        Raises:
            WeightsError: They hold NaN or infinity.
        """
        tensors = {
            f"{name}.{key}": tensor.detach().cpu().numpy()
            for name in self.saved(config)
            for key, tensor in networks[name].state_dict().items()
        }
        broken = [name for name, array in tensors.items() if not np.isfinite(array).all()]
        if broken:
            raise WeightsError(
                f"the networks hold NaN or infinity: {broken[0]} and {len(broken) - 1} more",
                hint="the training diverged; save an earlier checkpoint",
            )
        return tensors

    def load(self, networks: Networks, config: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> Networks:
        """Load what `arrays` made, strictly; all networks in evaluation mode.

        Raises:
            WeightsError: Names or shapes do not fit.
        """
        states: dict[str, dict[str, Tensor]] = {name: {} for name in self.saved(config)}
        for key, array in arrays.items():
            network, _, rest = key.partition(".")
            states.setdefault(network, {})[rest] = torch.from_numpy(array)
        load_strictly({name: networks[name] for name in self.saved(config)}, states, where=where)
        return {name: network.eval() for name, network in networks.items()}

    def export(
        self, networks: Networks, config: Any, folder: Path, *, optimise: bool = True, half: bool = False
    ) -> None:
        """Write every stage as `STAGE.onnx` into a folder; the networks stay as they are.

        Raises:
            MissingExtraError: onnx or onnxscript is not installed.
        """
        copies = {name: copy.deepcopy(networks[name]).float().cpu().eval() for name in self.saved(config)}
        modules = self.stages(copies, config)
        with torch.no_grad():
            arrays = self.examples(modules, config)
        for name, (inputs, outputs) in self.names(config).items():
            module = rewrite(modules[name]) if optimise else modules[name]
            export_stage(module, {i: arrays[i] for i in inputs}, outputs, folder / f"{name}.onnx", half=half)

    def engine(self, networks: Networks, config: Any, *, copied: bool, **options: Any) -> TorchEngine:
        """The torch engine on the networks, or on a copy of them; `options` go to `TorchEngine`."""
        chosen = {name: networks[name] for name in self.saved(config)}
        if copied:
            chosen = {name: copy.deepcopy(network) for name, network in chosen.items()}
        return TorchEngine(self.stages(chosen, config), self.names(config), **options)
