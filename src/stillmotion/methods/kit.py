"""From networks to tensors, bundles, stages and engines: what every method's `weights` does alike.

Each `weights` makes one `Kit` and gives its verbs out as functions of its own. Only `weights` modules
import this one, so that the table of methods works where torch does not exist.
"""

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

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.core.method import Engine
from stillmotion.nn.checkpoint import load_strictly
from stillmotion.nn.engine import TorchEngine
from stillmotion.nn.export import export_stage
from stillmotion.nn.rewrite import rewrite
from stillmotion.runtime.bundle import Bundle, Card, CropContract, Keep, read_tensors, write_bundle

Networks: TypeAlias = dict[str, nn.Module]
Names: TypeAlias = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def plain(config: Any) -> dict[str, Any]:
    """A config as JSON would give it back: nested dictionaries and lists."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return found


def check_halved(size: int, halvings: int, *, what: str, scale: float = 1.0) -> None:
    """Refuse a frame size that a network which halves and doubles cannot give back.

    Args:
        size: Side of the frames, pixels.
        halvings: How often the network halves them.
        what: The network, for the message.
        scale: Size factor of the picture that it works on.

    Raises:
        ConfigError: The picture is no multiple of what the halvings make of it.
    """
    unit = 2**halvings / scale
    if size < unit or size % unit:
        raise ConfigError(
            f"{halvings} halvings in the {what} do not fit frames of {size} pixels",
            hint=f"make size a multiple of {unit:g}, or take fewer blocks",
        )


@dataclass(frozen=True)
class Kit:
    """How a method's networks become stages, and what is kept of them.

    Attributes:
        method: Name in the table of methods.
        config: The method's config class.
        build: From the config to untrained networks by name.
        stages: From networks and config to modules by stage, in evaluation mode.
        names: From the config to input and output array names of every stage, in order.
        examples: From the modules and the config to an array for every input name, batch 1.
        saved: From the config to the names of the networks that a bundle holds.
    """

    method: str
    config: type[Any]
    build: Callable[[Any], Networks]
    stages: Callable[[Networks, Any], Networks]
    names: Callable[[Any], Names]
    examples: Callable[[Networks, Any], dict[str, Tensor]]
    saved: Callable[[Any], tuple[str, ...]]

    def save_bundle(
        self,
        networks: Networks,
        config: Any,
        folder: str | Path,
        *,
        name: str | None = None,
        crop: CropContract | None = None,
        data: str = "",
        licence: str = "",
        credit: str = "",
        recipe: dict[str, Any] | None = None,
        marks: Mapping[str, int] | None = None,
        keep: Keep = "all",
        optimise: bool = True,
        half: bool = False,
    ) -> Path:
        """Write a weights bundle: card, tensors, exported stages.

        Args:
            networks: Those of `saved`; others are left out.
            config: What was built.
            folder: The bundle folder; an older bundle there is replaced.
            name: Name of the weights; None takes the folder's.
            crop: Crop contract; None takes the whole picture.
            data, licence, credit, recipe: For the card.
            marks: What keypoints were taught to mark, with their index.
            keep: `all`, or only the `stages` (runs without torch) or only the `tensors` (needs torch).
            optimise: Rewrite the graphs for speed, exactly.
            half: Store tensors and stages as float16, at half the size. Batch norms are folded after the
                rounding and rounded again, so frames of different engines then differ by up to 3e-3.

        Raises:
            OutputError: The folder cannot be written.
            WeightsError: The networks hold NaN or infinity.
            MissingExtraError: Stages are wanted, and onnx or onnxscript is not installed.
        """
        card = Card(
            method=self.method,
            name=name or Path(folder).name,
            config=plain(config),
            convention=config.convention,
            crop=crop or CropContract(),
            data=data,
            licence=licence,
            credit=credit,
            recipe=recipe or {},
            marks=dict(marks or {}),
        )

        def write_stages(place: Path) -> None:
            stored = self.load(self.build(config), config, read_tensors(place), where="the bundle being written")
            self.export(stored, config, place, optimise=optimise, half=half)

        tensors = self.arrays(networks, config)
        export = None if keep == "tensors" else write_stages
        return write_bundle(folder, card, tensors=tensors, export=export, keep=keep, half=half)

    def open_networks(self, bundle: Bundle) -> Networks:
        """The networks of a bundle, in evaluation mode; those that it does not hold are untrained.

        Raises:
            WeightsError: The bundle has no tensors, or they do not fit its config.
        """
        config = bundle.config(self.config)
        return self.load(self.build(config), config, bundle.tensors(), where=bundle.folder.name)

    def torch_engine(self, bundle: Bundle, *, device: str | None = None, **options: Any) -> Engine:
        """The torch engine on a bundle's tensors; `options` go to `TorchEngine`; raises as `open_networks`."""
        return self.engine(self.open_networks(bundle), bundle.config(self.config), device=device, **options)

    def networks_engine(self, networks: Networks, config: Any, **options: Any) -> Engine:
        """The torch engine on a copy of networks in memory, such as a training run's, which stay as they are."""
        return self.engine({n: copy.deepcopy(networks[n]) for n in self.saved(config)}, config, **options)

    def engine(self, networks: Networks, config: Any, **options: Any) -> Engine:
        """The torch engine on the networks themselves, which it may change; `options` go to `TorchEngine`."""
        chosen = {name: networks[name] for name in self.saved(config)}
        return TorchEngine(self.stages(chosen, config), self.names(config), **options)

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
