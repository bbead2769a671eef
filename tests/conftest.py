"""Fixtures shared by all tests: where the optional shared material is, and a fixed seed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillmotion.methods.firstorder.config import (
    DenseMotionConfig,
    DiscriminatorConfig,
    FirstOrderConfig,
    GeneratorConfig,
    KeypointConfig,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that tests share modules (`from tests.sources import ...`) however they are started


def find_shared() -> Path | None:
    """The folder with clips, golden arrays and assets that some tests can use, if it is here."""
    named = os.environ.get("STILLMOTION_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "golden").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = find_shared()
    if folder is None:
        pytest.skip("the shared material (golden arrays, clips, assets) is not here; set STILLMOTION_SHARED")
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Whatever stillmotion remembers of its user (a certificate, a consent) stays inside the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("STILLMOTION_HOME", str(folder))
        yield folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def tiny_config() -> FirstOrderConfig:
    """A first-order network of a few thousand parameters, 32×32 pixels."""
    return FirstOrderConfig(
        name="tiny",
        size=32,
        keypoints=KeypointConfig(count=4, expansion=8, max_features=16, blocks=2, scale=0.5),
        motion=DenseMotionConfig(expansion=8, max_features=16, blocks=2, scale=0.5),
        generator=GeneratorConfig(expansion=8, max_features=16, down_blocks=1, bottleneck_blocks=2),
        discriminator=DiscriminatorConfig(expansion=4, max_features=8, blocks=2),
    )


def compact_config() -> FirstOrderConfig:
    """The other half of the options: compositing, edges, area, border, one shared Jacobian map, no occlusion."""
    plain = tiny_config()
    return replace(
        plain,
        name="tiny-compact",
        convention="edges",
        downsample="area",
        pool_first=True,
        padding="border",
        keypoints=replace(plain.keypoints, head_kernel=3, head_padding=1, single_jacobian_map=True),
        motion=replace(plain.motion, head_kernel=3),
        generator=replace(plain.generator, composite=True, occlusion=False, outer_kernel=3),
    )


def make_networks(config: FirstOrderConfig, *, seed: int = 0) -> dict[str, Any]:
    """Untrained networks in evaluation mode with lively statistics and Jacobians that are not all the identity."""
    import torch

    from stillmotion.methods.firstorder.weights import build

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = build(config)
        for network in networks.values():
            for name, tensor in network.state_dict().items():
                if name.endswith("running_mean"):
                    tensor.normal_(0, 0.1)
                elif name.endswith("running_var"):
                    tensor.uniform_(0.6, 1.4)
                elif name == "jacobian.weight":
                    tensor.normal_(0, 0.02)
                elif name in ("kp.weight", "final.weight"):
                    tensor.mul_(4)
    return {name: network.eval() for name, network in networks.items()}


@pytest.fixture(scope="session")
def tiny() -> FirstOrderConfig:
    return tiny_config()


@pytest.fixture(scope="session")
def compact() -> FirstOrderConfig:
    return compact_config()


@pytest.fixture(scope="session")
def networks_of() -> Callable[..., dict[str, Any]]:
    """`networks_of(config, seed=0)`: random networks, see `make_networks`."""
    pytest.importorskip("torch", reason="making networks needs torch")
    return make_networks


def _bundle(folder: Path, config: FirstOrderConfig) -> Path:
    pytest.importorskip("torch", reason="making weights needs torch")
    from stillmotion.methods.firstorder.weights import save_bundle

    return save_bundle(make_networks(config), config, folder / config.name, licence="none", data="random numbers")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of random weights for `tiny_config()`, tensors and stages; read only."""
    return _bundle(tmp_path_factory.mktemp("bundles"), tiny_config())


@pytest.fixture(scope="session")
def compact_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of random weights for `compact_config()`, tensors and stages; read only."""
    return _bundle(tmp_path_factory.mktemp("bundles"), compact_config())


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A picture and a clip with sound, see `tests.scene`; read only."""
    from tests.scene import make_scene

    return make_scene(tmp_path_factory.mktemp("scene"))
