"""Keypoints and dense motion alone: the lesson in which most pairs are seen.

`detect` and `dense` compute what the networks' own `forward` computes, in forms that train twice as
fast on a processor: hourglasses in bfloat16, affine maps as one matrix product, both heads as one
convolution. A first-order warp needs no generator to be judged: the rendered truth has the flow, and
on real clips the warped source itself must look like the driving frame.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.methods.firstorder.losses import equivariance
from stillmotion.nn.geometry import inverse_2x2, make_grid, resize_grid, warp
from stillmotion.nn.tps import RandomTransform

Losses = dict[str, Tensor]


def fast() -> AbstractContextManager[object]:
    """bfloat16 where the device has it quickly."""
    return torch.autocast("cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)


class Detect(nn.Module):
    """`KeypointDetector.forward` around the same weights."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        own = self.detector
        with fast():
            features = own.predictor(own.down(image))
        features = features.float()
        logits = own.kp(features)
        n, k, height, width = logits.shape
        heat = F.softmax(logits.reshape(n, k, -1) / own.temperature, dim=2)
        grid = make_grid(height, width, convention=own.convention, like=heat).reshape(-1, 2)
        value = heat.reshape(n * k, -1) @ grid
        maps = own.jacobian(features).reshape(n * k, 4, height * width)
        local = torch.bmm(maps, heat.reshape(n * k, height * width, 1))
        return value.reshape(n, k, 2), local.reshape(n, k, 2, 2)


def dense(
    motion: nn.Module, small: Tensor, source: Tensor, driving: Tensor, source_jacobian: Tensor, jacobian: Tensor
) -> dict[str, Tensor]:
    """`DenseMotion.forward`: `flow (n, h, w, 2)`, `mask (n, k + 1, h, w)`, `occlusion (n, 1, h, w)`."""
    n, _, height, width = small.shape
    slots = source.shape[1] + 1
    local = source_jacobian @ inverse_2x2(jacobian)
    shift = source - (local @ driving[..., None])[..., 0]
    maps = torch.cat([local, shift[..., None]], dim=-1)
    maps = torch.cat([torch.eye(2, 3).to(maps).expand(n, 1, 2, 3), maps], dim=1)
    grid = make_grid(height, width, convention=motion.convention, like=small).reshape(-1, 2)
    homogeneous = torch.cat([grid, torch.ones_like(grid[:, :1])], dim=1)
    sparse = (maps.reshape(-1, 3) @ homogeneous.T).reshape(n, slots, 2, height * width)
    repeated = small.unsqueeze(1).expand(-1, slots, -1, -1, -1).reshape(n * slots, 3, height, width)
    places = sparse.transpose(2, 3).reshape(n * slots, height, width, 2)
    warped = warp(repeated, places, convention=motion.convention, padding=motion.padding)
    shown = torch.cat(
        [motion.heatmaps(source, driving, height, width), warped.reshape(n, slots, 3, height, width)], dim=2
    )
    with fast():
        features = motion.hourglass(
            shown.reshape(n, slots * 4, height, width).contiguous(memory_format=torch.channels_last)
        )
        weight = torch.cat([motion.mask.weight, motion.occlusion.weight])
        bias = torch.cat([motion.mask.bias, motion.occlusion.bias])
        heads = F.conv2d(features, weight, bias, padding=motion.mask.padding)
    heads = heads.float()
    mask = F.softmax(heads[:, :-1], dim=1)
    flow = (mask.reshape(n, slots, 1, -1) * sparse).sum(1).transpose(1, 2).reshape(n, height, width, 2)
    return {"flow": flow, "mask": mask, "occlusion": torch.sigmoid(heads[:, -1:])}


def motion_step(
    networks: dict[str, nn.Module], item: dict[str, Tensor], config: FirstOrderConfig, *, turn: bool
) -> tuple[Losses, dict[str, Tensor]]:
    """Terms and outputs of one batch; `turn` says whether the equivariance pass is due."""
    motion, detect = networks["generator"].dense_motion_network, Detect(networks["kp_detector"])
    source, driving = item["source"], item["driving"]
    count, size = len(source), source.shape[-1]
    value, jacobian = detect(torch.cat([source, driving]).contiguous(memory_format=torch.channels_last))
    own, moved = value[:count], value[count:]
    outputs = dense(motion, motion.down(source), own, moved, jacobian[:count], jacobian[count:])
    full = resize_grid(outputs["flow"], size, size, convention=config.convention)
    deformed = warp(source, full, convention=config.convention, padding=config.padding)
    outputs |= {"deformed": deformed, "source_value": own, "driving_value": moved}
    losses = truth_losses(outputs, item) | {"deformed": photometric(deformed, item)}
    if turn:
        half, drawn = driving[: count // 2], config.training.transform
        transform = RandomTransform.draw(
            len(half),
            sigma_affine=drawn.sigma_affine,
            sigma_tps=drawn.sigma_tps,
            points_tps=drawn.points_tps,
            like=half,
        )
        losses |= equivariance(
            detect,
            half,
            moved[: count // 2],
            jacobian[count : count + len(half)],
            transform=transform,
            convention=config.convention,
            value_weight=20.0,
            jacobian_weight=8.0,
        )
    return losses, outputs


def photometric(deformed: Tensor, item: dict[str, Tensor]) -> Tensor:
    """The warped source against the driving frame; on real clips, which have no other teacher, it counts more.

    What the source does not show counts most: there the flow is free, and had better fetch the wall beside
    the head than a second ear.
    """
    true = item["true"][:, None, None, None]
    hidden = F.interpolate((1 - item["visible"])[:, None] * true, size=deformed.shape[2:])
    gap = ((deformed - item["driving"]).abs() * item["emphasis"] * (1 + 2 * hidden)).mean((1, 2, 3))
    return (gap * (10 + 30 * (1 - item["true"]))).mean()


def truth_losses(outputs: dict[str, Tensor], item: dict[str, Tensor]) -> Losses:
    """Supervision by the rendered truth: flow where the source shows the point, occlusion, and anchors."""
    seen, true = item["visible"], item["true"]
    gap = (outputs["flow"] - item["flow"]).abs().sum(-1)
    weight = seen * F.adaptive_avg_pool2d(item["emphasis"], seen.shape[1:])[:, 0]
    entropy = F.binary_cross_entropy(outputs["occlusion"][:, 0], seen, reduction="none")
    anchors = (outputs["driving_value"] - item["anchors"]).abs().sum(-1)
    return {
        "true_flow": 60 * (gap * weight).sum() / weight.sum().clamp(min=1),
        "true_occlusion": 0.5 * (entropy.mean(dim=(1, 2)) * true).sum() / true.sum().clamp(min=1),
        "anchors": 50 * (anchors * item["anchor_weights"]).mean(),
    }


def motion_figures(outputs: dict[str, Tensor], item: dict[str, Tensor]) -> dict[str, float]:
    """End-point error in pixels of a 256 picture where visible, and the real pairs' weighted error against copying."""
    true, seen = item["true"].bool(), item["visible"]
    flow = item["flow"]
    still = make_grid(*flow.shape[1:3], convention="edges", like=flow)
    figures = {}
    for name, guess in (("end_point", outputs["flow"]), ("still", still)):
        gap = 128 * (guess.detach() - flow).norm(dim=-1)
        figures[name] = float((gap * seen)[true].sum() / seen[true].sum().clamp(min=1))
    for name, guess in (("real", outputs["deformed"]), ("real_copy", item["source"])):
        gap = (guess.detach() - item["driving"]).abs() * item["emphasis"]
        figures[name] = float(gap[~true].mean()) if (~true).any() else 0.0
    return figures
