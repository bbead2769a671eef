"""Larger networks that start from smaller ones' weights and, at first, compute the same.

Old planes keep their weights and get nothing from new planes; new planes read everything, from random weights.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from stillmotion.methods.firstorder.config import FirstOrderConfig

Networks = dict[str, nn.Module]


def grow(old: Networks, new: Networks) -> None:
    """Copy `old` into the equal or larger `new`: more keypoints, wider generator, more bottleneck blocks."""
    for name in ("kp_detector", "generator"):
        before, after = old[name].state_dict(), new[name].state_dict()
        for key, tensor in after.items():
            if key not in before:
                _silent(key, tensor)
            elif before[key].shape == tensor.shape:
                tensor.copy_(before[key])
            elif "dense_motion" in key or name == "kp_detector":
                _more_keypoints(key, before[key], tensor)
            else:
                _wider(key, before[key], tensor)
        new[name].load_state_dict(after)


def _silent(key: str, tensor: Tensor) -> None:
    """A new residual block adds nothing yet: its last convolution is zero."""
    if "conv2" in key:
        tensor.zero_()


def _more_keypoints(key: str, old: Tensor, new: Tensor) -> None:
    """Rows for new keypoints; planes of the motion network's picture of them are not looked at yet."""
    fresh = new.clone()
    new.zero_()
    if key in ("kp.weight", "kp.bias", "jacobian.bias"):
        new.copy_(fresh)
    if key.endswith("mask.bias"):
        new.fill_(-2.0)
    if old.dim() < 4:
        new[: len(old)] = old
    else:  # both heads read the decoder's planes, then the keypoints' in order: new ones come last
        new[: len(old), : old.shape[1]] = old


def _wider(key: str, old: Tensor, new: Tensor) -> None:
    """A convolution of the generator with more planes on either side, or their norms."""
    if old.dim() < 4:
        new[: len(old)] = old
        return
    if key.startswith("final"):  # decoder's planes, then three of the warped source
        more = new.shape[1] - old.shape[1]
        new.zero_()
        new[:, : old.shape[1] - 3] = old[:, :-3]
        new[:, old.shape[1] - 3 + more :] = old[:, -3:]
        return
    new[: len(old)] = 0
    new[: len(old), : old.shape[1]] = old


def widened(config: FirstOrderConfig, *, name: str, expansion: int, most: int, blocks: int) -> FirstOrderConfig:
    """The same method with another generator."""
    generator = replace(config.generator, expansion=expansion, max_features=most, bottleneck_blocks=blocks)
    return replace(config, name=name, generator=generator)


def same(old: Networks, new: Networks, *, size: int) -> float:
    """Largest difference of the frames of two pairs of networks on a random picture: 0 up to rounding after `grow`."""
    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    frames = []
    for networks in (old, new):
        detector, generator = networks["kp_detector"].eval(), networks["generator"].eval()
        with torch.no_grad():
            value, jacobian = detector(picture)
            frames.append(generator(picture, value, value * 0.9, jacobian, jacobian)["prediction"])
    return float((frames[0] - frames[1]).abs().max())
