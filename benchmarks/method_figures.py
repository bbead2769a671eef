"""One figure of how a method works, drawn from what its own networks compute for one pair of pictures.

    python benchmarks/method_figures.py WEIGHTS SOURCE DRIVING -o OUT.jpg [--frame N] [--other PICTURE]

WEIGHTS is a name of shipped weights, a bundle, or the folder of a training run; the method follows from it. SOURCE is a
picture or a clip, of which the first frame is taken; DRIVING is a clip, whose first frame is the rest pose and whose
frame N (the last) is performed. For networks trained on the published toy shapes, whose pictures may not be shown, the
words `disc`, `block` and `ring` are drawn here in their manner. Where a method tells who from how (few-shot, trinet),
--other is shown in a second row. The two distances of trinet need the run's checkpoint, because a bundle holds no
discriminator.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from contact_sheet import driving_frames, first_frame, photo_crop
from stillmotion import methods
from stillmotion.core.errors import DataError, StillmotionError
from stillmotion.core.flow import Flow, make_grid, to_pixels, warp
from stillmotion.core.frame import Frame, to_frames, to_planes
from stillmotion.core.motion import Keypoints
from stillmotion.methods.fewshot.drawing import draw_batch
from stillmotion.methods.trinet.network import apart
from stillmotion.nn.checkpoint import load_strictly, read_checkpoint
from stillmotion.prepare.show import draw_flow, draw_keypoints, draw_occlusion, keypoint_colours
from stillmotion.session.animator import Animator
from stillmotion.video.target import replacing

CELL, GAP, LINE = 168, 26, 16
"""Side of a cell, room between two, and height of a line of its caption, pixels."""
AXIS = 0.06
"""Length of a typical axis of a local map, as a share of the cell."""


TOYS = {"disc": (2.0, 0.0), "block": (8.0, 0.0), "ring": (2.0, 0.5)}
"""Toy shapes by name: exponent of a superellipse, and the share of it that is a hole."""


@dataclass(frozen=True)
class Cell:
    """One picture of a figure.

    Attributes:
        picture: `uint8 (h, w, 3)`.
        caption: Below it; lines end at `|`.
        joint: What stands before it: `+`, `>` for an arrow, or nothing.
        is_sharp: Enlarge without smoothing.
    """

    picture: np.ndarray
    caption: str
    joint: str = ""
    is_sharp: bool = False


@dataclass(frozen=True, eq=False)
class Look:
    """A method about to be looked at.

    Attributes:
        method: On the torch engine.
        source, driving: Frames of its size.
        rest: Driving frame taken as rest pose.
        other: Another source, or None.
        run: Folder that the weights came from.
    """

    method: Any
    source: Frame
    driving: Frame
    rest: Frame
    other: Frame | None
    run: Path | None

    def perform(self, source: Frame) -> tuple[dict[str, np.ndarray], Any, Any, Any]:
        """State of a source, motion of the driving frame, as it was transferred, and the rendering."""
        animator = Animator(self.method, source)
        animator.transfer(animator.read(self.rest))
        motion = animator.read(self.driving)
        moved = animator.transfer(motion)
        return self.method.encode([source]), motion, moved, animator.render(moved)

    def module(self, stage: str) -> Any:
        """The torch module of a stage."""
        return self.method.engine.stages[stage]


def axes(frame: Frame, keypoints: Keypoints, *, length: float, convention: Any) -> np.ndarray:
    """Keypoints with the two axes of each local map; `length` pixels stand for a column of length 1."""
    out = enlarged(frame)
    places = to_pixels(keypoints.value, out.shape[:2], convention)
    assert keypoints.jacobian is not None
    for place, jacobian in zip(places, keypoints.jacobian, strict=True):
        for column, ink in ((0, (255, 60, 60)), (1, (70, 160, 255))):
            end = place + jacobian[:, column] * length
            line(out, place, end, ink)
    return draw_keypoints(out, Keypoints(keypoints.value), convention=convention)


def line(picture: np.ndarray, start: np.ndarray, end: np.ndarray, ink: tuple[int, int, int]) -> None:
    """A line with a black edge, in place; `(x, y)` pixels."""
    (x0, y0), (x1, y1) = (np.clip(np.rint(p), -4000, 4000).astype(int).tolist() for p in (start, end))
    cv2.line(picture, (x0, y0), (x1, y1), (0, 0, 0), 3, cv2.LINE_AA)
    cv2.line(picture, (x0, y0), (x1, y1), ink, 2, cv2.LINE_AA)


def ellipses(frame: Frame, keypoints: Keypoints, *, convention: Any) -> np.ndarray:
    """Keypoints with an ellipse of one standard deviation."""
    out = enlarged(frame)
    places = to_pixels(keypoints.value, out.shape[:2], convention)
    assert keypoints.covariance is not None
    colours = keypoint_colours(len(places))
    for (x, y), spread, colour in zip(places, keypoints.covariance, colours, strict=True):
        sizes, turns = np.linalg.eigh(spread)
        reach = np.sqrt(np.clip(sizes, 0, None)) * CELL / 2
        angle = float(np.degrees(np.arctan2(turns[1, 1], turns[0, 1])))
        middle, half = (round(float(x)), round(float(y))), (round(float(reach[1])), round(float(reach[0])))
        for width, ink in ((4, (0, 0, 0)), (2, tuple(map(int, colour)))):
            cv2.ellipse(out, middle, half, angle, 0, 360, ink, width, cv2.LINE_AA)
    return draw_keypoints(out, Keypoints(keypoints.value), convention=convention)


def enlarged(frame: np.ndarray, *, is_sharp: bool = False) -> np.ndarray:
    """At the size of a cell."""
    way = cv2.INTER_NEAREST if is_sharp else cv2.INTER_AREA if len(frame) > CELL else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(frame), (CELL, CELL), interpolation=way)


def coloured(flow: Flow) -> np.ndarray:
    """Hue for the direction; full colour for the largest movements of this flow."""
    lengths = np.linalg.norm(flow.grid - make_grid(flow.size, flow.convention), axis=-1)
    return draw_flow(flow, (CELL, CELL), full=max(float(np.quantile(lengths, 0.98)), 0.02))


def moved_pixels(frame: Frame, flow: Flow) -> np.ndarray:
    """The frame read where the flow says."""
    return np.clip(np.rint(warp(frame, flow)), 0, 255).astype(np.uint8)


def numbers(vector: np.ndarray) -> np.ndarray:
    """A vector as a field of squares, row by row: blue below zero, red above, white zero."""
    flat = np.asarray(vector, np.float64).reshape(-1)
    side = int(np.ceil(np.sqrt(len(flat))))
    field = np.zeros(side * side)
    field[: len(flat)] = flat / max(float(np.quantile(np.abs(flat), 0.98)), 1e-9)
    field = np.clip(field, -1, 1).reshape(side, side, 1)
    red, blue = np.array([200, 40, 40]), np.array([40, 70, 200])
    ink = np.where(field > 0, red, blue)
    return np.rint(255 - np.abs(field) * (255 - ink)).astype(np.uint8)


def shares(mask: np.ndarray) -> np.ndarray:
    """Which keypoint moves each pixel: `(k + 1, h, w)` shares, slot 0 the background, mixed in its colours."""
    colours = np.concatenate([[[235, 235, 235]], keypoint_colours(len(mask) - 1)]).astype(np.float64)
    return np.rint(np.einsum("khw,kc->hwc", mask, colours)).astype(np.uint8)


def first_order(look: Look) -> list[list[Cell]]:
    """Keypoints with local maps, dense motion, occlusion, frame."""
    state, motion, _, rendering = look.perform(look.source)
    flow, convention = rendering.flows[0], look.method.spec.convention
    source = look.method.source_motion(state)
    drawn: Callable[[Frame, Keypoints], np.ndarray] = lambda frame, points: draw_keypoints(  # noqa: E731
        enlarged(frame), points, convention=convention
    )
    if source.jacobian is not None:
        typical = np.median(np.linalg.norm(np.concatenate([source.jacobian, motion.jacobian]), axis=1))
        length = AXIS * CELL / max(float(typical), 1e-6)
        drawn = lambda frame, points: axes(frame, points, length=length, convention=convention)  # noqa: E731
    cells = [
        Cell(drawn(look.source, source), "source: keypoints|and their local maps"),
        Cell(drawn(look.driving, motion), "driving: the same,|read by itself", "+"),
        Cell(coloured(flow), "dense motion: where|each pixel reads", ">"),
        Cell(moved_pixels(look.source, flow), "the source, read there", ">"),
    ]
    if flow.occlusion is not None:
        cells.append(Cell(draw_occlusion(flow, (CELL, CELL)), "occlusion: black|is to be invented", "+"))
    return [[*cells, Cell(rendering.frames[0], "frame", ">")]]


def monkey_net(look: Look) -> list[list[Cell]]:
    """Keypoints with their spread, masks, flow, frame."""
    state, motion, moved, rendering = look.perform(look.source)
    convention, flow = look.method.spec.convention, rendering.flows[0]
    given = [state["source"], state["source_value"], state["source_covariance"], moved.value[None]]
    arrays = [torch.from_numpy(np.array(array)) for array in (*given, moved.covariance[None])]
    mask = look.module("render").generator.dense_motion_module(*arrays)["mask"][0].numpy()
    source = ellipses(look.source, look.method.source_motion(state), convention=convention)
    driving = ellipses(look.driving, motion, convention=convention)
    return [
        [
            Cell(source, "source: keypoints|and how far they spread"),
            Cell(driving, "driving: the same,|read by itself", "+"),
            Cell(shares(mask), "masks: which keypoint|moves which pixel", ">"),
            Cell(coloured(flow), "flow: their movements,|masked, and a residual", ">"),
            Cell(moved_pixels(look.source, flow), "the source, read there", ">"),
            Cell(rendering.frames[0], "frame: every level|warped, then decoded", ">"),
        ]
    ]


def x2face(look: Look) -> list[list[Cell]]:
    """Two flows and the face between them."""
    state, _, moved, rendering = look.perform(look.source)
    convention = look.method.spec.convention
    unwrap = Flow(np.moveaxis(state["place"][0], 0, -1), convention)
    grid = look.module("render").driving.place(torch.from_numpy(np.array(moved.code))[None])[0].numpy()
    return [
        [
            Cell(look.source, "source"),
            Cell(coloured(unwrap), "where the embedded|face reads in it", ">"),
            Cell(to_frames(np.array(state["face"]))[0], "the embedded face", ">"),
            Cell(look.driving, "driving", "+"),
            Cell(numbers(moved.code), f"its vector,|{len(moved.code)} numbers", ">", is_sharp=True),
            Cell(coloured(Flow(grid, convention)), "where the frame reads|in that face", ">"),
            Cell(rendering.frames[0], "frame: pixels of the|source, moved twice", ">"),
        ]
    ]


def few_shot(look: Look) -> list[list[Cell]]:
    """The same drawing in the style of one person or two."""
    size, convention = look.method.spec.size[0], look.method.spec.convention

    def drawing(motion: Any) -> np.ndarray:
        return to_frames(draw_batch(motion.value[None], size, convention=convention))[0]

    rows = []
    for source in [look.source] if look.other is None else [look.source, look.other]:
        state, _, moved, rendering = look.perform(source)
        style = state["style"] - look.module("render").generator.decoder.plain_style().numpy()
        rows.append(
            [
                Cell(source, "source"),
                Cell(drawing(look.method.source_motion(state)), "its points, drawn", "+"),
                Cell(numbers(style), f"its style: {style.size} gains|and shifts, from neutral", ">", is_sharp=True),
                Cell(look.driving, "driving"),
                Cell(drawing(moved), "its points, moved to|the person, drawn", ">"),
                Cell(rendering.frames[0], "frame: the drawing,|painted in that style", ">"),
            ]
        )
    return rows


def trinet(look: Look) -> list[list[Cell]]:
    """Who and how as two vectors, and the two distances that taught them."""
    judge = discriminator(look)
    rows = []
    for source in [look.source] if look.other is None else [look.source, look.other]:
        state, _, moved, rendering = look.perform(source)
        row = [
            Cell(source, "source"),
            Cell(numbers(state["identity"]), f"who: {state['identity'].size} numbers", ">", is_sharp=True),
            Cell(look.driving, "driving", "+"),
            Cell(numbers(moved.code), f"how: {moved.code.size} numbers", ">", is_sharp=True),
            Cell(rendering.frames[0], "frame, painted", ">"),
        ]
        if judge is not None:
            row.append(Cell(distances(judge, source, look.driving, rendering.frames[0]), "the learned distances"))
        rows.append(row)
    return rows


def discriminator(look: Look) -> Any:
    """Trinet's third network from the run's checkpoint; None where there is none."""
    path = None if look.run is None else look.run / "checkpoint.pt"
    if path is None or not path.is_file():
        return None
    network = methods.method_weights("trinet").build(look.method.config)["discriminator"]
    load_strictly({"discriminator": network}, read_checkpoint(path, ("discriminator",)), where=str(path))
    return network.eval()


def distances(judge: Any, source: Frame, driving: Frame, frame: Frame) -> np.ndarray:
    """Table of the frame's two distances from its source and from the driving frame, in 0 to 4."""
    seen = judge(torch.from_numpy(to_planes(np.stack([source, driving, frame]))))
    page = Image.new("RGB", (CELL, CELL), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    lines = [("frame from", "source", "driving")]
    for name, vectors in (("identity", seen[0]), ("driving", seen[1])):
        lines.append((name, *(f"{float(apart(vectors[i : i + 1], vectors[2:])[0]):.2f}" for i in (0, 1))))
    for i, words in enumerate(lines):
        for left, word in zip((4, 74, 120), words, strict=True):
            pen.text((left, 44 + 26 * i), word, fill="black", font=font)
    pen.line((4, 64, CELL - 4, 64), fill="black")
    return np.asarray(page)


FIGURES: dict[str, Callable[[Look], list[list[Cell]]]] = {
    "few-shot": few_shot,
    "first-order": first_order,
    "monkey-net": monkey_net,
    "trinet": trinet,
    "x2face": x2face,
}


def assembled(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Cells side by side with captions below and signs between; later rows repeat no caption."""
    lines = max(cell.caption.count("|") + 1 for cell in rows[0])
    width = max(len(row) for row in rows) * (CELL + GAP) + GAP // 2
    page = Image.new("RGB", (width, GAP // 2 + len(rows) * (CELL + 6) + lines * LINE + 6), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for i, row in enumerate(rows):
        top = GAP // 2 + i * (CELL + 6)
        for j, cell in enumerate(row):
            left = GAP // 2 + j * (CELL + GAP)
            page.paste(Image.fromarray(enlarged(cell.picture, is_sharp=cell.is_sharp)), (left, top))
            pen.rectangle((left - 1, top - 1, left + CELL, top + CELL), outline="#bbbbbb")
            sign(pen, left - GAP // 2, top + CELL // 2, cell.joint)
            for k, words in enumerate(cell.caption.split("|") if i == len(rows) - 1 else ()):
                pen.text((left, top + CELL + 5 + k * LINE), words, fill="black", font=font)
    return page


def sign(pen: ImageDraw.ImageDraw, x: int, y: int, kind: str) -> None:
    """A plus or an arrow about a point."""
    if kind:
        pen.line((x - 7, y, x + 6, y), fill="black", width=2)
    if kind == "+":
        pen.line((x, y - 7, x, y + 6), fill="black", width=2)
    if kind == ">":
        pen.polygon([(x + 8, y), (x + 1, y - 5), (x + 1, y + 5)], fill="black")


def toy(name: str, *, size: int, frames: int = 24) -> list[Frame]:
    """A flat shape that goes round on black, `uint8 (size, size, 3)` each."""
    power, hole = TOYS[name]
    ink = np.roll([60, 220, 150], list(TOYS).index(name))
    y, x = np.mgrid[0:size, 0:size] / size
    made = []
    for angle in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        reach = (np.abs(x - 0.5 - 0.25 * np.cos(angle)) / 0.14) ** power
        reach += (np.abs(y - 0.5 - 0.2 * np.sin(angle)) / 0.14) ** power
        made.append(np.where(((reach < 1) & (reach >= hole))[..., None], ink, 0).astype(np.uint8))
    return made


def opened(weights: str) -> tuple[Any, Path | None]:
    """The method on the torch engine, and the folder of its run."""
    folder = Path(weights)
    if (folder / "bundle").is_dir():
        return methods.load(folder / "bundle", engine="torch", device="cpu"), folder
    is_bundle = (folder / "model.json").is_file()
    method = methods.load(folder if is_bundle else weights, engine="torch", device="cpu")
    return method, folder.parent if is_bundle else None


def look_at(weights: str, source: Path, driving: Path, *, frame: int = -1, other: Path | None = None) -> Look:
    """Open everything.

    Raises:
        StillmotionError: Something cannot be read.
    """
    method, run = opened(weights)
    clip = (
        toy(driving.name, size=method.spec.size[0]) if driving.name in TOYS else driving_frames(driving, method, None)
    )
    if not -len(clip) <= frame < len(clip):
        raise DataError(f"{driving.name} has {len(clip)} frames, none numbered {frame}", hint="choose another --frame")
    second = None if other is None else still(other, method)
    return Look(method, still(source, method), clip[frame], clip[0], second, run)


def still(path: Path, method: Any) -> Frame:
    """A source: the first frame of a clip, a picture, or a toy."""
    return (
        toy(path.name, size=method.spec.size[0])[0]
        if path.name in TOYS
        else photo_crop(first_frame(path), method, None)
    )


@torch.no_grad()
def figure(look: Look) -> Image.Image:
    """The figure of the method at hand."""
    return assembled(FIGURES[look.method.spec.name](look))


def main(words: Sequence[str] | None = None) -> int:
    """Draw one figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("source", type=Path)
    parser.add_argument("driving", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--frame", type=int, default=-1)
    parser.add_argument("--other", type=Path)
    args = parser.parse_args(words)
    try:
        look = look_at(args.weights, args.source, args.driving, frame=args.frame, other=args.other)
        with replacing(args.output) as partial:
            figure(look).save(partial, format="JPEG", quality=88)
    except StillmotionError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    print(f"{args.output}: {args.output.stat().st_size / 1000:.0f} kB, {look.method.spec.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
