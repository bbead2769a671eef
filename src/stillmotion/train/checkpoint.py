"""Checkpoints: everything a run needs to go on as if it had never stopped.

One `torch.save` file with the entries as published (each network by its name, their `optimizer_*`,
`epoch`: index of the last finished epoch, -1 before) and ours (`format`, `step`, `average`, `facts`).
Random streams need no entry: they follow from the seed and the step. Learning rates follow from the
epoch. Opened with `weights_only`, so that a checkpoint cannot run code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.nn.checkpoint import load_strictly, read_checkpoint
from stillmotion.nn.objective import Objective
from stillmotion.train.average import Average
from stillmotion.video.target import replacing

FORMAT = 1
NAME = "checkpoint.pt"


def save_checkpoint(
    path: Path,
    *,
    networks: dict[str, nn.Module],
    optimizers: dict[str, Optimizer],
    average: Average | None,
    step: int,
    epoch: int,
    facts: dict[str, Any],
) -> None:
    """Write beside `path` and rename.

    Args:
        path: Target.
        networks, optimizers: By name.
        average: Or None.
        step: Steps done.
        epoch: Index of the last finished epoch, -1 before the first.
        facts: What a resumed run must have in common with this one; plain values.

    Raises:
        OutputError: The file cannot be written.
    """
    content: dict[str, Any] = {name: network.state_dict() for name, network in networks.items()}
    content |= {f"optimizer_{name}": optimizer.state_dict() for name, optimizer in optimizers.items()}
    content |= {"format": FORMAT, "step": step, "epoch": epoch, "facts": facts}
    content["average"] = None if average is None else average.state_dict()
    with replacing(path) as partial:
        torch.save(content, partial)


def load_checkpoint(
    path: Path,
    *,
    networks: dict[str, nn.Module],
    optimizers: dict[str, Optimizer],
    average: Average | None,
    facts: dict[str, Any],
) -> int:
    """Put a run back where the checkpoint was written; returns the steps done.

    Raises:
        WeightsError: Missing or damaged, of another format, or incomplete: a missing discriminator or
            optimizer is an error here, never passed over.
        ConfigError: The run differs from the one that wrote the file.
    """
    content = _read(path, networks)
    _compare(content.get("facts", {}), facts, path)
    wanted = [*networks, *(f"optimizer_{name}" for name in optimizers), "step"]
    missing = [name for name in wanted if name not in content]
    if average is not None and content.get("average") is None:
        missing.append("average")
    if missing:
        raise WeightsError(
            f"{path} cannot be resumed: it has no {', '.join(missing)}",
            hint="start a new run from its networks with --start",
            missing=tuple(missing),
        )
    load_strictly(networks, {name: content[name] for name in networks}, where=str(path))
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(content[f"optimizer_{name}"])
    if average is not None:
        average.load_state_dict(content["average"])
    return int(content["step"])


def _read(path: Path, networks: dict[str, nn.Module]) -> dict[str, Any]:
    read_checkpoint(
        path, [n for n in networks if n != "discriminator"]
    )  # every way a file can be wrong has its message there
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if content.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is not a checkpoint of stillmotion's training (format {content.get('format')!r})",
            hint="start a new run from its networks with --start",
        )
    return content


def _compare(theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> None:
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise ConfigError(
                f"{path} was written by a run with another {name}: {_short(theirs.get(name))}, now {_short(value)}",
                hint="resume with the same settings, or start a new run from its networks with --start",
                name=name,
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def start_from(path: Path, networks: dict[str, nn.Module], objective: Objective) -> list[str]:
    """Load the networks of another run's (or a published) checkpoint for a new run.

    The watched networks must fit. Another one that is missing or of another shape (the published second
    stage shows its discriminator keypoints, the first does not) starts anew, and is reported: the
    published loop passes over it in silence.

    Returns:
        Names of the networks that start anew.

    Raises:
        WeightsError: Unreadable, or a watched network does not fit.
    """
    states = objective.adapt(read_checkpoint(path, ()))
    anew = []
    for name, network in networks.items():
        if name not in states and name not in objective.watched:
            anew.append(name)
            continue
        try:
            if name not in states:
                read_checkpoint(path, objective.watched)  # says what is missing
            load_strictly({name: network}, states, where=str(path))
        except WeightsError:
            if name in objective.watched:
                raise
            anew.append(name)
    return anew
