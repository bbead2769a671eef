"""Train the face-box and landmark networks on rendered heads.

    python benchmarks/train_landmarks.py --clips CLIPS --backgrounds PICTURES... --minutes 58 -o RUN

`CLIPS` is what `stillmotion render heads` wrote; the backgrounds are pictures, or clips of which only
the lower part is used, without any face. The same command goes on where the run stopped. The
networks see nothing but rendered heads with their exact landmarks, pasted into and spoilt as in
`landmark_scenes.py`: no outside labels, no outside weights.

`--export BUNDLE` writes what ships: two ONNX graphs and their card.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from landmark_scenes import Heads, Studio, load_backgrounds
from stillmotion.data.worlds.store import list_clips
from stillmotion.nn.export import export_stage
from stillmotion.prepare.landmarks import CLOSE_UP, PICTURE
from stillmotion.runtime.bundle import Card, write_bundle

RECIPE = "benchmarks/train_landmarks.py"
STAGES = {"faces": (PICTURE, ["heat", "squares"]), "landmarks": (CLOSE_UP, ["points", "visible", "face"])}
DATA = "36 rendered people (VALID avatars, six held out) and blends of them, with exact landmarks; backgrounds without "
DATA += "faces: scikit-image's sample pictures, lower parts of 5 sign-language clips"
CREDIT = "VALID avatar library (Do et al. 2023, MIT); sample pictures of scikit-image (CC0 or public domain); "
CREDIT += "sign-language clips of the Intel sample videos (CC BY 4.0)"
STRIDE = 8
TYPICAL = 30.0  # side of a face that the face-box network takes for 0, pixels
SPREAD = 1.0  # of the target of a landmark's heat map, cells


def down(inputs: int, outputs: int) -> nn.Sequential:
    """Half the size."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Mix(nn.Module):
    """Wide depthwise kernel, then two pointwise layers, and back onto the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.ReLU(),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x + self.inner(x)


class Pyramid(nn.Module):
    """Features at one stride that know the whole picture.

    Args:
        stem: Channels of the layers before the first kept scale, each halving the size.
        channels: Of the three kept scales.
        blocks: `Mix` blocks at each.
        width: Of what comes out.
    """

    def __init__(
        self, *, stem: tuple[int, ...], channels: tuple[int, int, int], blocks: tuple[int, int, int], width: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [down(a, b) for a, b in zip((3, *stem), (*stem, channels[0]), strict=True)]
        scales = [nn.Sequential(*layers, *(Mix(channels[0]) for _ in range(blocks[0])))]
        for before, now, count in zip(channels, channels[1:], blocks[1:], strict=False):
            scales.append(nn.Sequential(down(before, now), *(Mix(now) for _ in range(count))))
        self.scales = nn.ModuleList(scales)
        self.sides = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.last = Mix(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features at the finest kept scale, and those of the coarsest."""
        x, kept = 2 * x - 1, []
        for scale in self.scales:
            kept.append(x := scale(x))
        out = self.sides[2](kept[2])
        for index in (1, 0):
            out = functional.interpolate(out, scale_factor=2.0) + self.sides[index](kept[index])
        return self.last(out), kept[2]


class FaceBoxes(nn.Module):
    """Where faces are: a heat map of centres, and at each the rest of the way and the side."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Pyramid(stem=(16, 24), channels=(48, 80, 112), blocks=(1, 2, 2), width=48)
        self.head = nn.Conv2d(48, 4, 1)
        nn.init.constant_(self.head.bias, -2.0)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """`(n, 3, 96, 96)` in [0, 1] to heat `(n, 1, 12, 12)` and squares `(n, 3, 12, 12)` in pixels."""
        out = self.head(self.body(picture)[0])
        side = TYPICAL * torch.exp(out[:, 3:].clamp(-3, 3))
        cells = torch.arange(PICTURE // STRIDE, dtype=out.dtype, device=out.device) + 0.5
        x = STRIDE * (cells + out[:, 1:2])
        y = STRIDE * (cells[:, None] + out[:, 2:3])
        return torch.sigmoid(out[:, :1]), torch.cat([x, y, side], 1)


class Landmarks(nn.Module):
    """68 points by soft-argmax, how visible each is, and whether this is a face."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Pyramid(stem=(24,), channels=(40, 80, 128), blocks=(1, 2, 2), width=64)
        self.head = nn.Conv2d(64, 68, 1)
        self.whole = nn.Linear(2 * 128, 69)

    def maps(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of heat maps `(n, 68, 24 * 24)` and of `[face, visible...]` `(n, 69)`."""
        fine, coarse = self.body(picture)
        pooled = torch.cat([coarse.mean((2, 3)), coarse.amax((2, 3))], 1)
        return self.head(fine).flatten(2), self.whole(pooled)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(n, 3, 96, 96)` in [0, 1] to points `(n, 68, 2)` in [0, 1], visible `(n, 68)`, face `(n, 1)`."""
        logits, whole = self.maps(picture)
        whole = torch.sigmoid(whole)
        return soft_argmax(logits), whole[:, 1:], whole[:, :1]


def soft_argmax(logits: Tensor) -> Tensor:
    """Mean place `(n, k, 2)` in [0, 1] of heat maps `(n, k, side * side)`."""
    side = math.isqrt(logits.shape[-1])
    cells = (torch.arange(side, dtype=logits.dtype, device=logits.device) + 0.5) / side
    heat = torch.softmax(logits, -1).unflatten(-1, (side, side))
    return torch.stack([(heat.sum(2) * cells).sum(-1), (heat.sum(3) * cells).sum(-1)], -1)


def box_loss(network: FaceBoxes, pictures: Tensor, faces: list[np.ndarray]) -> Tensor:
    """Focal loss of the centres plus the error of place and side near them."""
    heat, squares = network(pictures)
    cells = (np.arange(PICTURE // STRIDE) + 0.5) * STRIDE
    want, near, goal = np.zeros(heat[:, 0].shape), np.zeros(heat[:, 0].shape), np.zeros(squares.shape)
    for index, found in enumerate(faces):
        for x, y, side in found:
            bump = np.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * max(4.0, 0.1 * side) ** 2))
            best = bump >= bump.max() * 0.999
            want[index] = np.maximum(np.maximum(want[index], bump * 0.98), best)
            better = bump * (bump > 0.4) > near[index]
            near[index][better], goal[index][:, better] = bump[better], np.array([x, y, side])[:, None]
    target = torch.from_numpy(want).float()
    heat = heat[:, 0].clamp(1e-4, 1 - 1e-4)
    hit = -((1 - heat) ** 2 * torch.log(heat))[target == 1].sum()
    miss = -((1 - target) ** 4 * heat**2 * torch.log(1 - heat))[target < 1].sum()
    weight = torch.from_numpy(near).float()
    truth = torch.from_numpy(goal).float()
    side = truth[:, 2].clamp(min=1)
    off = (squares[:, :2] - truth[:, :2]).abs().sum(1) / side + torch.log(squares[:, 2] / side).abs()
    return (hit + miss) / max(sum(map(len, faces)), 1) + 3 * (weight * off).sum() / weight.sum().clamp(min=1)


WEIGHTS = torch.ones(68)
WEIGHTS[:17], WEIGHTS[36:48], WEIGHTS[48:] = 0.5, 1.6, 1.6
APART = torch.tensor([(37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65), (60, 64), (51, 57)])


def landmark_loss(network: Landmarks, pictures: Tensor, points: Tensor, visible: Tensor, is_face: Tensor) -> Tensor:
    """Heat maps, points, the gaps of lids and lips, visibility, and face or not.

    Args:
        network: In training mode.
        pictures: `(n, 3, 96, 96)`.
        points: `(n, 68, 2)` in [0, 1], anything where there is no face.
        visible: `(n, 68)`.
        is_face: `(n,)`.
    """
    logits, whole = network.maps(pictures)
    score = functional.binary_cross_entropy_with_logits(whole[:, 0], is_face)
    logits, points, seen = logits[is_face > 0], points[is_face > 0], visible[is_face > 0]
    inside = ((points > 0.01) & (points < 0.99)).all(-1).float() * WEIGHTS
    side = math.isqrt(logits.shape[-1])
    cells = (torch.arange(side) + 0.5) / side
    gaps = [torch.exp(-(((cells - points[..., axis, None]) * side / SPREAD) ** 2) / 2) for axis in (0, 1)]
    target = (gaps[1][..., :, None] * gaps[0][..., None, :]).flatten(2)
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-6)
    cross = -(target * torch.log_softmax(logits, -1)).sum(-1)
    found = soft_argmax(logits)
    error = (found - points).abs().sum(-1)
    first, second = APART.T
    both = inside[:, first] * inside[:, second]
    gap = ((found[:, first] - found[:, second]) - (points[:, first] - points[:, second])).abs().sum(-1)
    see = functional.binary_cross_entropy_with_logits(whole[is_face > 0, 1:], seen)
    total = inside.sum().clamp(min=1)
    return (
        0.15 * (cross * inside).sum() / total
        + 30 * ((error * inside).sum() / total)
        + 0.3 * (score + see)
        + 15 * ((gap * both).sum() / both.sum().clamp(min=1))
    )


def tensor(pictures: list[np.ndarray]) -> Tensor:
    """`uint8` pictures as `(n, 3, h, w)` in [0, 1]."""
    return (
        torch.from_numpy(np.stack(pictures))
        .permute(0, 3, 1, 2)
        .float()
        .div(255)
        .contiguous(memory_format=torch.channels_last)
    )


def close_ups(studio: Studio, judge: nn.Module, *, faces: int = 16, misses: int = 8) -> tuple[Tensor, ...]:
    """A batch for `landmark_loss`; of three times as many misses, those that `judge` takes for faces."""
    doubtful = tensor([studio.miss(CLOSE_UP) for _ in range(3 * misses)])
    with torch.no_grad():
        hardest = judge(doubtful)[2][:, 0].topk(misses).indices
    shown = [studio.close_up(CLOSE_UP) for _ in range(faces)]
    points, visible = torch.zeros(faces + misses, 68, 2), torch.ones(faces + misses, 68)
    points[:faces] = torch.from_numpy(np.stack([s[1] for s in shown])) / CLOSE_UP
    visible[:faces] = torch.from_numpy(np.stack([s[2] for s in shown])).float()
    is_face = (torch.arange(faces + misses) < faces).float()
    return torch.cat([tensor([s[0] for s in shown]), doubtful[hardest]]), points, visible, is_face


class Run:
    """The training: two networks, their running averages, time used so far.

    Args:
        folder: Where the state is kept.
        minutes: How long to train, all starts together.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        torch.manual_seed(0)
        self.folder, self.budget, self.used, self.steps = folder, 60 * minutes, 0.0, 0
        self.networks = nn.ModuleDict({"faces": FaceBoxes(), "landmarks": Landmarks()})
        self.networks.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.networks).eval()
        self.optimizer = torch.optim.AdamW(self.networks.parameters(), lr=1e-3, weight_decay=1e-3)
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.networks.load_state_dict(state["networks"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.used, self.steps = state["used"], state["steps"]

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.folder / "landmarks.pt"

    def save(self) -> None:
        """Write beside, then rename."""
        parts = {"networks": self.networks, "average": self.average, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        beside = self.path.with_suffix(".part")
        torch.save({**state, "used": self.used, "steps": self.steps}, beside)
        beside.replace(self.path)

    def step(self, loss: Tensor, network: nn.Module, rate: float) -> None:
        """One step of one network; the other one's gradients stay empty."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        self.optimizer.step()
        keep = min(0.998, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.networks.state_dict().values(), strict=True):
                mean.lerp_(now, 1 - keep) if mean.is_floating_point() else mean.copy_(now)

    def train(self, studio: Studio, *, share_faces: float, rate: float) -> None:
        """Until the time is used up."""
        sums: dict[str, list[float]] = {"faces": [], "landmarks": []}
        start, said, self_used = time.monotonic(), time.monotonic(), self.used
        self.networks.train()
        while self.used < self.budget:
            now = rate * (min(1.0, self.steps / 200) * 0.5 * (1 + math.cos(math.pi * self.used / self.budget)) + 0.01)
            name = "faces" if studio.chance(share_faces) else "landmarks"
            network = self.networks[name]
            if name == "faces":
                scenes = [studio.scene(PICTURE) for _ in range(16)]
                loss = box_loss(network, tensor([s[0] for s in scenes]), [s[1] for s in scenes])
            else:
                loss = landmark_loss(network, *close_ups(studio, self.average["landmarks"]))
            self.step(loss, network, now)
            sums[name].append(float(loss.detach()))
            self.steps += 1
            self.used = self_used + time.monotonic() - start
            if time.monotonic() - said > 30:
                said = time.monotonic()
                means = "  ".join(f"{key} {np.mean(found):.3f} ({len(found)})" for key, found in sums.items() if found)
                print(f"{self.used / 60:5.1f} min  step {self.steps}  {means}", flush=True)
                sums = {key: [] for key in sums}
                self.save()
        self.save()

    def export(self, folder: Path, facts: dict[str, object]) -> None:
        """Write what ships: `faces.onnx`, `landmarks.onnx` and the card."""

        def stages(place: Path) -> None:
            for name, (side, outputs) in STAGES.items():
                network = copy.deepcopy(self.average[name]).to(memory_format=torch.contiguous_format)
                export_stage(
                    network, {"picture": torch.zeros(1, 3, side, side)}, outputs, place / f"{name}.onnx", half=True
                )

        card = Card(
            method="face",
            name="face",
            config={name: {"size": side, "outputs": outputs} for name, (side, outputs) in STAGES.items()},
            convention="edges",
            data=DATA,
            licence="MIT",
            credit=CREDIT,
            recipe={"script": RECIPE, "steps": self.steps, "seconds": round(self.used), **facts},
        )
        tensors = {name: tensor.numpy() for name, tensor in self.average.state_dict().items()}
        write_bundle(folder, card, tensors=tensors, export=stages, keep="stages")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--backgrounds", type=Path, nargs="*", default=[])
    parser.add_argument("--minutes", type=float, default=58)
    parser.add_argument("--share-faces", type=float, default=0.5)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--export", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    run = Run(options.output, options.minutes)
    if run.used < run.budget:
        heads = Heads.load(options.clips, options.output)
        studio = Studio(heads, load_backgrounds(options.backgrounds), seed=run.steps)
        run.train(studio, share_faces=options.share_faces, rate=options.rate)
    if options.export:
        run.export(options.export, {"clips": len(list_clips(options.clips))})


if __name__ == "__main__":
    main()
