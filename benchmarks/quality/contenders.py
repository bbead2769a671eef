"""Who is trained: every method at 64×64 or 128×128, small, with its own losses, and the rows of the ablation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from stillmotion.core.recipe import AugmentationConfig
from stillmotion.methods.fewshot.config import PointsConfig, few_shot_64
from stillmotion.methods.firstorder.ablation import FULL, ROWS, ablation
from stillmotion.methods.firstorder.config import FirstOrderConfig, shapes_64
from stillmotion.methods.monkeynet.config import LossWeights as MonkeyWeights
from stillmotion.methods.monkeynet.config import MonkeyNetConfig, monkey_shapes_64
from stillmotion.methods.trinet.config import trinet_64
from stillmotion.methods.x2face.config import DrivingConfig, EmbeddingConfig, x2face_64

BATCH = 8
RATE = 5e-4
"""Of every Adam of every method; it falls tenfold at three quarters of the steps."""
COUNT = 10
"""Keypoints, where there are any."""
LANDMARKED = 128
"""From this side on the landmark network sees faces, and few-shot draws landmarks."""
METHODS = ("first-order", "monkey-net", "x2face", "few-shot", "trinet")
OURS = ("compositing",)
"""The first-order method composed as in the weights that ship: the source's own pixels, moved, where trusted."""
REDUCED = tuple(row for row in ROWS if row != FULL)
"""Rows of the ablation that are not the first-order method itself."""
_ALIKE = {"batch": BATCH, "augmentation": AugmentationConfig()}


def contenders(steps: int, *, size: int = 64) -> dict[str, Any]:
    """Configs by row: the five methods, ours, then what the ablation takes away from the first.

    Args:
        steps: Of each training; where a method has a warm-up, a quarter of them.
        size: Side of the frames, pixels, 64 or 128; what is seen at the smallest size stays.
    """
    rows = ablation(first_order(size))
    found = {
        "first-order": rows[FULL],
        "monkey-net": monkey_net(size),
        "x2face": _x2face(size),
        "few-shot": _few_shot(size),
        "trinet": _trinet(size, warm_up=steps // 4),
        "compositing": _compositing(rows[FULL]),
    }
    return found | {row: rows[row] for row in REDUCED}


def _more(size: int) -> int:
    """Halvings beyond those at 64×64."""
    return int(math.log2(size // 64))


def first_order(size: int = 64) -> FirstOrderConfig:
    """`shapes-64` with ten keypoints; motion is always seen at 32×32."""
    plain, more = shapes_64(), _more(size)
    training = replace(plain.training, learning_rate_generator=RATE, learning_rate_keypoints=RATE, **_ALIKE)
    scales = (*training.scales, *(training.scales[-1] / 2 ** (i + 1) for i in range(more)))
    return replace(
        plain,
        size=size,
        keypoints=replace(plain.keypoints, count=COUNT, scale=32 / size),
        motion=replace(plain.motion, scale=32 / size),
        generator=replace(plain.generator, down_blocks=plain.generator.down_blocks + more),
        training=replace(training, scales=scales),
    )


def _compositing(plain: FirstOrderConfig) -> FirstOrderConfig:
    return replace(plain, name="compositing", generator=replace(plain.generator, composite=True))


def monkey_net(size: int = 64) -> MonkeyNetConfig:
    """`monkey-shapes-64`, narrower, motion at 32×32 like the first-order method's, ten keypoints."""
    plain, more = monkey_shapes_64(), _more(size)
    shape: dict[str, Any] = {"expansion": 8, "max_features": 64}
    return replace(
        plain,
        name="monkey-net",
        size=size,
        keypoints=replace(plain.keypoints, count=COUNT, scale=32 / size, smallest_deviation=0.001, **shape),
        motion=replace(plain.motion, scale=32 / size, **shape),
        generator=replace(plain.generator, blocks=4 + more, refinement_blocks=2, **shape),
        discriminator=replace(plain.discriminator, expansion=16, max_features=64),
        training=replace(plain.training, learning_rate=RATE, weights=MonkeyWeights(), **_ALIKE),
    )


def _x2face(size: int) -> Any:
    """`x2face-64`, narrower."""
    plain, widths = x2face_64(), (16, 32, 64, 64, 64, 64) + (64,) * _more(size)
    return replace(
        plain,
        name="x2face",
        size=size,
        embedding=EmbeddingConfig(widths=widths),
        driving=DrivingConfig(widths=widths),
        training=replace(plain.training, learning_rate=RATE, **_ALIKE),
    )


def _few_shot(size: int) -> Any:
    """`few-shot-64` from one source, on landmarks, or where they are not seen on the keypoints of the first-order run
    of the same data and seed."""
    plain, more = few_shot_64(), (64,) * _more(size)
    points = PointsConfig() if size >= LANDMARKED else replace(plain.points, count=COUNT)
    rates = {"learning_rate": RATE, "learning_rate_discriminator": RATE}
    return replace(
        plain,
        name="few-shot",
        size=size,
        points=points,
        network=replace(plain.network, widths=(16, 32, 64, 64, 64, *more), painter=(16, 32, 64, *more)),
        training=replace(plain.training, sources=1, **rates, **_ALIKE),
    )


def _trinet(size: int, *, warm_up: int) -> Any:
    """`trinet-64`, narrower."""
    plain = trinet_64()
    rates = {"learning_rate": RATE, "learning_rate_discriminator": RATE}
    network = replace(plain.network, widths=(16, 32, 64, 64, *(64,) * _more(size)), common=64)
    return replace(
        plain,
        name="trinet",
        size=size,
        network=network,
        training=replace(plain.training, warm_up=warm_up, **rates, **_ALIKE),
    )
