"""Who is trained: every method at 64×64, small, with its own losses, and the rows of the ablation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stillmotion.core.recipe import AugmentationConfig
from stillmotion.methods.fewshot.config import few_shot_64
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
METHODS = ("first-order", "monkey-net", "x2face", "few-shot", "trinet")
OURS = ("compositing",)
"""The first-order method composed as in the weights that ship: the source's own pixels, moved, where trusted."""
REDUCED = tuple(row for row in ROWS if row != FULL)
"""Rows of the ablation that are not the first-order method itself."""
_ALIKE = {"batch": BATCH, "augmentation": AugmentationConfig()}


def contenders(steps: int) -> dict[str, Any]:
    """Configs by row: the five methods, ours, then what the ablation takes away from the first.

    Args:
        steps: Of each training; where a method has a warm-up, a quarter of them.
    """
    rows = ablation(first_order())
    found = {
        "first-order": rows[FULL],
        "monkey-net": monkey_net(),
        "x2face": _x2face(),
        "few-shot": _few_shot(),
        "trinet": _trinet(warm_up=steps // 4),
        "compositing": _compositing(rows[FULL]),
    }
    return found | {row: rows[row] for row in REDUCED}


def first_order() -> FirstOrderConfig:
    """`shapes-64` with ten keypoints."""
    plain = shapes_64()
    training = replace(plain.training, learning_rate_generator=RATE, learning_rate_keypoints=RATE, **_ALIKE)
    return replace(plain, keypoints=replace(plain.keypoints, count=COUNT), training=training)


def _compositing(plain: FirstOrderConfig) -> FirstOrderConfig:
    return replace(plain, name="compositing", generator=replace(plain.generator, composite=True))


def monkey_net() -> MonkeyNetConfig:
    """`monkey-shapes-64`, narrower, motion at half size like the first-order method's, ten keypoints."""
    plain = monkey_shapes_64()
    shape: dict[str, Any] = {"expansion": 8, "max_features": 64}
    return replace(
        plain,
        name="monkey-net",
        keypoints=replace(plain.keypoints, count=COUNT, scale=0.5, smallest_deviation=0.001, **shape),
        motion=replace(plain.motion, scale=0.5, **shape),
        generator=replace(plain.generator, blocks=4, refinement_blocks=2, **shape),
        discriminator=replace(plain.discriminator, expansion=16, max_features=64),
        training=replace(plain.training, learning_rate=RATE, weights=MonkeyWeights(), **_ALIKE),
    )


def _x2face() -> Any:
    """`x2face-64`, narrower."""
    plain = x2face_64()
    return replace(
        plain,
        name="x2face",
        embedding=EmbeddingConfig(widths=(16, 32, 64, 64, 64, 64)),
        driving=DrivingConfig(widths=(16, 32, 64, 64, 64, 64)),
        training=replace(plain.training, learning_rate=RATE, **_ALIKE),
    )


def _few_shot() -> Any:
    """`few-shot-64` from one source, on the keypoints of the first-order run of the same data and seed."""
    plain = few_shot_64()
    rates = {"learning_rate": RATE, "learning_rate_discriminator": RATE}
    return replace(
        plain,
        name="few-shot",
        points=replace(plain.points, count=COUNT),
        network=replace(plain.network, widths=(16, 32, 64, 64, 64), painter=(16, 32, 64)),
        training=replace(plain.training, sources=1, **rates, **_ALIKE),
    )


def _trinet(*, warm_up: int) -> Any:
    """`trinet-64`, narrower."""
    plain = trinet_64()
    rates = {"learning_rate": RATE, "learning_rate_discriminator": RATE}
    network = replace(plain.network, widths=(16, 32, 64, 64), common=64)
    return replace(
        plain, name="trinet", network=network, training=replace(plain.training, warm_up=warm_up, **rates, **_ALIKE)
    )
