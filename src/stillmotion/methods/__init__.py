"""The table of methods, and loading any of them by name, bundle or published checkpoint."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from stillmotion import weights as shipped_weights
from stillmotion.core.errors import ConfigError, MissingExtraError, WeightsError
from stillmotion.core.method import Engine, Method
from stillmotion.runtime import open_engine
from stillmotion.runtime.bundle import Bundle, did_you_mean

EngineName: TypeAlias = Literal["auto", "torch", "openvino", "onnx"]

METHODS = {"first-order": "stillmotion.methods.firstorder.method:FirstOrder"}
"""Built-in methods: where each class is. Other packages add theirs under the entry point `GROUP`."""
GROUP = "stillmotion.methods"
_CHECKPOINTS = (".tar", ".pth", ".pt", ".ckpt", ".bin", ".pkl")


def table() -> dict[str, str]:
    """Method names with the place of their class, `module:Class`; ours win over entry points."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | METHODS


def names() -> list[str]:
    """Names of all methods, sorted."""
    return sorted(table())


def method_class(name: str) -> Any:
    """The class of a method.

    Raises:
        ConfigError: No method has that name.
    """
    module, _, attribute = _place(name).partition(":")
    return getattr(importlib.import_module(module), attribute)


def method_weights(name: str) -> ModuleType:
    """The torch side of a method: the module `weights` beside its class.

    Raises:
        ConfigError: No method has that name.
        MissingExtraError: torch is not installed.
    """
    module = _place(name).partition(":")[0]
    if find_spec("torch") is None:
        raise MissingExtraError("this needs torch, which is not installed", hint="pip install 'stillmotion[train]'")
    return importlib.import_module(f"{module.rpartition('.')[0]}.weights")


def load(
    weights: str | Path | None = None,
    *,
    engine: EngineName = "auto",
    device: str | None = None,
    config: str | Path | None = None,
    threads: int | None = None,
) -> Method:
    """A method, ready to run.

    Args:
        weights: Name of shipped weights, path of a bundle folder, or, where torch is installed,
            path of a published first-order checkpoint (`.pth.tar`). None is the shipped default.
        engine: `openvino`, `onnx` and `torch` name one; `auto` takes OpenVINO where the bundle has
            exported stages, else torch.
        device: For torch, such as `cuda`; with `auto` it selects torch. None lets torch choose.
        config: For a checkpoint only: preset name or published YAML file.
        threads: Cap on processor threads of the light engines.

    Raises:
        WeightsError: No such weights, or they cannot be used.
        MissingExtraError: The engine is not installed.
        ConfigError: Unknown engine, or a config that does not fit.
    """
    if engine not in ("auto", "torch", "openvino", "onnx"):
        raise ConfigError(f"unknown engine {engine!r}", hint="use auto, torch, openvino or onnx")
    path = _locate(weights)
    if path.is_file():
        return _from_checkpoint(path, engine=engine, device=device, config=config)
    if config is not None:
        raise ConfigError("a bundle carries its own config", hint="leave config out; it is for published checkpoints")
    bundle = Bundle.open(path)
    if bundle.card.method not in table():
        raise WeightsError(
            f"{path.name} holds weights for {bundle.card.method!r}, a method that is not installed",
            hint=did_you_mean(bundle.card.method, names()),
            method=bundle.card.method,
        )
    kind = method_class(bundle.card.method)
    settings = bundle.config(kind.config_type)
    chosen = _engine(bundle, engine=engine, device=device, threads=threads)
    card = bundle.card
    method: Method = kind(
        chosen,
        config=settings,
        weights=card.name,
        crop=card.crop.kind,
        margin=card.crop.margin,
        checksum=card.fingerprint,
    )
    return method


def _place(name: str) -> str:
    known = table()
    if name not in known:
        raise ConfigError(f"there is no method called {name!r}", hint=did_you_mean(name, list(known)))
    return known[name]


def _locate(weights: str | Path | None) -> Path:
    if weights is None:
        return shipped_weights.find()
    path = Path(weights)
    if path.exists():
        return path
    looks_like_path = isinstance(weights, Path) or len(path.parts) > 1 or path.suffix in _CHECKPOINTS
    return path if looks_like_path else shipped_weights.find(str(weights))


def _engine(bundle: Bundle, *, engine: EngineName, device: str | None, threads: int | None) -> Engine:
    if engine == "auto":
        engine = "torch" if device is not None or not bundle.stages else "openvino"
        if engine == "torch" and find_spec("torch") is None:
            raise WeightsError(
                f"{bundle.folder.name} holds no exported stages, and torch, which could run its tensors, is absent",
                hint="get the bundle with its stages, or pip install 'stillmotion[train]'",
            )
    if engine == "torch":
        chosen: Engine = method_weights(bundle.card.method).torch_engine(bundle, device=device)
        return chosen
    return open_engine(bundle, engine, threads=threads)


def _from_checkpoint(path: Path, *, engine: EngineName, device: str | None, config: str | Path | None) -> Method:
    if engine not in ("auto", "torch"):
        raise ConfigError(
            f"the {engine} engine runs exported stages, which {path.name} does not have",
            hint="convert it first: stillmotion convert CHECKPOINT --config YAML -o BUNDLE",
        )
    method: Method = method_weights("first-order").from_checkpoint(path, config=config, device=device)
    return method


__all__ = ["GROUP", "METHODS", "EngineName", "load", "method_class", "method_weights", "names", "table"]
