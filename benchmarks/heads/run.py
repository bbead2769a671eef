"""The loop: phases one after the other, resumable, with a time budget."""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from heads.loader import Loader, World
from heads.motion import motion_figures, motion_step
from heads.painting import painting_step
from heads.pictures import sheet
from heads.published import published_step
from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.nn.features import FeatureNetwork

BATCH = {"motion": 32, "paint": 12, "published": 16}
SIZE = {"motion": 128, "paint": 256, "published": 128}


@dataclass
class Run:
    """One training run.

    Args:
        networks: `kp_detector`, `generator`; changed in place.
        config: Theirs.
        worlds: What pairs are drawn from, with shares.
        features: Of the perceptual term.
        output: Folder of the state, the log and the sheets.
        phases: Names (`motion`, `paint`, `published`) with minutes, in order.
        rate: Largest learning rate of Adam; it falls to a thirtieth within each phase.
        seed: Of pairs and windows.
        batch: Factor on the batch sizes.
        device: Where it is computed.
    """

    networks: dict[str, nn.Module]
    config: FirstOrderConfig
    worlds: list[tuple[World, float]]
    features: FeatureNetwork
    output: Path
    phases: list[tuple[str, float]]
    rate: float
    seed: int
    batch: float = 1.0
    device: str = "cpu"
    state: dict[str, float] = field(default_factory=lambda: {"minutes": 0.0, "steps": 0, "samples": 0})

    def __post_init__(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        for network in self.networks.values():
            network.to(self.device, memory_format=torch.channels_last)
        self.features.to(self.device)
        self.average = copy.deepcopy(self.networks)
        self.stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self.stop.set())
        self.checkpoint = self.output / "state.pt"
        self.phase = ""
        self.saved: dict[str, Any] | None = None
        if self.checkpoint.exists():
            self.saved = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
            for name, network in self.networks.items():
                network.load_state_dict(self.saved["networks"][name])
                self.average[name].load_state_dict(self.saved["average"][name])
            self.state = self.saved["state"]

    def go(self) -> None:
        """Every phase that is not over yet."""
        end = 0.0
        for phase, minutes in self.phases:
            begin, end = end, end + minutes
            if self.state["minutes"] < end and not self.stop.is_set():
                self.run_phase(phase, begin, end)

    def trained(self, phase: str) -> list[nn.Parameter]:
        """Freeze what the phase leaves alone (batch statistics too) and return the rest."""
        generator, detector = self.networks["generator"], self.networks["kp_detector"]
        motion = [detector, generator.dense_motion_network]
        painters = [part for name, part in generator.named_children() if name != "dense_motion_network"]
        learning, still = {
            "motion": (motion, painters),
            "paint": (painters, motion),
            "published": (motion + painters, []),
        }[phase]
        for part in still:
            part.eval()
        for part in learning:
            part.train()
        for module in (*learning, *still):
            module.requires_grad_(module in learning)
        size = SIZE[phase] / (self.config.size * self.config.keypoints.scale)
        detector.down.stride = generator.dense_motion_network.down.stride = round(size)
        return [p for part in learning for p in part.parameters()]

    def run_phase(self, phase: str, begin: float, end: float) -> None:
        self.phase = phase
        parameters = self.trained(phase)
        self.optimiser = torch.optim.Adam(parameters, self.rate, betas=(0.9, 0.99))
        if self.saved is not None and self.saved["phase"] == phase:
            self.optimiser.load_state_dict(self.saved["optimiser"])
        self.saved = None
        seed = self.seed + 1000 * int(self.state["steps"])
        loader = Loader(self.worlds, batch=int(BATCH[phase] * self.batch), size=SIZE[phase], seed=seed)
        rng = np.random.default_rng(seed + 7)
        log, clock, seen = Log(self.output / "log.txt"), time.monotonic(), 0
        while self.state["minutes"] < end and not self.stop.is_set():
            share = (self.state["minutes"] - begin) / (end - begin)
            rate = self.rate * min(1.0, seen / 100 + 0.01) * (0.967 * 0.5 * (1 + math.cos(math.pi * share)) + 0.033)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            item, outputs, figures = self.step(phase, self.move(loader.next()), rng, parameters)
            now = time.monotonic()
            self.state["minutes"] += (now - clock) / 60
            clock, seen = now, seen + 1
            self.state["steps"] += 1
            self.state["samples"] += len(item["source"])
            log.add(figures)
            if self.state["steps"] % 50 == 0:
                log.line(phase, self.state, len(item["source"]))
            if self.state["steps"] % 200 == 0:
                sheet(item, outputs, self.output / f"sheet-{int(self.state['steps']):06d}.png")
                self.save()
        loader.close()
        self.save()

    def move(self, item: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in item.items()}

    def step(
        self, phase: str, item: dict[str, Tensor], rng: np.random.Generator, parameters: list[nn.Parameter]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, float]]:
        """One update: the batch (cut to a window when painting), the outputs, the figures."""
        if phase == "motion":  # the equivariance pass costs a fifth of a step: every third step
            turn = self.state["steps"] % 3 == 0
            losses, outputs = motion_step(self.networks, item, self.config, turn=turn)
            figures = motion_figures(outputs, item)
        elif phase == "published":
            losses, outputs = published_step(self.networks, item, self.config, self.features)
            figures = painting_figures(outputs, item)
        else:
            losses, outputs, item = painting_step(self.networks, item, rng, self.features)
            figures = painting_figures(outputs, item)
        sum(losses.values()).backward()
        norm = nn.utils.clip_grad_norm_(parameters, 20.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.blend()
        return item, outputs, {name: float(loss.detach()) for name, loss in losses.items()} | figures

    @torch.no_grad()
    def blend(self) -> None:
        """Move the running average."""
        decay = min(0.998, (1 + self.state["steps"]) / (10 + self.state["steps"]))
        for name, network in self.networks.items():
            pairs = zip(self.average[name].state_dict().values(), network.state_dict().values(), strict=True)
            for ours, theirs in pairs:
                if ours.dtype.is_floating_point:
                    ours.lerp_(theirs, 1 - decay)

    def save(self) -> None:
        part = self.checkpoint.with_suffix(".part")
        content = {
            "networks": {n: m.state_dict() for n, m in self.networks.items()},
            "average": {n: m.state_dict() for n, m in self.average.items()},
            "optimiser": self.optimiser.state_dict(),
            "phase": self.phase,
            "state": self.state,
            "config": json.dumps(asdict(self.config)),
        }
        torch.save(content, part)
        part.replace(self.checkpoint)


def painting_figures(outputs: dict[str, Tensor], item: dict[str, Tensor]) -> dict[str, float]:
    """Plain and weighted L1 of the prediction and of copying the source."""
    figures = {}
    for name, guess in (("l1", outputs["prediction"]), ("copy", item["source"])):
        gap = (guess.detach() - item["driving"]).abs()
        figures |= {name: float(gap.mean()), f"{name}_weighted": float((gap * item["emphasis"]).mean())}
    return figures


class Log:
    """Means of 50 steps, a line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.last = time.monotonic()

    def add(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def line(self, phase: str, state: dict[str, float], batch: int) -> None:
        now = time.monotonic()
        speed = 50 * batch / (now - self.last)
        means = " ".join(f"{name} {total / self.counts[name]:.4f}" for name, total in self.sums.items())
        with self.path.open("a") as file:
            print(f"{phase} step {state['steps']:.0f} min {state['minutes']:.1f} {speed:.1f}/s {means}", file=file)
        self.sums, self.counts, self.last = {}, {}, now
