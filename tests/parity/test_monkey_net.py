"""Monkey-Net against the published implementation's outputs and parameter counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion.core.errors import ConfigError  # noqa: E402
from stillmotion.methods.monkeynet.config import PRESETS, PredictionConfig, monkey_shapes_64  # noqa: E402
from stillmotion.methods.monkeynet.network import floored, heatmaps  # noqa: E402
from stillmotion.methods.monkeynet.weights import build, convert, translate  # noqa: E402
from stillmotion.nn.checkpoint import load_strictly  # noqa: E402
from stillmotion.runtime.bundle import Bundle  # noqa: E402

from .golden import arrays, keys, open_fill, parameters, picture  # noqa: E402

COUNTS = {
    "monkey-shapes-64": (2_111_899, 1_027_072, 1_713_345, 3_250_200),
    "monkey-nemo-64": (19_088_315, 9_412_600, 1_719_489, 3_397_692),
    "monkey-taichi-64": (28_528_571, 14_132_728, 1_719_489, 3_397_692),
    "monkey-mgif-128": (52_235_653, 14_132_728, 1_719_489, 3_397_692),
    "monkey-vox-256": (80_629_691, 14_132_728, 1_719_489, 3_397_692),
}


@pytest.mark.parametrize("preset", COUNTS)
def test_parameter_counts_are_as_published(preset: str) -> None:
    from dataclasses import replace

    config = replace(PRESETS[preset](), prediction=PredictionConfig(enabled=True))
    with torch.device("meta"):
        networks = build(config)
    names = ("generator", "kp_detector", "discriminator", "predictor")
    assert tuple(parameters(networks[name]) for name in names) == COUNTS[preset]


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    return arrays(shared, "monkeynet-shapes")


@pytest.fixture(scope="module")
def networks(shared: Path) -> dict[str, Any]:
    fill = open_fill(shared)
    networks = {name: n for name, n in build(monkey_shapes_64()).items() if name != "discriminator"}
    states = {
        name: translate({k: torch.from_numpy(v) for k, v in fill.fill(shapes, f"monkeynet.{name}").items()})
        for name, shapes in keys(shared, "monkeynet-shapes").items()
    }
    load_strictly(networks, states, where="the golden state dict")
    return {name: network.eval().requires_grad_(False) for name, network in networks.items()}


def test_keypoints_covariances_and_frame(shared: Path, networks: dict[str, Any], golden: dict[str, np.ndarray]) -> None:
    fill = open_fill(shared)
    source, driving = picture(fill, 1, 64), picture(fill, 3, 64)
    motions = [networks["kp_detector"](image) for image in (source, driving)]
    for name, (value, covariance) in zip(("source", "driving"), motions, strict=True):
        np.testing.assert_allclose(value[0].numpy(), golden[f"{name}_mean"], atol=1e-5, rtol=0)
        np.testing.assert_allclose(covariance[0].numpy(), golden[f"{name}_covariance"], atol=1e-5, rtol=0)
    # From the golden keypoints: random weights magnify the last digit of a keypoint in the frame.
    given = [
        torch.from_numpy(golden[f"{name}_{term}"])[None]
        for name in ("source", "driving")
        for term in ("mean", "covariance")
    ]
    out = networks["generator"](source, *given)
    for name, wanted in (("prediction", "frame"), ("deformed", "warped_source")):
        np.testing.assert_allclose(out[name][0].permute(1, 2, 0).numpy(), golden[wanted], atol=1e-4, rtol=0)


def test_a_published_checkpoint_converts(shared: Path, networks: dict[str, Any], tmp_path: Path) -> None:
    """Names, five-dimensional tensors and all."""
    fill, path = open_fill(shared), tmp_path / "shapes.pth.tar"
    states = {
        name: {k: torch.from_numpy(v) for k, v in fill.fill(shapes, f"monkeynet.{name}").items()}
        for name, shapes in keys(shared, "monkeynet-shapes").items()
    }
    torch.save(states | {"epoch": 7}, path)
    bundle = Bundle.open(convert(path, config="monkey-shapes-64", output=tmp_path / "b", keep="tensors"))
    assert (bundle.card.method, bundle.card.name) == ("monkey-net", "monkey-shapes-64")
    wanted = networks["generator"].final.weight.numpy()
    assert np.array_equal(bundle.tensors("generator.")["final.weight"], wanted)
    with pytest.raises(ConfigError, match="is no preset of this method"):
        convert(path, config="vox-256", output=tmp_path / "c")


@pytest.mark.parametrize("matrix", [[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[1e-9, 0], [0, 1]], [[1, 2], [2, 1]]])
def test_no_covariance_makes_a_nan(matrix: list[list[float]]) -> None:
    """Singular and indefinite ones, forwards and backwards."""
    covariance = torch.tensor(matrix, dtype=torch.float32)[None, None].requires_grad_()
    heat = heatmaps(torch.zeros(1, 1, 2), covariance, 8, 8, norm=0.0, convention="centers")
    lifted = floored(covariance, 1e-3)
    (heat.sum() + lifted.sum()).backward()
    assert torch.isfinite(heat).all()
    assert torch.isfinite(lifted).all()
    assert covariance.grad is not None
    assert torch.isfinite(covariance.grad).all()
