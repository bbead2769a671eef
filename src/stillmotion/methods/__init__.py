"""The table of methods, and loading any of them by name, bundle or published checkpoint."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from stillmotion import weights as shipped_weights
from stillmotion.core.errors import ConfigError, MissingExtraError, WeightsError, did_you_mean
from stillmotion.core.method import Engine, Method
from stillmotion.runtime import open_engine
from stillmotion.runtime.bundle import CARD, Bundle

EngineName: TypeAlias = Literal["auto", "torch", "openvino", "onnx"]

METHODS = {
    "few-shot": "stillmotion.methods.fewshot.method:FewShot",
    "first-order": "stillmotion.methods.firstorder.method:FirstOrder",
    "monkey-net": "stillmotion.methods.monkeynet.method:MonkeyNet",
    "trinet": "stillmotion.methods.trinet.method:TriNet",
    "x2face": "stillmotion.methods.x2face.method:X2Face",
}
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


def method_losses(name: str) -> ModuleType:
    """The objective of a method: the module `losses` beside its class; raises as `method_weights`."""
    return importlib.import_module(f"{method_weights(name).__name__.rpartition('.')[0]}.losses")


def method_converter(name: str) -> Callable[..., Path]:
    """What turns published checkpoints of a method into bundles: the function `convert` of its `weights`.

    Raises:
        ConfigError: No method has that name, or nobody published weights for it.
        MissingExtraError: torch is not installed.
    """
    convert: Callable[..., Path] | None = getattr(method_weights(name), "convert", None)
    if convert is None:
        able = [other for other in names() if hasattr(method_weights(other), "convert")]
        raise ConfigError(
            f"there are no published checkpoints of {name} to convert",
            hint=f"train it, or convert one of {', '.join(able)}",
        )
    return convert


def of_config(config: object) -> str:
    """Name of the method that a config belongs to.

    Raises:
        ConfigError: None of the table.
    """
    for name in names():
        if method_class(name).config_type is type(config):
            return name
    raise ConfigError(f"no method has a config of type {type(config).__name__}", hint=f"there is {', '.join(names())}")


def presets(name: str) -> dict[str, Callable[[], Any]]:
    """Preset functions of a method, by the name of the preset; they stand beside its config."""
    return getattr(importlib.import_module(method_class(name).config_type.__module__), "PRESETS", {})


def resolve_config(config: str | Path, kind: type[Any] = object) -> Any:
    """The config of a preset of any method, or of a published first-order YAML file.

    Args:
        config: Name of a preset, or path of a YAML file.
        kind: Type of config that is wanted, where only one method's will do.

    Raises:
        ConfigError: Neither a preset (of that method) nor a readable file.
    """
    known = {preset: made for name in names() for preset, made in presets(name).items()}
    fits = {preset: made for preset, made in known.items() if kind is object or isinstance(made(), kind)}
    if str(config) in fits:
        return fits[str(config)]()
    path = Path(config)
    if kind is object and (path.is_file() or path.suffix in (".yaml", ".yml")):
        return importlib.import_module("stillmotion.methods.firstorder.published").from_yaml(path)
    what = "neither a preset nor a YAML file" if kind is object else "no preset of this method"
    raise ConfigError(f"{str(config)!r} is {what}", hint=did_you_mean(str(config), list(fits)))


def bundle_in(path: Path) -> Path:
    """The bundle that somebody means: a training run stands for the one that it wrote.

    Args:
        path: Bundle, folder of a run, or anything else, which comes back as it is.

    Raises:
        WeightsError: A run that has not written its bundle, or a run's checkpoint, which only goes on training.
    """
    if path.is_file() and (path.parent / "run.json").is_file():
        is_written = (path.parent / "bundle" / CARD).is_file()
        hint = f"give the run: {path.parent}" if is_written else "a run writes its weights when it ends"
        raise WeightsError(f"{path} is what a training run goes on from, not its weights", hint=hint)
    if not path.is_dir() or (path / CARD).is_file():
        return path
    if (path / "bundle" / CARD).is_file():
        return path / "bundle"
    if (path / "checkpoint.pt").is_file():
        raise WeightsError(
            f"the run {path} holds no bundle, only a checkpoint", hint="a run writes its bundle when it ends"
        )
    return path


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
        weights: Name of shipped weights (a folder called like them is meant by `./heads` or a `Path`), path of a
            bundle folder or of the training run that wrote it, or, where torch is installed, path of a published
            first-order checkpoint (`.pth.tar`). None is the shipped default.
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
    if config is None:
        path = bundle_in(path)
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
        marks=card.marks,
    )
    return method


def _place(name: str) -> str:
    known = table()
    if name not in known:
        raise ConfigError(f"there is no method called {name!r}", hint=did_you_mean(name, list(known)))
    return known[name]


def _locate(weights: str | Path | None) -> Path:
    if weights is None or (isinstance(weights, str) and shipped_weights.is_shipped(weights)):
        return shipped_weights.find(weights)
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


__all__ = [
    "GROUP",
    "METHODS",
    "EngineName",
    "bundle_in",
    "load",
    "method_class",
    "method_converter",
    "method_losses",
    "method_weights",
    "names",
    "of_config",
    "presets",
    "resolve_config",
    "table",
]
