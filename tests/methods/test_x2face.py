"""X2Face's second stage: identity by a feature network from a file, across clips."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion.core.errors import ConfigError, WeightsError  # noqa: E402
from stillmotion.core.motion import Latent  # noqa: E402
from stillmotion.methods.x2face.config import LossWeights, x2face_256, x2face_identity_256  # noqa: E402
from stillmotion.methods.x2face.losses import objective  # noqa: E402
from stillmotion.methods.x2face.weights import build, published_pose, save_bundle  # noqa: E402
from stillmotion.nn.objective import Sample  # noqa: E402
from stillmotion.video.read import open_video  # noqa: E402
from tests.contract.tiny import SIDE, make_networks, x2face  # noqa: E402
from tests.scene import Scene  # noqa: E402


def features(image: Any) -> list[Any]:
    """Three levels: the picture at three sizes."""
    return [image, torch.nn.functional.avg_pool2d(image, 2), torch.nn.functional.avg_pool2d(image, 4)]


def sample(clips: list[int]) -> Sample:
    random = torch.Generator().manual_seed(0)
    frames = [torch.rand(2, 3, SIDE, SIDE, generator=random) for _ in range(3)]
    return Sample(*frames, clips=torch.tensor(clips), random=random)


def test_the_identity_stage_compares_with_the_source_across_clips() -> None:
    config = x2face()
    weights = LossWeights(pixel=1.0, content=0.1, identity=0.1)
    config = replace(config, training=replace(config.training, weights=weights, sources=2))
    networks = build(config)
    (turn,) = objective(networks, config, features).turns
    losses, _ = turn.module.eval()(sample([0, 1]), {})
    assert set(losses) == {"pixel", "content", "identity"}
    losses["identity"].backward()
    assert all(any(p.grad is not None for p in network.parameters()) for network in networks.values())
    alone, _ = turn.module(sample([3, 3]), {})  # no other clip in the batch: its own frame drives
    assert alone["identity"] != losses["identity"]


def test_it_cannot_do_without_the_feature_network() -> None:
    config = x2face_identity_256()
    with pytest.raises(ConfigError, match="content and identity terms need a feature network") as caught:
        objective({}, config, None)
    assert "--features" in caught.value.hint


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="8 halvings do not shrink 128 pixels to one") as caught:
        build(replace(x2face_256(), size=128))
    assert caught.value.hint == "give 7 widths"


def test_what_the_page_says_about_pose_and_sound_runs(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "methods" / "x2face.md"
    first, second = re.findall(r"^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    config = x2face()
    (tmp_path / "runs").mkdir()
    save_bundle(make_networks(config), config, tmp_path / "runs" / "x2face" / "bundle", keep="tensors")
    rng = np.random.default_rng(0)
    with open_video(scene.clip) as video:
        count = sum(1 for _ in video)
    np.save("poses.npy", rng.normal(size=(count, 3)))
    first = first.replace("talking.mp4", str(scene.clip)).replace("me.jpg", str(scene.picture))
    names: dict[str, Any] = {"talked": rng.normal(size=(count, 4)), "features": rng.normal(size=(5, 4))}
    exec(compile(first, "page", "exec"), names)
    exec(compile(second, "page", "exec"), names)
    for name, frames in (("turning.mp4", 25), ("speaking.mp4", 5)):
        with open_video(tmp_path / name) as video:
            assert sum(1 for _ in video) == frames


def test_released_pose_maps_do_what_their_layers_do(tmp_path: Path) -> None:
    from torch import nn

    torch.manual_seed(0)
    there, back = nn.Linear(6, 3), nn.Sequential(nn.Linear(3, 6, bias=False), nn.BatchNorm1d(6)).eval()
    back[1].running_mean.normal_()
    back[1].running_var.uniform_(0.5, 2)
    nn.init.normal_(back[1].weight)
    read = {f"posefrombottle.{name}": tensor for name, tensor in there.state_dict().items()}
    torch.save({"state_dict": read}, tmp_path / "posereg.pth")
    torch.save({"state_dict": back.state_dict()}, tmp_path / "posetobottle.pth")
    edit = published_pose(tmp_path / "posereg.pth", tmp_path / "posetobottle.pth")
    code, pose = torch.randn(1, 6), torch.randn(1, 3)
    wanted = code - back(there(code)) + back(pose)
    np.testing.assert_allclose(edit(Latent(code[0].numpy()), pose[0].numpy()).code, wanted[0].detach(), atol=1e-5)
    with pytest.raises(WeightsError, match=r"posereg.pth has no 0.weight, .* \(it has posefrombottle.weight"):
        published_pose(tmp_path / "posereg.pth", tmp_path / "posereg.pth")
