"""Published `.pth.tar` checkpoints, opened without running anything they hold, and loaded strictly."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillmotion.core.errors import WeightsError

CONSTANT = "down.weight"
"""Anti-aliasing kernels, stored by the published code: computed here, so never loaded (at scale 1 it stored NaN)."""
_SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
_OLD_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
"""How torch before 1.6 began its files."""
_AGAIN = "download it again; the published files are a few hundred megabytes"


def read_checkpoint(path: str | Path, parts: Iterable[str], *, method: str = "") -> dict[str, dict[str, Tensor]]:
    """State dicts of a checkpoint, published or of a training run, by network.

    Optimizers, epoch counts and other entries are ignored; `module.` prefixes and the names of the
    old spectral norm are translated.

    Args:
        path: A file written by `torch.save`, old or new format.
        parts: Networks that must be in it.
        method: What it should be a checkpoint of, for messages; empty where the networks say it.

    Raises:
        WeightsError: It is missing, empty, a web page, a git-lfs pointer, safetensors, cut short,
            a pickle that wants to run code, or a file without these networks.
    """
    path = Path(path)
    _check_head(path)
    content = _unpickle(path)
    found = {k: v for k, v in content.items() if isinstance(v, Mapping)} if isinstance(content, Mapping) else {}
    missing = [part for part in parts if part not in found]
    if missing:
        keys = ", ".join(map(str, list(content)[:6])) if isinstance(content, Mapping) else type(content).__name__
        kind = f"a checkpoint of {method}" if method else "a checkpoint for these networks"
        raise WeightsError(
            f"{path.name} is not {kind}: it has no {', '.join(missing)} (it holds {keys})",
            hint=f"give one of {method or 'the same method'}, or say which method this one is for",
        )
    states = {name: translate(state) for name, state in found.items() if not name.startswith("optimizer")}
    return {name: state for name, state in states.items() if state}


def translate(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Tensors of a published state dict under our names."""
    out = {}
    for key, tensor in state.items():
        if isinstance(key, str) and isinstance(tensor, Tensor):
            stem, _, last = key.removeprefix("module.").rpartition(".")
            out[f"{stem}.{_SPECTRAL.get(last, last)}" if stem else last] = tensor
    return out


def published_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `translate`: our tensors under the published names."""
    back = {ours: theirs for theirs, ours in _SPECTRAL.items()}
    out = {}
    for key, tensor in state.items():
        for ours, theirs in back.items():
            if key.endswith(f".{ours}"):
                key = key.removesuffix(ours) + theirs
                break
        out[key] = tensor
    return out


def load_strictly(networks: Mapping[str, nn.Module], states: Mapping[str, Mapping[str, Tensor]], *, where: str) -> None:
    """Load each network's state, every name and shape accounted for.

    Args:
        networks: Networks by name; each needs an entry in `states`.
        states: Tensors by our names.
        where: What to call the origin in messages.

    Raises:
        WeightsError: Names missing or unexpected, shapes that differ, NaN or infinity.
    """
    missing, unexpected, differing, broken = [], [], [], []
    for name, network in networks.items():
        own, given = network.state_dict(), states[name]
        missing += [f"{name}.{k}" for k in own if k not in given and not k.endswith(CONSTANT)]
        unexpected += [f"{name}.{k}" for k in given if k not in own and not k.endswith(CONSTANT)]
        for key in own.keys() & given.keys():
            if own[key].shape != given[key].shape:
                differing.append(f"{name}.{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}")
            elif not key.endswith(CONSTANT) and not torch.isfinite(given[key]).all():
                broken.append(f"{name}.{key}")
    problems = [
        _listed(missing, "missing"),
        _listed(unexpected, "unexpected"),
        _listed(sorted(differing), "of another shape"),
    ]
    if any(problems):
        raise WeightsError(
            f"{where} does not fit the config: {'; '.join(p for p in problems if p)}",
            hint="choose the config that the weights were trained with",
            missing=tuple(missing),
            unexpected=tuple(unexpected),
            differing=tuple(sorted(differing)),
        )
    if broken:
        raise WeightsError(
            f"{where} holds NaN or infinity: {_listed(sorted(broken), 'damaged')}",
            hint="the training diverged, or the file is damaged; use other weights",
        )
    for name, network in networks.items():
        own = network.state_dict()
        kept = {k: own[k] if k.endswith(CONSTANT) or k not in states[name] else states[name][k] for k in own}
        network.load_state_dict(kept)


def _listed(names: list[str], what: str) -> str:
    if not names:
        return ""
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})"


def _check_head(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}", hint="check the name of the checkpoint"
        ) from error
    text = head.lstrip().lower()
    if not head:
        raise WeightsError(f"{path.name} is empty", hint=_AGAIN)
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise WeightsError(f"{path.name} is a web page, not a checkpoint", hint="follow the page's own download link")
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path.name} is a git-lfs pointer, not the checkpoint itself", hint="fetch the file with `git lfs pull`"
        )
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        raise WeightsError(
            f"{path.name} is a safetensors file, not a published checkpoint",
            hint="tensors alone do not say what they are for; give the bundle folder that holds them",
        )


def _unpickle(path: Path) -> Any:
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped and not zipfile.is_zipfile(path):
        raise WeightsError(f"{path.name} is cut short: its end is missing", hint=_AGAIN)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes trip torch's reader in many ways
        raise _refusal(path, str(error)) from error


def _refusal(path: Path, reason: str) -> WeightsError:
    wanted = re.search(r"GLOBAL\s+([\w.]+)", reason)
    if wanted:
        return WeightsError(
            f"{path.name} was refused: it asks to run {wanted[1]}, which is more than holding tensors",
            hint="do not trust this file; nothing in it was run",
            wanted=wanted[1],
        )
    with path.open("rb") as file:
        started_well = file.read(len(_OLD_MAGIC)).startswith((_OLD_MAGIC, b"PK"))
    if started_well:
        return WeightsError(f"{path.name} is cut short or damaged and cannot be read", hint=_AGAIN)
    return WeightsError(f"{path.name} is not a checkpoint that torch can read safely", hint=_AGAIN)
