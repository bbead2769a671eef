"""What a run is made of before its first step: processes, data, networks, optimizers."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from types import ModuleType
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from stillmotion.core.errors import ConfigError, DataError, OutputError
from stillmotion.core.flow import Convention
from stillmotion.core.recipe import Schedule
from stillmotion.data.augment import Augmentation
from stillmotion.data.decode import Fit
from stillmotion.data.folder import ClipFolder
from stillmotion.data.pairs import PairDataset
from stillmotion.nn.objective import Objective
from stillmotion.train import checkpoint
from stillmotion.train.options import Options

Network = TypeVar("Network", bound=nn.Module)
FALL = 0.1
"""Factor on the learning rates at each milestone."""


class Config(Protocol):
    """What the loop reads of a method's config; the rest is the method's business."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def convention(self) -> Convention: ...
    @property
    def training(self) -> Schedule: ...


def learning_rate(base: float, epoch: int, milestones: tuple[int, ...]) -> float:
    """Learning rate in `epoch` (from 0): a function of the epoch, so that there is no scheduler to restore."""
    return base * FALL ** sum(epoch >= milestone for milestone in milestones)


def step_random(seed: int, step: int, rank: int) -> torch.Generator:
    """The random stream of one step on one process: a function of its place, so that none need be stored."""
    state = np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def check_schedule(config: Config) -> None:
    """Refuse a schedule that trains nothing.

    Raises:
        ConfigError: A number of it is below 1.
    """
    for name in ("batch", "epochs", "repeats", "checkpoint_epochs", "sources"):
        value = getattr(config.training, name, 1)  # not every method takes several sources
        if value < 1:
            raise ConfigError(
                f"training.{name} must be at least 1, not {value}", hint=f"--set training.{name}=1 or more"
            )


def check_output(options: Options) -> None:
    """Create the run's folder, or refuse it.

    Raises:
        ConfigError: `resume` without a checkpoint.
        OutputError: The folder cannot be made, or holds a run that is not to be resumed.
    """
    path = options.output / checkpoint.NAME
    if options.resume and not path.exists():
        raise ConfigError(f"nothing to resume: {path} does not exist", hint="start without --resume")
    if path.exists() and not options.resume:
        raise OutputError(
            f"{options.output} holds a run already", hint="add --resume to go on, or choose another folder"
        )
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the run's folder {options.output} cannot be made: {error.strerror}", hint="choose another folder"
        ) from error


def open_data(config: Config, options: Options) -> tuple[ClipFolder, ClipFolder]:
    """The training clips, and the held-out ones (the training clips themselves where none are held out).

    Raises:
        ConfigError: The schedule trains nothing.
        DataError: No clips to train on.
    """
    check_schedule(config)
    fit = Fit((config.size, config.size), crop=options.crop, margin=options.margin)
    memory = options.memory // max(1, options.workers)
    folder = ClipFolder(options.data, fit=fit, subset="train", seed=options.seed, memory=memory, cache=options.cache)
    try:
        held = ClipFolder(options.data, fit=fit, subset="test", seed=options.seed, memory=0, cache=options.cache)
    except DataError:
        held = folder
    return folder, held


def make_dataset(config: Config, options: Options, folder: ClipFolder, objective: Objective) -> PairDataset:
    """Samples of the training clips."""
    training = config.training
    augmentation = Augmentation(**{"camera": options.camera} | asdict(training.augmentation))
    groups = len(folder.identities) if training.id_sampling else len(folder)
    # A set too small to fill one batch is drawn more often, rather than refused.
    repeats = max(training.repeats, -(-training.batch // groups))
    return PairDataset(
        folder,
        augmentation=augmentation,
        id_sampling=training.id_sampling,
        repeats=repeats,
        seed=options.seed,
        draw=objective.draw,
    )


def processes() -> int:
    """How many processes torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def make_fabric(options: Options) -> Fabric:
    """Fabric for this process: the device asked for, all processes that torchrun started.

    Raises:
        ConfigError: No such device here.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(f"cannot train on device {device!r} here", hint="use --device cpu, or auto")
    here, everywhere = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), processes()
    if everywhere == 1:
        return Fabric(accelerator=device, devices=1, precision=options.precision)
    nodes = everywhere // here
    return Fabric(
        accelerator=device, devices=here, num_nodes=nodes, strategy=DDPStrategy(), precision=options.precision
    )


def steps_per_epoch(config: Config, options: Options, *, pairs: int, world: int) -> int:
    """Whole batches in an epoch of `pairs`.

    Raises:
        ConfigError: `world` processes cannot share the batch, or nothing is left to train.
    """
    training = config.training
    if training.batch % world:
        raise ConfigError(f"{world} processes cannot share a batch of {training.batch}", hint="make it a multiple")
    if options.start_epoch >= training.epochs:
        seen = f"start_epoch {options.start_epoch} leaves none of {training.epochs} epochs to train"
        raise ConfigError(seen, hint="raise the epochs")
    return pairs // training.batch


def build_networks(side: ModuleType, config: Config, options: Options, *, sync: bool) -> dict[str, nn.Module]:
    """Networks with seeded weights.

    Args:
        side: The method's module `weights`.
        config: What to build.
        options: The seed.
        sync: Share batch statistics between processes, as published (CUDA only: torch has no
            synchronised batch norm for CPUs; there every process keeps its own, and rank 0's are saved).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        networks: dict[str, nn.Module] = side.build(config)
    if sync:
        networks = {name: nn.SyncBatchNorm.convert_sync_batchnorm(network) for name, network in networks.items()}
    # Channels last: a quarter less time per step on a CPU, and what tensor cores want.
    return {name: channels_last(network) for name, network in networks.items()}


def channels_last(network: Network) -> Network:
    """Lay the convolutions' weights out with channels last, in place; torch's stubs do not know the call."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def shared_facts(config: Config, options: Options, *, pairs: int) -> dict[str, Any]:
    """What a resumed run must share with the one that wrote the checkpoint; length and milestones may change."""
    plain: Any = config
    training = replace(config.training, epochs=0, milestones=(), checkpoint_epochs=0)
    return {
        "config": asdict(replace(plain, name="", license="", training=training)),
        "seed": options.seed,
        "pairs per epoch": pairs,
        "ema": options.ema,
        "clip": options.clip,
        "camera": options.camera,
        "precision": options.precision,
        "crop": f"{options.crop} {options.margin}",
    }
