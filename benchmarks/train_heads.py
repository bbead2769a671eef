r"""Train the compact weights that ship: rendered heads with exact truth, mixed with real clips.

    python benchmarks/train_heads.py --avatars people.pack --render 720 --clips CLIPS --face-model YUNET.onnx \
        --features SQUEEZENET.npz --start src/stillmotion/weights/heads --schedule motion:65,paint:25 \
        -o RUN --bundle OUT

`--schedule` is a list of PHASE:MINUTES. `motion` trains keypoints and dense motion on 64×64 pixels,
without a generator: the truth has the flow and the landmarks, and a warped real source must look like
the driving frame. `paint` freezes the motion and trains the generator on windows of full-size frames.
`published` is the paper's recipe, everything together without the truth, to compare with.
Everything is resumable: the same command goes on where the run stopped. Clips are rendered beside the
training, by this machine's graphics card if it has one, and kept under
`RUN/rendered`; `--avatars` is a folder of GLB files, or the one file `pack_avatars` makes of it (20 MB),
which is easy to carry to a machine with a GPU.

The networks start as copies of the bundle or run given by `--start`, grown where this one is larger
(`--generator EXPANSION,MOST,BLOCKS`); what is computed does not change by growing.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from heads.grow import grow, widened
from heads.loader import World
from heads.marks import MARKS
from heads.real import RealClips
from heads.rendered import RenderedHeads
from heads.run import Run
from stillmotion.data.worlds.benchmark import HELD_OUT
from stillmotion.data.worlds.heads import render_heads
from stillmotion.data.worlds.store import list_clips
from stillmotion.methods.firstorder.config import FirstOrderConfig, compact_256
from stillmotion.methods.firstorder.weights import build, open_networks, save_bundle
from stillmotion.nn.features import load_features
from stillmotion.runtime.bundle import Bundle, CropContract, parse_config

MARGIN = 1.8  # side of the square crop over the longer side of the face box: the crop contract


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avatars", type=Path, help="folder of GLB files, or a pack of them; rendered beside training")
    parser.add_argument("--render", type=int, default=720, help="clips of 16 frames to render")
    parser.add_argument("--rendered", type=Path, help="folder of rendered clips; RUN/rendered by default")
    parser.add_argument("--faces", type=float, default=0.4, help="share of rendered clips that show made faces")
    parser.add_argument("--rendered-share", type=float, default=0.7)
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="folders of real clips")
    parser.add_argument("--hold-out", nargs="*", default=["brbk7n", "pwij3p"])
    parser.add_argument("--face-model", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--schedule", default="motion:65,paint:25")
    parser.add_argument("--generator", default="16,64,3", help="EXPANSION,MOST,BLOCKS")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--batch", type=float, default=1.0, help="factor on the batch sizes: more on a large card")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="bundle folder, or state.pt of another run")
    parser.add_argument("--bundle", type=Path, help="write the averaged weights there at the end")
    parser.add_argument("--trust", type=float, default=0.0, help="added to the logit of the mask that keeps pixels")
    parser.add_argument("--half", action="store_true", help="store the bundle in float16")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def start_from(place: Path) -> dict[str, nn.Module]:
    """The networks of a bundle folder or of a run's state."""
    if place.is_dir():
        return open_networks(Bundle.open(place))
    saved = torch.load(place, weights_only=True)
    networks = build(parse_config(FirstOrderConfig, json.loads(saved["config"]), where=str(place)))
    for name, weights in saved["average"].items():
        networks[name].load_state_dict(weights)
    return networks


def prepare(args: argparse.Namespace) -> tuple[FirstOrderConfig, dict[str, nn.Module]]:
    """The config asked for, and networks that carry what `--start` learned."""
    expansion, most, blocks = (int(part) for part in args.generator.split(","))
    config = compact_256()
    name = args.bundle.name if args.bundle else config.name
    config = widened(config, name=name, expansion=expansion, most=most, blocks=blocks)
    networks = build(config)
    networks.pop("discriminator", None)
    if args.start:
        grow(start_from(args.start), networks)
    return config, networks


def worlds(args: argparse.Namespace) -> list[tuple[World, float]]:
    """Rendered and real pairs with their shares; rendering goes on in the background."""
    found: list[tuple[World, float]] = []
    folder = args.rendered or (args.output / "rendered" if args.avatars else None)
    if args.avatars:
        job: dict[str, Any] = {"clips": args.render, "frames": 16, "fps": 8.0, "seed": 11, "hold_out": HELD_OUT}
        job["faces"] = args.faces
        thread = threading.Thread(
            target=render_heads, args=(args.avatars,), kwargs=job | {"output": folder, "progress": False}, daemon=True
        )
        thread.start()
        while thread.is_alive() and len(list_clips(folder)) < min(args.render, 20):
            time.sleep(1)
    if folder is not None:
        found.append((RenderedHeads(folder), args.rendered_share))
    files = [f for place in args.clips for f in sorted(place.iterdir()) if f.suffix in (".mpg", ".mkv", ".mp4")]
    files = [f for f in files if f.stem not in args.hold_out]
    if files:
        share = 1 - args.rendered_share if found else 1.0
        found.append((RealClips(files, args.face_model, margin=MARGIN), share))
    return found


@torch.no_grad()
def trust(generator: nn.Module, amount: float) -> None:
    """Let the composite take more of the warped picture: so much more on the logit of its mask."""
    generator.final.bias[3] += amount  # type: ignore[index, operator]


def ship(run: Run, args: argparse.Namespace) -> None:
    """Write the averaged weights as a bundle, with what they were made from."""
    trust(run.average["generator"], args.trust)
    save_bundle(
        {name: network.cpu() for name, network in run.average.items()},
        run.config,
        args.bundle,
        crop=CropContract(kind="face", margin=MARGIN),
        marks=MARKS,
        half=args.half,
        data="36 rendered people (VALID avatars, six held out) with true flow and landmarks; 13 GRID clips of 8 "
        "speakers (brbk7n and pwij3p held out) and 5 sign-language clips, with synthetic camera motion and backgrounds",
        licence="MIT",
        credit="VALID avatar library (Do et al. 2023, MIT); GRID corpus (Cooke et al. 2006, CC BY 4.0); "
        "sign-language clips of the Intel sample videos (CC BY 4.0); SqueezeNet 1.1 features of torchvision (BSD-3)",
        recipe={
            "script": "benchmarks/train_heads.py",
            "schedule": args.schedule,
            "seed": args.seed,
            "trust": args.trust,
        }
        | run.state,
    )


def main() -> None:
    args = parse()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    config, networks = prepare(args)
    run = Run(
        networks=networks,
        config=config,
        worlds=worlds(args),
        features=load_features(args.features),
        output=args.output,
        phases=[(name, float(minutes)) for name, minutes in (part.split(":") for part in args.schedule.split(","))],
        rate=args.rate,
        seed=args.seed,
        batch=args.batch,
        device=args.device,
    )
    run.go()
    if args.bundle and not run.stop.is_set():
        ship(run, args)


if __name__ == "__main__":
    main()
