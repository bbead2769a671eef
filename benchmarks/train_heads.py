"""Train the compact weights that ship: real clips, rendered heads, a growing picture size.

    python benchmarks/train_heads.py --clips CLIPS --face-model YUNET.onnx --features SQUEEZENET.npz \
        --schedule 64:12,128:40,local:40 -o RUN

`--schedule` is a list of PHASE:MINUTES. A number is a picture size, everything trained together; the
motion networks always see 64×64 pixels, so the small sizes are cheap lessons in motion. `local`
freezes the motion and trains the generator on windows of full-size frames. Everything is resumable:
the same command goes on where the run stopped. Hold clips out with `--hold-out`.

What a pair is made of (see `RealClips`): two frames of one clip, each seen through its own small
camera motion, with the studio background keyed out and replaced by one that stays still; pixels
weigh more where the clip itself moves and around mouth and eyes.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
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

from stillmotion.data.worlds.store import list_clips, read_clip
from stillmotion.data.worlds.truth import ClipTruth
from stillmotion.methods.firstorder.config import FirstOrderConfig, LossWeights, compact_256
from stillmotion.methods.firstorder.losses import generator_losses, mean_difference, perceptual
from stillmotion.methods.firstorder.weights import build, open_networks, save_bundle
from stillmotion.nn.features import FeatureNetwork, load_features
from stillmotion.nn.geometry import resize_grid, warp
from stillmotion.prepare.crop import RAISE
from stillmotion.prepare.faces import YuNet, main_face
from stillmotion.runtime.bundle import Bundle, CropContract
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


MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        54,
        53,
        52,
        51,
        50,
        49,
        48,
        59,
        58,
        57,
        56,
        55,
        64,
        63,
        62,
        61,
        60,
        67,
        66,
        65,
    ]
)
"""The 68 landmarks in a mirrored picture."""

ANCHORS = ((37, 38), (43, 44), (30,), (48,), (54,), (62,), (66,), (8,))
"""What the first eight keypoints learn to mark: lids, nose tip, corners of the mouth, lips, chin. The
others stay free. In each tuple: landmarks whose mean it is."""


def anchored(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Anchor points `(8, 2)` and their weights: hidden ones count less."""
    where = np.stack([points[list(a)].mean(0) for a in ANCHORS]).astype(np.float32)
    weight = np.array([1.0 if seen[list(a)].all() else 0.3 for a in ANCHORS], np.float32)
    return where, weight * (np.abs(where) < 1).all(1)


def bump_face(right: np.ndarray, left: np.ndarray, mouth: np.ndarray, unit: float, size: int) -> np.ndarray:
    """Pixel weights of mean 1 with hills on both eyes and the mouth; `unit` is the distance of the eyes."""
    widths = np.array([[0.22, 0.15], [0.22, 0.15], [0.38, 0.28]]) * unit
    weight = 1 + np.float32(5) * bump(np.stack([right, left, mouth]), widths, size)
    return (weight / weight.mean()).astype(np.float32)


class Colours:
    """One random look for both frames of a pair: gamma, gain and shift per channel."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.gain = rng.uniform(0.75, 1.25, 3) * rng.uniform(0.8, 1.15)
        self.shift = rng.uniform(-20, 20, 3)
        self.table = np.clip(255 * (np.arange(256) / 255) ** rng.uniform(0.75, 1.3), 0, 255).astype(np.float32)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        return np.clip(self.table[picture] * self.gain + self.shift, 0, 255)


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
        look = Colours(rng)
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
            picture = look(picture)
            if wall is not None:
                cover = cv2.warpAffine(
                    clip["alpha"][index], matrix, (size, size), borderMode=cv2.BORDER_REPLICATE
                ).astype(np.float32)[..., None]
                ox, oy = (16 + rng.integers(-2, 3, 2) * (rng.random() < 0.3)).astype(int)
                picture = picture * (cover / 255) + wall[oy : oy + size, ox : ox + size] * (1 - cover / 255)
            out.append(picture)
            raw.append((index, matrix))
        index, matrix = raw[1]
        points = clip["points"][index] @ matrix[:, :2].T + matrix[:, 2]
        if mirror:
            points = points[[1, 0, 2, 4, 3]]
        anchors, weights = np.zeros((len(ANCHORS), 2), np.float32), np.zeros(len(ANCHORS), np.float32)
        anchors[2:5] = (points[2:5] + 0.5) / size * 2 - 1  # a detector's nose and corners of the mouth, trusted less
        weights[2:5] = 0.3
        planes = [np.moveaxis(p.astype(np.float32) / 255, 2, 0) for p in out]
        return {
            "source": planes[0],
            "driving": planes[1],
            "emphasis": self._emphasis(clip, raw, points, size)[None],
            "flow": np.zeros((64, 64, 2), np.float32),
            "visible": np.zeros((64, 64), np.float32),
            "true": np.zeros((), np.float32),
            "anchors": anchors,
            "anchor_weights": weights,
        }

    @staticmethod
    def _emphasis(
        clip: dict[str, np.ndarray], raw: list[tuple[int, np.ndarray]], points: np.ndarray, size: int
    ) -> np.ndarray:
        (first, _), (second, matrix) = raw
        change = np.abs(clip["frames"][first].astype(np.int16) - clip["frames"][second]).mean(axis=2)
        change = np.clip(cv2.GaussianBlur(change.astype(np.float32), (0, 0), 2) / 20, 0, 1)
        change = cv2.warpAffine(change, matrix, (size, size))
        unit = float(np.linalg.norm(points[0] - points[1]))
        weight = 2 * change + bump_face(points[0], points[1], (points[3] + points[4]) / 2, unit, size)
        return (weight / weight.mean()).astype(np.float32)


class RenderedHeads:
    """Pairs from rendered clips with the true flow, occlusion and landmarks (`stillmotion render heads`).

    The folder is listed anew now and then, so that rendering can go on beside the training.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache: dict[int, tuple[np.ndarray, ClipTruth]] = {}
        self.indices: list[int] = []
        self.listed = 0.0

    def _clip(self, rng: np.random.Generator) -> tuple[np.ndarray, ClipTruth]:
        if time.monotonic() - self.listed > 60 or not self.indices:
            self.indices, self.listed = list_clips(self.folder), time.monotonic()
        index = self.indices[rng.integers(len(self.indices))]
        if index not in self.cache:
            self.cache[index] = read_clip(self.folder, index)
        return self.cache[index]

    def sample(self, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        """As `RealClips.sample`, with `flow (64, 64, 2)`, `visible (64, 64)` in {0, 1}."""
        frames, truth = self._clip(rng)
        source, driving = (int(i) for i in rng.integers(0, len(frames), 2))
        flow = truth.flow(driving, source)
        grid, visible = flow.grid.copy(), flow.occlusion.copy()
        points, seen = truth.landmarks[driving].copy(), truth.landmarks_visible[driving].copy()
        planes = []
        look = Colours(rng)
        mirror = rng.random() < 0.5
        for index in (source, driving):
            picture = cv2.resize(frames[index], (size, size), interpolation=cv2.INTER_AREA)
            picture = look(picture[:, ::-1] if mirror else picture)
            planes.append(np.ascontiguousarray(np.moveaxis(picture, 2, 0), np.float32) / 255)
        if mirror:
            grid, visible = grid[:, ::-1] * np.float32([-1, 1]), visible[:, ::-1]
            points = points[MIRRORED] * np.float32([-1, 1])
            seen = seen[MIRRORED]
        pixels = (points + 1) / 2 * size
        eyes = pixels[36:42].mean(0), pixels[42:48].mean(0)
        emphasis = bump_face(*eyes, pixels[48:].mean(0), max(np.linalg.norm(eyes[0] - eyes[1]), 0.15 * size), size)
        anchors, weights = anchored(points, seen)
        return {
            "source": planes[0],
            "driving": planes[1],
            "emphasis": emphasis[None],
            "flow": np.ascontiguousarray(grid, np.float32),
            "visible": np.ascontiguousarray(visible, np.float32),
            "true": np.ones((), np.float32),
            "anchors": anchors,
            "anchor_weights": weights,
        }


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
            picks = rng.choice(len(shares), self.batch, p=shares / shares.sum())
            samples = [self.worlds[pick][0].sample(rng, self.size) for pick in picks]
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
    networks["kp_detector"].down.stride = round(size / (config.size * config.keypoints.scale))
    networks["generator"].dense_motion_network.down.stride = networks["kp_detector"].down.stride


def crop_outputs(
    networks: dict[str, nn.Module], item: dict[str, Tensor], rng: np.random.Generator, side: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Generator on a window of the frame, with frozen motion: the last phase is a local job.

    Returns:
        The outputs as of `generator_losses`, and the item cut to the window.
    """
    generator, detector = networks["generator"], networks["kp_detector"]
    source, driving = item["source"], item["driving"]
    with torch.no_grad():
        source_value, source_jacobian = detector(source)
        value, jacobian = detector(driving)
        small = generator.dense_motion_network.down(source)
        motion = generator.dense_motion_network(small, source_value, value, source_jacobian, jacobian)
    features, _ = generator.encode(source)
    ratio = source.shape[-1] // motion["flow"].shape[1]
    most = (source.shape[-1] - side) // ratio
    # Windows lean towards the middle, where the face is.
    y, x = (int(np.clip(rng.normal(most * mean, most / 4), 0, most)) for mean in (0.6, 0.5))
    step = side // ratio
    convention, padding = generator.convention, generator.padding
    near = slice(y, y + step), slice(x, x + step)
    far = slice(y * ratio, y * ratio + side), slice(x * ratio, x * ratio + side)
    hidden = warp(features, motion["flow"][:, *near], convention=convention, padding=padding)
    hidden = hidden * motion["occlusion"][:, :, *near]
    for block in (*generator.bottleneck.values(), *generator.up_blocks):
        hidden = block(hidden)
    full = resize_grid(motion["flow"], *source.shape[2:], convention=convention)
    deformed = warp(source, full[:, *far], convention=convention, padding=padding)
    planes = torch.sigmoid(generator.final(torch.cat([hidden, deformed], dim=1)))
    generated, keep = planes[:, :3], planes[:, 3:]
    blended = keep * deformed + (1 - keep) * generated
    window = {name: item[name][:, :, *far] for name in ("source", "driving", "emphasis")}
    window |= {"visible": item["visible"][:, *near], "true": item["true"]}
    outputs = {"prediction": blended, "generated": generated, "keep": keep, "deformed": deformed}
    shown = {"source_value": source_value, "driving_value": value, "occlusion": motion["occlusion"][:, :, *near]}
    return outputs | shown, window


def truth_losses(outputs: dict[str, Tensor], item: dict[str, Tensor], flow_weight: float) -> dict[str, Tensor]:
    """Supervision by the rendered truth: flow where the source shows the point, occlusion, and anchors."""
    seen, true = item["visible"], item["true"]
    gap = (outputs["flow"] - item["flow"]).abs().sum(-1)
    weight = seen * nn.functional.adaptive_avg_pool2d(item["emphasis"], seen.shape[1:])[:, 0]
    entropy = nn.functional.binary_cross_entropy(outputs["occlusion"][:, 0], seen, reduction="none")
    anchors = (outputs["driving_value"][:, : len(ANCHORS)] - item["anchors"]).abs().sum(-1)
    return {
        "true_flow": flow_weight * (gap * weight).sum() / weight.sum().clamp(min=1),
        "true_occlusion": 0.3 * (entropy.mean(dim=(1, 2)) * true).sum() / true.sum().clamp(min=1),
        "anchors": 50 * (anchors * item["anchor_weights"]).mean(),
    }


def local_losses(
    outputs: dict[str, Tensor],
    item: dict[str, Tensor],
    features: FeatureNetwork,
    weights: LossWeights,
    scales: tuple[float, ...],
) -> dict[str, Tensor]:
    """Perceptual and pixel terms of a window."""
    driving, emphasis = item["driving"], item["emphasis"]
    losses = {}
    for name in ("prediction", "generated"):  # a painted picture that is never judged alone is never chosen
        seen = perceptual(
            features, outputs[name], driving, scales=scales, weights=weights.perceptual, emphasis=emphasis
        )
        losses[f"perceptual_{name}"] = seen
        losses[f"pixel_{name}"] = weights.pixel * mean_difference(outputs[name], driving, emphasis)
    losses["keep"] = 0.3 * keep_loss(outputs["keep"], item)
    return losses


def keep_loss(keep: Tensor, item: dict[str, Tensor]) -> Tensor:
    """Where the rendered truth says that the source does not show the point, paint."""
    hidden = (1 - item["visible"])[:, None] * item["true"][:, None, None, None]
    hidden = nn.functional.interpolate(hidden, size=keep.shape[2:], mode="bilinear", align_corners=False)
    return -(hidden * torch.log((1 - keep).clamp(min=1e-3))).mean()


def ship(
    networks: dict[str, nn.Module], config: FirstOrderConfig, args: argparse.Namespace, state: dict[str, float]
) -> None:
    """Write the averaged weights as a bundle, with what they were made from."""
    save_bundle(
        networks,
        replace(config, name=args.bundle.name),
        args.bundle,
        crop=CropContract(kind="face", margin=MARGIN),
        data="36 rendered people (VALID avatars, six held out) with true flow and landmarks; 13 GRID clips of 8 "
        "speakers (brbk7n and pwij3p held out) and 5 sign-language clips, with synthetic camera motion and backgrounds",
        licence="MIT",
        credit="VALID avatar library (Do et al. 2023, MIT); GRID corpus (Cooke et al. 2006, CC BY 4.0); "
        "sign-language clips of the Intel sample videos (CC BY 4.0); SqueezeNet 1.1 features of torchvision (BSD-3)",
        recipe={"script": "benchmarks/train_heads.py", "schedule": args.schedule, "seed": args.seed, **state},
    )


def sheet(item: dict[str, Tensor], outputs: dict[str, Tensor], path: Path) -> None:
    """Source, driving, warped, kept, generated and predicted frames of up to six pairs, with keypoints."""
    rows = []
    for i in range(min(6, len(item["source"]))):
        size = item["source"].shape[-1]
        columns = [item["source"][i], item["driving"][i]]
        columns += [outputs["deformed"][i], outputs["keep"][i].expand(3, -1, -1), outputs["generated"][i]]
        columns += [outputs["prediction"][i]]
        cells = [
            np.ascontiguousarray((np.moveaxis(c.detach().numpy(), 0, 2) * 255).clip(0, 255).astype(np.uint8))
            for c in columns
        ]
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
    parser.add_argument("--schedule", default="64:12,128:40,local:40")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="bundle folder, or state.pt of another run, to start from")
    parser.add_argument("--bundle", type=Path, help="write the averaged weights there at the end")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    cv2.setNumThreads(1)
    config = compact_256()
    networks = open_networks(Bundle.open(args.start)) if args.start and args.start.is_dir() else build(config)
    networks.pop("discriminator", None)
    for network in networks.values():
        network.to(memory_format=torch.channels_last)
        network.train()
    average = copy.deepcopy(networks)
    parameters = [p for network in networks.values() for p in network.parameters()]
    optimiser = torch.optim.Adam(parameters, args.rate, betas=(0.5, 0.99))
    state = {"minutes": 0.0, "steps": 0, "samples": 0}
    checkpoint = args.output / "state.pt"
    begin = checkpoint if checkpoint.exists() else args.start
    begin = None if begin is not None and begin.is_dir() else begin
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
    phases = [(a, float(b)) for a, b in (part.split(":") for part in args.schedule.split(","))]
    total, end = sum(minutes for _, minutes in phases), 0.0
    rng = np.random.default_rng(args.seed + 7)
    for phase, minutes in phases:
        local = phase == "local"
        size = config.size if local else int(phase)
        end += minutes
        if state["minutes"] >= end or stop.is_set():
            continue
        set_input_size(networks, config, size)
        batch = 12 if local else {64: 24, 128: 16, 256: 8}[size]
        scales = (1.0, 0.5) if size < 256 or local else (1.0, 0.5, 0.25)
        if local:  # batch statistics of frozen motion must not move either
            networks["kp_detector"].eval()
            networks["generator"].dense_motion_network.eval()
        loader = Loader(worlds, batch=batch, size=size, seed=args.seed + 1000 * state["steps"])
        sums: dict[str, float] = {}
        last = time.monotonic()
        clock = last
        while state["minutes"] < end and not stop.is_set():
            item = loader.next()
            for name in ("source", "driving"):
                item[name] = item[name].contiguous(memory_format=torch.channels_last)
            share = state["minutes"] / total
            rate = (
                args.rate
                * min(1.0, state["steps"] / 100 + 0.01)
                * (0.5 * (1 + math.cos(math.pi * min(share, 1))) * 0.95 + 0.05)
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            # The equivariance pass costs a fifth of a step: every third step, three times the weight.
            turn = dict.fromkeys(("equivariance_value", "equivariance_jacobian"), 0.0)
            if state["steps"] % 3 == 0:
                turn = {"equivariance_value": 15.0, "equivariance_jacobian": 6.0}
            weights = replace(config.training.weights, perceptual=(1.5 if local else 0.5,) * 7, pixel=40.0, **turn)
            if local:
                outputs, item = crop_outputs(networks, item, rng, 128)
                losses = local_losses(outputs, item, features, weights, scales)
            else:
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
                losses |= truth_losses(outputs, item, 60.0)
            # The warp itself must explain the picture: without this the generator paints and the flow idles.
            losses["deformed"] = 10 * ((outputs["deformed"] - item["driving"]).abs() * item["emphasis"]).mean()
            loss = sum(losses.values())
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, 20.0)
            if torch.isfinite(norm):
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            decay = min(0.998, (1 + state["steps"]) / (10 + state["steps"]))
            with torch.no_grad():
                for name, network in networks.items():
                    for ours, theirs in zip(
                        average[name].state_dict().values(), network.state_dict().values(), strict=True
                    ):
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
            figures = {k: float(v.detach()) for k, v in losses.items()}
            figures |= {
                "l1": float(plain.detach()),
                "copy": float(still),
                "l1_weighted": float(mouth.detach()),
                "copy_weighted": float(still_mouth),
            }
            for k, v in figures.items():
                sums[k] = sums.get(k, 0.0) + v
            if state["steps"] % 50 == 0:
                line = " ".join(f"{k} {v / 50:.4f}" for k, v in sums.items())
                rate_seen = 50 * batch / (now - last)
                print(
                    f"{size} step {state['steps']} min {state['minutes']:.1f} {rate_seen:.1f}/s {line}",
                    file=log,
                    flush=True,
                )
                sums, last = {}, now
            if state["steps"] % 200 == 0:
                sheet(item, outputs, args.output / f"sheet-{state['steps']:06d}.png")
                save()
        loader.close()
        save()
    if args.bundle and not stop.is_set():
        ship(average, config, args, state)


if __name__ == "__main__":
    main()
