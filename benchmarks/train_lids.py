"""Train the network that says how open an eye is, on rendered heads.

    python benchmarks/train_lids.py --clips CLIPS --held-out CLIPS... --export src/stillmotion/weights/lids

`CLIPS` is what `stillmotion render heads --faces 0.4` wrote. The motion network of the default weights
places the close-ups, as it does in use; what is learned is the gap between the lids over the width of
the eye, from the true landmarks. `--held-out` are clips of people who are not in `CLIPS`, to score it on.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import stillmotion
from stillmotion.core.method import Method
from stillmotion.data.worlds.store import list_clips, read_clip
from stillmotion.nn.export import export_stage
from stillmotion.prepare.landmarks import openness
from stillmotion.prepare.lids import PATCH, eye_patches
from stillmotion.runtime.bundle import Card, write_bundle

RATE = 2e-3
BATCH = 128
WIDEST = 0.5
"""Openness of an eye that is wide open."""


class LidNetwork(nn.Module):
    """Close-ups `(n, 3, *PATCH)` in [0, 1] to openness `(n,)`."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 48)
        layers = [nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(widths)]
        self.convolutions = nn.ModuleList(layers)
        self.hidden = nn.Linear(widths[-1] * PATCH[0] * PATCH[1] // 64, 48)
        self.last = nn.Linear(48, 1)

    def forward(self, eyes: Tensor) -> Tensor:
        x = (eyes - 0.5) * 4
        for layer in self.convolutions:
            x = functional.relu(layer(x))
        openness: Tensor = self.last(functional.relu(self.hidden(x.flatten(1))))[:, 0] * 0.3
        return openness


def gather(method: Method, folder: Path, *, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Close-ups `(n, 2, *PATCH, 3)`, true openness `(n, 2)` and clip `(n,)` of every `step`th frame."""
    patches, labels, clips = [], [], []
    for index in list_clips(folder):
        frames, truth = read_clip(folder, index)
        for i in range(0, len(frames), step):
            motion = method.read(frames[i][None])[0]
            seen = openness(truth.landmarks[i])
            patches.append(eye_patches(frames[i], motion, method.spec.marks))  # type: ignore[arg-type]
            labels.append((seen.right_eye, seen.left_eye))
            clips.append(index)
    return np.stack(patches), np.array(labels, np.float32), np.array(clips)


def spoilt(eyes: Tensor) -> Tensor:
    """Moved, turned, resized, relit, blurred and noisy close-ups."""
    count, draw = len(eyes), torch.rand
    angle, size = (draw(count) - 0.5) * 0.24, 1 + (draw(count) - 0.5) * 0.3
    high = size * (1 + (draw(count) - 0.5) * 0.15)
    ratio = PATCH[1] / PATCH[0]
    rows = [
        [angle.cos() * size, -angle.sin() * size / ratio, (draw(count) - 0.5) * 0.3],
        [angle.sin() * high * ratio, angle.cos() * high, (draw(count) - 0.5) * 0.3],
    ]
    where = functional.affine_grid(
        torch.stack([torch.stack(row, 1) for row in rows], 1), eyes.shape, align_corners=False
    )
    eyes = functional.grid_sample(eyes, where, padding_mode="border", align_corners=False)
    eyes = eyes * (1 + (draw(count, 3, 1, 1) - 0.5) * 0.3) * (1 + (draw(count, 1, 1, 1) - 0.5) * 0.6)
    eyes = eyes + (draw(count, 3, 1, 1) - 0.5) * 0.15 + (draw(count, 1, 1, 1) - 0.5) * 0.2
    if draw(1) < 0.5:
        eyes = functional.avg_pool2d(eyes, 3, 1, 1)
    if draw(1) < 0.3:
        eyes = functional.interpolate(functional.interpolate(eyes, scale_factor=0.5, mode="area"), size=PATCH)
    return eyes + torch.randn_like(eyes) * 0.04 * draw(count, 1, 1, 1)


def planes(patches: np.ndarray) -> Tensor:
    """`uint8 (..., h, w, 3)` as `(n, 3, h, w)` in [0, 255]."""
    return torch.from_numpy(patches.reshape(-1, *PATCH, 3)).permute(0, 3, 1, 2).contiguous()


def train(patches: np.ndarray, labels: np.ndarray, *, steps: int) -> LidNetwork:
    """A network; shut, half open and wide eyes are seen about equally often."""
    eyes, truth = planes(patches), torch.from_numpy(labels.reshape(-1))
    bins = np.clip(labels.reshape(-1) / WIDEST * 12, 0, 11).astype(int)
    weights = 1 / np.maximum(np.bincount(bins, minlength=12), 50)[bins]
    network, rng = LidNetwork(), np.random.default_rng(0)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, RATE / 100)
    for _ in range(steps):
        chosen = rng.choice(len(eyes), BATCH, p=weights / weights.sum())
        loss = functional.smooth_l1_loss(network(spoilt(eyes[chosen].float() / 255)), truth[chosen], beta=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def score(network: LidNetwork, patches: np.ndarray, labels: np.ndarray, clips: np.ndarray) -> str:
    """How well both eyes together are judged, against the same person's open eyes: correlation and quantiles."""
    found = network(planes(patches).float() / 255).numpy().reshape(-1, 2).mean(1)
    true, guessed = [], []
    for clip in np.unique(clips):
        mine, theirs = labels[clips == clip].mean(1), found[clips == clip]
        usual = int(np.argmin(np.abs(mine - np.quantile(mine, 0.85))))
        true.append(mine / mine[usual])
        guessed.append(theirs / max(theirs[usual], 0.05))
    share, guess = np.concatenate(true), np.concatenate(guessed)
    lines = [f"correlation {np.corrcoef(share, guess)[0, 1]:.3f} over {len(share)} frames"]
    for low, high in ((0, 0.25), (0.25, 0.45), (0.45, 0.65), (0.65, 0.85), (0.85, 1.0), (1.0, 1.3)):
        inside = guess[(share >= low) & (share < high)]
        if len(inside):
            spread = np.quantile(inside, [0.05, 0.5, 0.95]).round(2).tolist()
            lines.append(f"truly {low} to {high} of open: {len(inside)} frames, judged {spread}")
    return "\n".join(lines)


def ship(network: LidNetwork, folder: Path, facts: dict[str, object]) -> None:
    """The bundle: one graph for both eyes of a frame, and its card."""

    def stages(place: Path) -> None:
        export_stage(network, {"eyes": torch.zeros(2, 3, *PATCH)}, ["openness"], place / "lids.onnx", half=True)

    card = Card(
        method="lids",
        name="lids",
        config={"size": list(PATCH)},
        convention="edges",
        data="rendered people (VALID avatars, six held out) and blends of them, with exact landmarks",
        licence="MIT",
        credit="VALID avatar library (Do et al. 2023, MIT)",
        recipe={"script": "benchmarks/train_lids.py", **facts},
    )
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    write_bundle(folder, card, tensors=tensors, export=stages, keep="stages")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, nargs="*", default=[])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--weights", help="whose keypoints place the close-ups; the default weights")
    parser.add_argument("--export", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    method = stillmotion.load(options.weights)
    patches, labels, clips = gather(method, options.clips, step=2)
    network = train(patches, labels, steps=options.steps)
    for folder in options.held_out:
        print(f"{folder.name}: {score(network, *gather(method, folder, step=2))}")
    if options.export:
        ship(network, options.export, {"steps": options.steps, "clips": len(np.unique(clips)), "eyes": labels.size})


if __name__ == "__main__":
    main()
