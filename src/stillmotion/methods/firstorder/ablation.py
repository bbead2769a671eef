"""The five rows of the published ablation, as changes to one config.

Source: Siarohin et al. 2019, section 4.2 and table 1. All rows keep the equivariance of keypoint values, without
which nothing ties keypoints to parts.
"""

from __future__ import annotations

from dataclasses import replace

from stillmotion.core.errors import ConfigError
from stillmotion.methods.firstorder.config import FirstOrderConfig

BASELINE, PYRAMID, OCCLUSION, FREE, FULL = (
    "baseline",
    "pyramid",
    "pyramid + occlusion",
    "jacobian without equivariance",
    "full",
)
ROWS = (BASELINE, PYRAMID, OCCLUSION, FREE, FULL)
"""In the order of the paper's table; each adds to the one before, the last takes the fourth's freedom away."""
PUBLISHED = {
    BASELINE: (0.073, 8.945, 0.099, 0.235),
    PYRAMID: (0.069, 9.407, 0.065, 0.213),
    OCCLUSION: (0.069, 8.773, 0.050, 0.205),
    FREE: (0.073, 9.887, 0.052, 0.220),
    FULL: (0.063, 6.862, 0.036, 0.179),
}
"""The paper's numbers, Tai-Chi-HD at 256×256: L1, AKD, MKR, AED. Other data, size and length of training than ours."""


def ablation(full: FirstOrderConfig) -> dict[str, FirstOrderConfig]:
    """The rows by name, from what the last one is.

    Args:
        full: Any first-order config with everything on, such as `shapes_64()`.

    Raises:
        ConfigError: Something that a row takes away is not there.
    """
    if not (full.keypoints.jacobian and full.generator.occlusion and full.training.weights.equivariance_jacobian):
        raise ConfigError(
            f"{full.name} leaves out something that the ablation would take away",
            hint="keypoints.jacobian, generator.occlusion and training.weights.equivariance_jacobian must be on",
        )
    if len(full.training.scales) < 2:
        raise ConfigError(
            f"{full.name} has one loss scale, so there is no pyramid to take away",
            hint="such as training.scales=[1,0.5]",
        )
    flat = replace(full.training, scales=full.training.scales[:1])
    weights = replace(full.training.weights, equivariance_jacobian=0.0)
    zero_order = replace(full, keypoints=replace(full.keypoints, jacobian=False))
    masked = replace(full.generator, occlusion=False)
    found = {
        BASELINE: replace(zero_order, generator=masked, training=flat),
        PYRAMID: replace(zero_order, generator=masked),
        OCCLUSION: zero_order,
        FREE: replace(full, training=replace(full.training, weights=weights)),
        FULL: full,
    }
    return {row: replace(config, name=row.replace(" + ", "-").replace(" ", "-")) for row, config in found.items()}
