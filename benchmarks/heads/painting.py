"""The generator alone, on windows of full-size frames with frozen motion: painting is a local job."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heads.motion import fast
from stillmotion.methods.firstorder.losses import mean_difference, perceptual
from stillmotion.nn.features import FeatureNetwork
from stillmotion.nn.geometry import resize_grid, warp

SIDE = 128  # of a window


def painting_step(
    networks: dict[str, nn.Module], item: dict[str, Tensor], rng: np.random.Generator, features: FeatureNetwork
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Terms and outputs of one batch, and the batch cut to the window."""
    outputs, window = windows(networks, item, rng)
    window["emphasis"] = window["emphasis"] * (1 + 4 * hidden_share(window, window["driving"].shape[2:]))
    driving, emphasis = window["driving"], window["emphasis"]
    with fast():
        seen = perceptual(
            features,
            outputs["prediction"],
            driving,
            scales=(1.0, 0.5),
            weights=(1.5,) * 7,
            emphasis=emphasis,
        )
    losses = {"perceptual": seen, "pixel": 200 * mean_difference(outputs["prediction"], driving, emphasis)}
    # A painted picture that is never judged alone is never chosen.
    losses["pixel_generated"] = 600 * mean_difference(outputs["generated"], driving, emphasis)
    return losses, outputs, window


def windows(
    networks: dict[str, nn.Module], item: dict[str, Tensor], rng: np.random.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The generator's outputs on one window of every frame, and the item cut to it; the motion gets no gradient."""
    generator, detector = networks["generator"], networks["kp_detector"]
    source = item["source"]
    with torch.no_grad():
        source_value, source_jacobian = detector(source)
        value, jacobian = detector(item["driving"])
        small = generator.dense_motion_network.down(source)
        motion = generator.dense_motion_network(small, source_value, value, source_jacobian, jacobian)
    ratio = source.shape[-1] // motion["flow"].shape[1]
    most, step = (source.shape[-1] - SIDE) // ratio, SIDE // ratio
    # Windows lean towards the middle, where the face is.
    y, x = (int(np.clip(rng.normal(most * mean, most / 4), 0, most)) for mean in (0.6, 0.5))
    near = slice(y, y + step), slice(x, x + step)
    far = slice(y * ratio, y * ratio + SIDE), slice(x * ratio, x * ratio + SIDE)
    convention, padding = generator.convention, generator.padding
    with torch.no_grad():
        full = resize_grid(motion["flow"], *source.shape[2:], convention=convention)
        deformed = warp(source, full[:, *far], convention=convention, padding=padding)
    with fast():
        features, _ = generator.encode(source)
    hidden = warp(features.float(), motion["flow"][:, *near], convention=convention, padding=padding)
    hidden = hidden * motion["occlusion"][:, :, *near]
    with fast():
        for block in (*generator.bottleneck.values(), *generator.up_blocks):
            hidden = block(hidden)
    planes = torch.sigmoid(generator.final(torch.cat([hidden.float(), deformed], dim=1)))
    generated, keep = planes[:, :3], planes[:, 3:]
    outputs = {"prediction": keep * deformed + (1 - keep) * generated, "generated": generated, "keep": keep}
    outputs |= {"deformed": deformed, "occlusion": motion["occlusion"][:, :, *near]}
    outputs |= {"source_value": source_value, "driving_value": value}
    window = {name: item[name][:, :, *far] for name in ("source", "driving", "emphasis")}
    return outputs, window | {"visible": item["visible"][:, *near], "true": item["true"]}


def hidden_share(item: dict[str, Tensor], size: torch.Size) -> Tensor:
    """Where the source shows nothing of what is to be seen, `(n, 1, *size)` in [0, 1]; 0 where the truth is unknown."""
    hidden = (1 - item["visible"])[:, None] * item["true"][:, None, None, None]
    return F.interpolate(hidden, size=size, mode="bilinear", align_corners=False)
