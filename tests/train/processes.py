"""Run by torchrun in `test_processes`: trains, then compares what the processes hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed

from stillmotion.nn.objective import Sample
from stillmotion.train.loop import Run
from stillmotion.train.options import Options
from tests.train.conftest import ADVERSARIAL, tiny_config


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor of every process, `(processes, ...)`."""
    parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)


def gradients(run: Run, batch: dict, *, wrapped: bool) -> torch.Tensor:  # type: ignore[type-arg]
    """Gradients of the generator and detector on this process's share of a batch, as one vector."""
    ours = run.turns[0].module
    step = ours if wrapped else ours.module
    step.zero_grad()
    planes = [batch[name].float() / 255 for name in ("source", "driving")]
    losses, _ = step(Sample(*planes, random=torch.Generator().manual_seed(0)), {})
    run.fabric.backward(sum(losses.values())) if wrapped else sum(losses.values()).backward()
    return torch.cat([p.grad.flatten() for p in ours.parameters() if p.grad is not None])


def main(data: str, output: str) -> None:
    torch.set_num_threads(1)
    config = tiny_config(weights=ADVERSARIAL, batch=4)
    run = Run(config, Options(data=Path(data), output=Path(output), device="cpu", max_steps=3, export=False))
    rank = run.fabric.global_rank
    batch = next(iter(run._batches(1)))
    alone = gathered(gradients(run, batch, wrapped=False))
    together = gathered(gradients(run, batch, wrapped=True))
    shares = gathered(batch["driving"].float())
    result = run.go()
    weights = torch.cat([p.detach().flatten() for net in run.networks.values() for p in net.parameters()])
    held = gathered(weights)
    if rank == 0:
        facts = {
            "processes": len(held),
            "share": list(shares.shape),
            "shares differ": not torch.equal(shares[0], shares[1]),
            "gradients alone differ": not torch.equal(alone[0], alone[1]),
            "gradients together agree": torch.equal(together[0], together[1]),
            "distance from the mean": float((together[0] - alone.mean(0)).abs().max() / alone.abs().max()),
            "weights agree": torch.equal(held[0], held[1]),
            "step": result.step,
        }
        (Path(output) / "facts.json").write_text(json.dumps(facts))
    run.close()
    run.close()
    if distributed.is_initialized():
        sys.exit("the process group outlives its run")


if __name__ == "__main__":
    main(*sys.argv[1:])
