"""The training loop of every method.

A method supplies its objective (`nn.objective`): who learns what, in which order, from how many frames.
The loop draws the samples, runs the turns, and keeps the books; learning rates fall tenfold after each
milestone epoch. Mended against the published loops: a resumed run goes on at the next step instead of
repeating an epoch, workers follow the seed, and nothing that is missing from a checkpoint is passed over.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from stillmotion import methods
from stillmotion.core.errors import StillmotionError
from stillmotion.core.frame import to_planes
from stillmotion.core.method import Method
from stillmotion.data.pairs import Batch, StepSampler, make_loader
from stillmotion.nn.features import FeatureNetwork, load_features
from stillmotion.nn.objective import Objective, Sample, Turn
from stillmotion.runtime.bundle import CropContract
from stillmotion.train import checkpoint, setup
from stillmotion.train.average import Average
from stillmotion.train.options import Options
from stillmotion.train.preview import Preview
from stillmotion.train.progress import Bar
from stillmotion.train.record import Record, describe_features
from stillmotion.train.result import Result
from stillmotion.train.setup import Config
from stillmotion.train.stopping import Reason, Stopper

FIRST_FRAMES = 32
"""Most frames that `Objective.begin` is shown."""


def train(config: Config, *, data: str | Path, output: str | Path, **options: Any) -> Result:
    """Train a method on a folder of clips.

    Run under `torchrun --nproc-per-node N` to use several processes; nothing else changes.

    Args:
        config: Network and schedule of any method, such as `vox_256()`.
        data: Folder of clips.
        output: Folder of the run; created. One that holds a checkpoint needs `resume=True`.
        **options: Fields of `Options` by name.

    Returns:
        What the run came to. Scores, bundle and skipped clips are known to the first process alone,
        which reports those of its own share.

    Raises:
        ConfigError: The settings make no sense, or do not fit the checkpoint that is resumed.
        DataError: No data to train on.
        WeightsError: A checkpoint or feature network that cannot be loaded.
        OutputError: The folder cannot be written, or holds another run.
        StillmotionError: The loss stopped being a number.
    """
    run = Run(config, Options(data=Path(data), output=Path(output), **options))
    try:
        return run.go()
    except BaseException as error:
        run.fail(error)
        raise
    finally:
        run.close()


class Run:
    """One training run; `train` is the way in."""

    def __init__(self, config: Config, options: Options) -> None:
        self.began = time.monotonic()
        self.options = options
        self.record: Record | None = None
        features = None if options.features is None else load_features(options.features)
        folder, self.held_out = setup.open_data(config, options)
        self.method = methods.of_config(config)
        self.side = methods.method_weights(self.method)
        self.config: Config = self.side.fitted(config, clips=len(folder))
        self.fabric = setup.make_fabric(options)
        world = setup.processes()
        on_gpus = world > 1 and self.fabric.device.type == "cuda"
        self.networks = setup.build_networks(self.side, self.config, options, sync=on_gpus)
        objective = methods.method_losses(self.method).objective(self.networks, self.config, features)
        self.anew = self._start(objective)
        self.dataset = setup.make_dataset(self.config, options, folder, objective)
        self.per_epoch = setup.steps_per_epoch(self.config, options, pairs=len(self.dataset), world=world)
        self.last_step = self.config.training.epochs * self.per_epoch
        setup.check_output(options)
        self._owns_group = not (distributed.is_available() and distributed.is_initialized())
        self.fabric.launch()
        if features is not None:
            setup.channels_last(features.to(self.fabric.device))
        self._set_up(objective)
        self.step = self._place()
        self.losses: dict[str, float] = {}
        self.scores: dict[str, float] = {}
        self._window: list[dict[str, Tensor]] = []
        self._saved = self._logged = time.monotonic()
        self._start_record(features)

    def _start(self, objective: Objective) -> list[str]:
        """Take over another run's networks; the names of those that start anew beside them."""
        if self.options.start is None:
            return []
        return checkpoint.start_from(self.options.start, self.networks, objective)

    def _set_up(self, objective: Objective) -> None:
        """Hand modules and optimizers to Fabric; the plain networks stay ours for saving and looking."""
        if objective.begin is not None and not self.options.resume:
            objective.begin(self._first_frames())
        self.optimizers = {n: optimizer for turn in objective.turns for n, optimizer in turn.optimizers.items()}
        self.rates = {name: float(optimizer.param_groups[0]["lr"]) for name, optimizer in self.optimizers.items()}
        self.turns: list[Turn] = []
        for turn in objective.turns:
            module, *_ = self.fabric.setup(turn.module, *turn.optimizers.values())
            module.train()
            self.turns.append(Turn(module, turn.optimizers))
        self.watched = {name: self.networks[name] for name in objective.watched}
        self.average = Average(self.watched, decay=self.options.ema) if self.options.ema else None

    def _first_frames(self) -> Tensor:
        """The first frames of the training clips, evenly from each, as planes."""
        folder = self.dataset.folder
        share = max(FIRST_FRAMES // len(folder), 1)
        found: list[np.ndarray] = []
        for index in range(min(len(folder), FIRST_FRAMES)):
            length = folder.length(index)
            places = np.unique(np.linspace(0, length - 1, min(share, length)).round().astype(int))
            found.append(folder.frames(index, places.tolist()))
        return torch.from_numpy(to_planes(np.concatenate(found)))

    def _facts(self) -> dict[str, Any]:
        return setup.shared_facts(self.config, self.options, pairs=len(self.dataset))

    def _place(self) -> int:
        """The step to go on from."""
        if not self.options.resume:
            return self.options.start_epoch * self.per_epoch
        return checkpoint.load_checkpoint(
            self.options.output / checkpoint.NAME,
            networks=self.networks,
            optimizers=self.optimizers,
            average=self.average,
            facts=self._facts(),
        )

    def _start_record(self, features: FeatureNetwork | None) -> None:
        if not self.fabric.is_global_zero:
            return
        folder = self.dataset.folder
        held = "train" if self.held_out is folder else "test"
        self.preview = Preview(self.held_out)
        data = {
            "path": str(folder.path),
            "clips": len(folder),
            "identities": len(folder.identities),
            "held out": 0 if held == "train" else len(self.held_out),
            "pairs per epoch": len(self.dataset),
            "repeats": self.dataset.repeats,
        }
        kind = None if features is None else features.kind
        facts = {
            "method": self.method,
            "data": data,
            "features": describe_features(self.options.features, kind),
            "device": str(self.fabric.device),
            "processes": self.fabric.world_size,
            "first step": self.step,
            "started anew": self.anew,
        }
        self.record = Record(self.config, self.options, facts)

    def go(self) -> Result:
        """Train until the end, a budget or a signal; save; export."""
        stop_at = min(self.last_step, self.options.max_steps or self.last_step)
        with (
            Stopper(minutes=self._minutes_left()) as stopper,
            Bar(self.step, stop_at, show=self.fabric.is_global_zero) as bar,
        ):
            reason: Reason | None = None
            for batch in self._batches(stop_at):
                self._one_step(batch)
                self._look_after(bar)
                reason = self._agree(stopper.reason())
                if reason is not None:
                    break
            self._save()
        if reason is None:
            reason = "finished" if self.step >= self.last_step else "steps"
        return self._finish(reason)

    def _minutes_left(self) -> float | None:
        spent = (time.monotonic() - self.began) / 60
        return None if self.options.max_minutes is None else self.options.max_minutes - spent

    def _batches(self, stop_at: int) -> Iterator[Batch]:
        sampler = StepSampler(
            len(self.dataset),
            self.config.training.batch,
            seed=self.options.seed,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            start=self.step,
            stop=stop_at,
        )
        cuda = self.fabric.device.type == "cuda"
        yield from make_loader(self.dataset, sampler, workers=self.options.workers, pin_memory=cuda)  # type: ignore[misc]

    def _one_step(self, batch: Batch) -> None:
        self._set_rates()
        random = setup.step_random(self.options.seed, self.step, self.fabric.global_rank)
        frames = [self._planes(frame) for frame in batch["frames"]]
        sample = Sample(*frames, clips=batch["clips"].to(self.fabric.device), step=self.step, random=random)
        losses: dict[str, Tensor] = {}
        made: dict[str, Tensor] = {}
        for turn in self.turns:
            ours, more = turn.module(sample, made)
            self._descend(ours, turn)
            losses |= ours
            made |= more
        if self.average is not None:
            self.average.update()
        self.step += 1
        self._window.append({name: loss.detach() for name, loss in losses.items()})
        for name, message in batch["skipped"]:
            if self.record is not None and self.record.skip(name, message):
                self.fabric.print(f"skipped clip {name}: {message}")

    def _planes(self, levels: Tensor) -> Tensor:
        """`uint8 (n, 3, h, w)` to floats in [0, 1] on the device."""
        moved = levels.to(self.fabric.device, non_blocking=True, memory_format=torch.channels_last)
        return moved.float() / 255

    def _set_rates(self) -> None:
        epoch = self.step // self.per_epoch
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = setup.learning_rate(self.rates[name], epoch, self.config.training.milestones)

    def _descend(self, losses: dict[str, Tensor], turn: Turn) -> None:
        """One gradient step on the sum of the losses."""
        for optimizer in turn.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(sum(losses.values(), start=torch.zeros((), device=self.fabric.device)))
        if self.options.clip is not None:
            held = [parameter for parameter in turn.module.parameters() if parameter.grad is not None]
            nn.utils.clip_grad_norm_(held, self.options.clip)
        for optimizer in turn.optimizers.values():
            optimizer.step()

    def _look_after(self, bar: Bar) -> None:
        """Log, draw and save when it is time."""
        if self.step % self.options.log_steps == 0:
            self._log()
        bar.advance(self.losses)
        if self.step % self.options.picture_steps == 0:
            self._look()
        at_epoch = self.step % (self.config.training.checkpoint_epochs * self.per_epoch) == 0
        if at_epoch or time.monotonic() - self._saved > self.options.checkpoint_minutes * 60:
            self._save()

    def _log(self) -> None:
        """Means over the steps since the last entry.

        Raises:
            StillmotionError: They hold NaN or infinity; the last checkpoint is from before.
        """
        if not self._window:
            return
        names = self._window[0]
        means = {name: float(torch.stack([entry[name] for entry in self._window]).mean()) for name in names}
        if not all(np.isfinite(value) for value in means.values()):
            raise StillmotionError(
                f"training diverged: at step {self.step} the losses are {means}",
                hint="lower the learning rates, clip gradients (--clip 1), or use --precision 32-true",
                step=self.step,
            )
        self.losses = means
        now = time.monotonic()
        speed = len(self._window) * self.config.training.batch / max(now - self._logged, 1e-9)
        self._window, self._logged = [], now
        if self.record is not None:
            rates = {f"learning rate/{name}": opt.param_groups[0]["lr"] for name, opt in self.optimizers.items()}
            scalars = {f"loss/{name}": value for name, value in means.items()} | {"pairs per second": speed}
            self.record.scalars(scalars | rates, self.step)

    def _look(self) -> None:
        if self.record is None:
            return
        with self._averaged():
            grid, self.scores = self.preview.look(self._as_method())
        self.record.picture(grid, self.step)
        self.record.scalars(self.scores, self.step)

    def _as_method(self) -> Method:
        """The networks as they are now, ready to run."""
        options = {"device": str(self.fabric.device), "cuda_graphs": False}
        engine = self.side.networks_engine(self.watched, self.config, **options)
        kind = methods.method_class(self.method)
        method: Method = kind(engine, config=self.config, weights=self.config.name)
        return method

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.applied()

    def _save(self) -> None:
        """Write the checkpoint, unless the losses since the last log entry say that the weights are lost."""
        self._log()
        self._saved = time.monotonic()
        if self.record is None:
            return
        checkpoint.save_checkpoint(
            self.options.output / checkpoint.NAME,
            networks=self.networks,
            optimizers=self.optimizers,
            average=self.average,
            step=self.step,
            epoch=self.step // self.per_epoch - 1,
            facts=self._facts(),
        )
        self.record.update(**self._progress())

    def _progress(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "epoch": self.step // self.per_epoch,
            "seconds": round(time.monotonic() - self.began, 1),
            "losses": self.losses,
            "scores": self.scores,
        }

    def _agree(self, reason: Reason | None) -> Reason | None:
        """All processes leave at the same step, for the first reason that any of them has."""
        if self.fabric.world_size == 1:
            return reason
        order: list[Reason | None] = [None, "time", "signal"]
        mine = torch.tensor(float(order.index(reason)), device=self.fabric.device)
        everyone = self.fabric.all_gather(mine)
        assert isinstance(everyone, Tensor)
        return order[int(everyone.max())]

    def _finish(self, reason: Reason) -> Result:
        bundle = None
        if self.record is not None:
            self._look()
            bundle = self._export() if self.options.export and reason != "signal" else None
            self.record.update(status=reason, bundle=None if bundle is None else bundle.name, **self._progress())
        self.fabric.barrier()
        skipped = {} if self.record is None else dict(self.record.content["skipped"])
        seconds = time.monotonic() - self.began
        epoch = self.step // self.per_epoch
        return Result(self.options.output, reason, self.step, epoch, seconds, self.losses, self.scores, bundle, skipped)

    def _export(self) -> Path:
        """A weights bundle in `bundle/`; without the packages that export graphs, of tensors alone."""
        options = self.options
        has_stages = options.stages and find_spec("onnxscript") is not None
        contract = self.side.published_crop(self.config)
        if options.crop == "face":
            contract = CropContract(kind="face", margin=options.margin)
        with self._averaged():
            path: Path = self.side.save_bundle(
                self.watched,
                self.config,
                options.output / "bundle",
                name=self.config.name,
                crop=contract,
                data=str(options.data.name),
                recipe={"run": checkpoint.NAME, "step": self.step, "scores": self.scores},
                keep="all" if has_stages else "tensors",
            )
        return path

    def fail(self, error: BaseException) -> None:
        """Note in the record why the run broke off."""
        if self.record is not None:
            self.record.update(status=f"failed: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Release the event file and leave the process group; safe to call twice.

        A group that lives until the interpreter exits can abort it: gloo's threads, still letting go of
        tensors, ask for an interpreter that is no longer there. Destroying the group joins them.
        """
        if self.record is not None:
            self.record.close()
        if self._owns_group and self.fabric.world_size > 1 and distributed.is_initialized():
            self.turns.clear()  # they hold the group
            gc.collect()
            distributed.destroy_process_group()
