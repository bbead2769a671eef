"""Train the compact weights that ship: real clips, rendered heads, a growing picture size.

    python benchmarks/train_heads.py --clips CLIPS --face-model YUNET.onnx --features SQUEEZENET.npz \
        --schedule 64:20,128:30,256:60 -o RUN

`--schedule` is a list of SIZE:MINUTES; the motion networks always see 64×64 pixels, so the small
sizes are cheap lessons in motion and the last one teaches the generator. Everything is resumable:
the same command goes on where the run stopped. Hold clips out with `--hold-out`.

What a pair is made of (see `RealClips`): two frames of one clip, each seen through its own small
camera motion, with the studio background keyed out and replaced by one that stays still; pixels
weigh more where the clip itself moves and around mouth and eyes.
"""

from __future__ import annotations

import argparse
import copy
import json
import queue
import signal
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stillmotion.methods.firstorder.config import FirstOrderConfig, compact_256
from stillmotion.methods.firstorder.losses import generator_losses
from stillmotion.methods.firstorder.weights import build
from stillmotion.nn.features import load_features
from stillmotion.prepare.crop import RAISE
from stillmotion.prepare.faces import YuNet, main_face
from stillmotion.video.read import open_video

MARGIN = 1.8  # side of the square crop over the longer side of the face box: the crop contract


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random still background: blurred noise, a gradient, or both."""
    small = int(rng.integers(2, 24))
    noise = rng.uniform(0, 255, (small, small, 3)).astype(np.float32)
    picture = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    flat = rng.uniform(0, 255, 3).astype(np.float32)
    share = rng.uniform(0, 1)
    return np.clip(share * picture + (1 - share) * flat, 0, 255)


def bump(points: np.ndarray, widths: np.ndarray, size: int) -> np.ndarray:
    """Sum of Gaussians at `points (k, 2)` in pixels, largest value 1."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    out = np.zeros((size, size), np.float32)
    for (px, py), (wx, wy) in zip(points, widths, strict=True):
        out = np.maximum(out, np.exp(-0.5 * (((x - px) / wx) ** 2 + ((y - py) / wy) ** 2)))
    return out


class RealClips:
    """Pairs from real talking-head clips in front of a plain studio background."""

    def __init__(self, files: list[Path], face_model: Path) -> None:
        detector = YuNet(face_model)
        self.clips = [clip for file in files if (clip := self._read(file, detector)) is not None]
        weights = np.array([1.0 for _ in self.clips])
        self.weights = weights / weights.sum()

    @staticmethod
    def _read(file: Path, detector: YuNet) -> dict[str, np.ndarray] | None:
        with open_video(file) as video:
            frames = np.stack(list(video))
        faces = [main_face(detector.find(frame)) for frame in frames]
        found = [i for i, face in enumerate(faces) if face is not None]
        if len(found) < 10:
            print(f"{file.name}: a face in only {len(found)} of {len(frames)} frames, left out")
            return None
        frames = frames[found]
        boxes = np.array([faces[i].box for i in found], np.float32)
        points = np.array([faces[i].points for i in found], np.float32)
        hsv = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2HSV) for f in frames])
        key = ((np.abs(hsv[..., 0].astype(int) - 98) < 14) & (hsv[..., 1] > 90)).astype(np.float32)
        border = np.concatenate([key[:, :20].ravel(), key[:, :, :10].ravel(), key[:, :, -10:].ravel()])
        keyed = border.mean() > 0.6
        alpha = np.stack([1 - cv2.GaussianBlur(cv2.erode(k, np.ones((2, 2))), (0, 0), 1.0) for k in key])
        return {
            "frames": frames,
            "points": points,
            "box": np.median(boxes, axis=0),
            "alpha": (alpha * 255).astype(np.uint8) if keyed else np.zeros(0, np.uint8),
        }

    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        """`source`, `driving (3, size, size)` in [0, 1] and `emphasis (1, size, size)`."""
        clip = self.clips[rng.choice(len(self.clips), p=self.weights)]
        count = len(clip["frames"])
        picks = rng.integers(0, count, 2)
        x, y, w, h = clip["box"]
        side = MARGIN * max(w, h) * rng.uniform(0.85, 1.2)
        centre = np.array([x + w / 2, y + h / 2 - RAISE * max(w, h)]) + rng.normal(0, 0.05, 2) * side
        mirror = rng.random() < 0.5
        gain, shift = rng.uniform(0.75, 1.25, 3) * rng.uniform(0.8, 1.15), rng.uniform(-20, 20, 3)
        gamma = rng.uniform(0.75, 1.3)
        table = np.clip(255 * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.float32)
        keyed = clip["alpha"].size and rng.random() < 0.75
        wall = backdrop(rng, size + 32) if keyed else None
        amount = 0.0 if rng.random() < 0.3 else rng.uniform(0, 1)
        out, raw = [], []
        for index in picks:
            angle = rng.normal(0, 9) * amount
            scale = size / side * np.exp(rng.normal(0, 0.08) * amount)
            move = rng.normal(0, 0.06, 2) * amount * size
            matrix = cv2.getRotationMatrix2D(tuple(map(float, centre)), angle, scale)
            matrix[:, 2] += size / 2 - centre + move
            if mirror:
                matrix[0] = -matrix[0]
                matrix[0, 2] += size - 1
            picture = cv2.warpAffine(
                clip["frames"][index], matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
            )
            picture = np.clip(table[picture] * gain + shift, 0, 255)
            if wall is not None:
                cover = cv2.warpAffine(
                    clip["alpha"][index], matrix, (size, size), borderMode=cv2.BORDER_REPLICATE
                ).astype(np.float32)[..., None]
                ox, oy = (16 + rng.integers(-2, 3, 2) * (rng.random() < 0.3)).astype(int)
                picture = picture * (cover / 255) + wall[oy : oy + size, ox : ox + size] * (1 - cover / 255)
            out.append(picture)
            raw.append((index, matrix))
        emphasis = self._emphasis(clip, raw, size)
        planes = [np.moveaxis(p.astype(np.float32) / 255, 2, 0) for p in out]
        return {"source": planes[0], "driving": planes[1], "emphasis": emphasis[None]}

    @staticmethod
    def _emphasis(clip: dict[str, np.ndarray], raw: list[tuple[int, np.ndarray]], size: int) -> np.ndarray:
        (first, _), (second, matrix) = raw
        change = np.abs(clip["frames"][first].astype(np.int16) - clip["frames"][second]).mean(axis=2)
        change = np.clip(cv2.GaussianBlur(change.astype(np.float32), (0, 0), 2) / 20, 0, 1)
        change = cv2.warpAffine(change, matrix, (size, size))
        points = clip["points"][second] @ matrix[:, :2].T + matrix[:, 2]
        unit = np.linalg.norm(points[0] - points[1])
        where = np.stack([points[0], points[1], (points[3] + points[4]) / 2])
        face = bump(where, np.array([[0.22, 0.15], [0.22, 0.15], [0.38, 0.28]]) * unit, size)
        weight = 1 + 2 * change + np.float32(5) * face
        return (weight / weight.mean()).astype(np.float32)


class RenderedHeads:
    """Pairs from rendered clips with the true flow and occlusion, see `stillmotion render heads`."""

    def __init__(self, folder: Path) -> None:
        from stillmotion.data.worlds.store import open_clip

        self.open = open_clip
        self.files = sorted(folder.glob("*.mp4"))
        self.cache: dict[Path, object] = {}

    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        raise SystemExit("rendered heads are not wired yet")


class Loader:
    """Batches made by background threads, drawn from several worlds with given shares."""

    def __init__(self, worlds: list[tuple[object, float]], *, batch: int, size: int, seed: int) -> None:
        self.worlds, self.batch, self.size = worlds, batch, size
        self.queue: queue.Queue[dict[str, Tensor]] = queue.Queue(maxsize=4)
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(seed + i,), daemon=True) for i in range(2)]
        for thread in self.threads:
            thread.start()

    def _work(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shares = np.array([share for _, share in self.worlds])
        while not self.stopped.is_set():
            world = self.worlds[rng.choice(len(shares), p=shares / shares.sum())][0]
            samples = [world.sample(rng, self.size) for _ in range(self.batch)]
            item = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in samples[0]}
            while not self.stopped.is_set():
                try:
                    self.queue.put(item, timeout=1)
                    break
                except queue.Full:
                    continue

    def next(self) -> dict[str, Tensor]:
        return self.queue.get()

    def close(self) -> None:
        self.stopped.set()


def set_input_size(networks: dict[str, nn.Module], config: FirstOrderConfig, size: int) -> None:
    """Keep the motion networks at their own 64 pixels, whatever the picture's size."""
    networks["kp_detector"].down.stride = round(size * config.keypoints.scale * 256 / config.size / 64)
    networks["generator"].dense_motion_network.down.stride = networks["kp_detector"].down.stride


def truth_losses(outputs: dict[str, Tensor], item: dict[str, Tensor]) -> dict[str, Tensor]:
    """Supervision by the rendered truth: flow where the source shows the point, and occlusion everywhere."""
    seen = item["visible"]
    gap = (outputs["flow"] - item["flow"]).abs().sum(-1)
    weight = seen * item["emphasis64"]
    losses = {"true_flow": 5 * (gap * weight).sum() / weight.sum().clamp(min=1)}
    if "occlusion" in outputs:
        losses["true_occlusion"] = 0.2 * nn.functional.binary_cross_entropy(outputs["occlusion"][:, 0], seen)
    return losses


def sheet(item: dict[str, Tensor], outputs: dict[str, Tensor], path: Path) -> None:
    """Source, driving, warped, kept, generated and predicted frames of up to six pairs, with keypoints."""
    rows = []
    for i in range(min(6, len(item["source"]))):
        size = item["source"].shape[-1]
        columns = [item["source"][i], item["driving"][i]]
        columns += [outputs["deformed"][i], outputs["keep"][i].expand(3, -1, -1), outputs["generated"][i]]
        columns += [outputs["prediction"][i]]
        cells = [np.ascontiguousarray((np.moveaxis(c.detach().numpy(), 0, 2) * 255).clip(0, 255).astype(np.uint8)) for c in columns]
        for cell, name in ((cells[0], "source_value"), (cells[1], "driving_value")):
            for j, (x, y) in enumerate(outputs[name][i].detach().numpy()):
                colour = tuple(int(v) for v in cv2.cvtColor(np.uint8([[[j * 17, 255, 255]]]), cv2.COLOR_HSV2RGB)[0, 0])
                cv2.circle(cell, (int((x + 1) / 2 * size), int((y + 1) / 2 * size)), max(1, size // 64), colour, -1)
        occlusion = outputs["occlusion"][i, 0].detach().numpy()
        cells.append(cv2.resize((np.stack([occlusion] * 3, 2) * 255).astype(np.uint8), (size, size)))
        rows.append(np.hstack([cv2.resize(c, (128, 128)) for c in cells]))
    cv2.imwrite(str(path), np.vstack(rows)[:, :, ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--hold-out", nargs="*", default=["brbk7n", "pwij3p"])
    parser.add_argument("--face-model", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--rendered-share", type=float, default=0.5)
    parser.add_argument("--schedule", default="64:20,128:30,256:60")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="weights (.pt of this script) to start from")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    config = compact_256()
    networks = build(config)
    networks.pop("discriminator")
    average = copy.deepcopy(networks)
    parameters = [p for network in networks.values() for p in network.parameters()]
    optimiser = torch.optim.Adam(parameters, args.rate, betas=(0.5, 0.99))
    state = {"minutes": 0.0, "steps": 0, "samples": 0}
    checkpoint = args.output / "state.pt"
    begin = checkpoint if checkpoint.exists() else args.start
    if begin is not None:
        saved = torch.load(begin, weights_only=True)
        for name, network in networks.items():
            network.load_state_dict(saved["networks"][name])
            average[name].load_state_dict(saved["average"][name])
        if begin == checkpoint:
            optimiser.load_state_dict(saved["optimiser"])
            state = saved["state"]

    def save() -> None:
        part = checkpoint.with_suffix(".part")
        torch.save(
            {
                "networks": {n: m.state_dict() for n, m in networks.items()},
                "average": {n: m.state_dict() for n, m in average.items()},
                "optimiser": optimiser.state_dict(),
                "state": state,
                "config": json.dumps(asdict(config)),
            },
            part,
        )
        part.replace(checkpoint)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    features = load_features(args.features)
    files = [f for folder in args.clips for f in sorted(folder.iterdir()) if f.suffix in (".mpg", ".mkv", ".mp4")]
    files = [f for f in files if f.stem not in args.hold_out]
    worlds: list[tuple[object, float]] = []
    if files:
        worlds.append((RealClips(files, args.face_model), 1 - args.rendered_share if args.rendered else 1.0))
    if args.rendered:
        worlds.append((RenderedHeads(args.rendered), args.rendered_share))
    log = (args.output / "log.txt").open("a")
    phases = [(int(a), float(b)) for a, b in (part.split(":") for part in args.schedule.split(","))]
    total, end = sum(minutes for _, minutes in phases), 0.0
    for size, minutes in phases:
        end += minutes
        if state["minutes"] >= end or stop.is_set():
            continue
        set_input_size(networks, config, size)
        batch = {64: 24, 128: 16, 256: 8}[size]
        scales = {64: (1.0, 0.5), 128: (1.0, 0.5), 256: (1.0, 0.5, 0.25)}[size]
        loader = Loader(worlds, batch=batch, size=size, seed=args.seed + 1000 * state["steps"])
        weights = replace(config.training.weights, perceptual=(2.0,) * 7, pixel=40.0, equivariance_value=5.0, equivariance_jacobian=2.0)
        sums: dict[str, float] = {}
        last = time.monotonic()
        clock = last
        while state["minutes"] < end and not stop.is_set():
            item = loader.next()
            share = state["minutes"] / total
            rate = args.rate * min(1.0, state["steps"] / 100 + 0.01) * (0.5 * (1 + np.cos(np.pi * min(share, 1))) * 0.95 + 0.05)
            for group in optimiser.param_groups:
                group["lr"] = rate
            losses, outputs = generator_losses(
                networks,
                item["source"],
                item["driving"],
                weights=weights,
                scales=scales,
                transform=config.training.transform,
                convention=config.convention,
                features=features,
                emphasis=item["emphasis"],
            )
            # The warp itself must explain the picture: without this the generator paints and the flow idles.
            losses["deformed"] = 10 * ((outputs["deformed"] - item["driving"]).abs() * item["emphasis"]).mean()
            if "flow" in item:
                losses |= truth_losses(outputs, item)
            loss = sum(losses.values())
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, 20.0)
            if torch.isfinite(norm):
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            decay = min(0.998, (1 + state["steps"]) / (10 + state["steps"]))
            with torch.no_grad():
                for name, network in networks.items():
                    for ours, theirs in zip(average[name].state_dict().values(), network.state_dict().values(), strict=True):
                        if ours.dtype.is_floating_point:
                            ours.lerp_(theirs, 1 - decay)
            now = time.monotonic()
            state["minutes"] += (now - clock) / 60
            clock = now
            state["steps"] += 1
            state["samples"] += len(item["source"])
            plain = (outputs["prediction"] - item["driving"]).abs().mean()
            still = (item["source"] - item["driving"]).abs().mean()
            mouth = ((outputs["prediction"] - item["driving"]).abs() * item["emphasis"]).mean()
            still_mouth = ((item["source"] - item["driving"]).abs() * item["emphasis"]).mean()
            figures = {k: float(v) for k, v in losses.items()}
            figures |= {"l1": float(plain), "copy": float(still), "l1_weighted": float(mouth), "copy_weighted": float(still_mouth)}
            for k, v in figures.items():
                sums[k] = sums.get(k, 0.0) + v
            if state["steps"] % 50 == 0:
                line = " ".join(f"{k} {v / 50:.4f}" for k, v in sums.items())
                rate_seen = 50 * batch / (now - last)
                print(f"{size} step {state['steps']} min {state['minutes']:.1f} {rate_seen:.1f}/s {line}", file=log, flush=True)
                sums, last = {}, now
            if state["steps"] % 200 == 0:
                sheet(item, outputs, args.output / f"sheet-{state['steps']:06d}.png")
                save()
        loader.close()
        save()


if __name__ == "__main__":
    main()
