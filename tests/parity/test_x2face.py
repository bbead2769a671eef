"""X2Face against the released implementation's outputs and parameter counts, and its algebra."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion.core.motion import Latent  # noqa: E402
from stillmotion.methods.x2face.config import x2face_256  # noqa: E402
from stillmotion.methods.x2face.edits import AudioEdit, LinearMap, PoseEdit  # noqa: E402
from stillmotion.methods.x2face.losses import elsewhere  # noqa: E402
from stillmotion.methods.x2face.network import fuse  # noqa: E402
from stillmotion.methods.x2face.weights import build, translate  # noqa: E402
from stillmotion.nn.checkpoint import load_strictly  # noqa: E402

from .golden import arrays, open_fill, parameters, picture  # noqa: E402


def test_parameter_counts_are_as_published() -> None:
    with torch.device("meta"):
        networks = build(x2face_256())
    assert parameters(networks["embedding"]) == 39_157_760
    assert parameters(networks["driving"]) == 25_614_080
    assert sum(map(parameters, networks.values())) == 64_771_840


@pytest.fixture(scope="module")
def networks(shared: Path) -> dict[str, Any]:
    fill = open_fill(shared)
    shapes = json.loads((shared / "golden" / "x2face.keys.json").read_text())
    networks = build(x2face_256())
    states = translate({k: torch.from_numpy(v) for k, v in fill.fill(shapes, "x2face").items()})
    load_strictly(networks, states, where="the golden state dict")
    return {name: network.eval().requires_grad_(False) for name, network in networks.items()}


def test_raw_outputs_and_frames(shared: Path, networks: dict[str, Any]) -> None:
    fill, golden = open_fill(shared), arrays(shared, "x2face")
    embedding, driving = networks["embedding"], networks["driving"]
    sources, frame = [picture(fill, seed, 256) for seed in (1, 2)], picture(fill, 3, 256)
    raw = embedding.net.expand(embedding.net.squeeze(sources[0]))[0]
    np.testing.assert_allclose(raw.numpy(), golden["embedding_output"], atol=1e-5, rtol=0)
    raw = torch.tanh(driving.net.expand(driving.net.squeeze(frame)))[0]
    np.testing.assert_allclose(raw.numpy(), golden["driving_output"], atol=1e-5, rtol=0)
    seen = [embedding(source) for source in sources]
    faces, weights = (torch.stack([one[i] for one in seen]) for i in (0, 1))
    for count, name in ((1, "one_source"), (2, "two_sources")):
        out = driving(fuse(faces[:count], weights[:count]), frame)[0].permute(1, 2, 0)
        np.testing.assert_allclose(out.numpy(), golden[name], atol=1e-4, rtol=0)


def test_offsets_are_bounded(networks: dict[str, Any]) -> None:
    """By 1 in the source and by tanh(1) in the embedded face."""
    from stillmotion.nn.geometry import make_grid

    wild = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 50
    grid = make_grid(256, 256, convention="centers", like=wild)
    _, _, place = networks["embedding"](wild)
    assert (place.permute(0, 2, 3, 1) - grid).abs().max() <= 1
    code = networks["driving"].squeeze(wild)
    assert code.shape == (1, 128)
    assert (networks["driving"].place(code) - grid).abs().max() <= np.tanh(1) + 1e-6


def test_only_pixels_of_the_source_come_out(shared: Path, networks: dict[str, Any]) -> None:
    source = picture(open_fill(shared), 1, 256) * 0.5 + 0.25
    face, _, _ = networks["embedding"](source)
    out = networks["driving"](face, source)
    assert out.min() >= 0  # black only from beyond the border
    assert out.max() <= source.max() + 1e-6


def test_another_clip_is_found_where_there_is_one() -> None:
    assert elsewhere(torch.tensor([0, 0, 1])).tolist() == [2, 2, 0]
    assert elsewhere(torch.tensor([5, 5])).tolist() == [0, 1]


@pytest.fixture
def pose_edit(rng: np.random.Generator) -> PoseEdit:
    """Fitted on vectors whose first three numbers are the pose."""
    codes = rng.normal(size=(200, 8))
    return PoseEdit.fit(codes, codes[:, :3])


def test_a_pose_is_read_and_set(pose_edit: PoseEdit, rng: np.random.Generator) -> None:
    motion = Latent(rng.normal(size=8))
    np.testing.assert_allclose(pose_edit.read(motion.code), motion.code[:3], atol=1e-2)
    np.testing.assert_allclose(pose_edit(motion, pose_edit.read(motion.code)).code, motion.code, atol=1e-6)
    turned = pose_edit(motion, np.array([0.5, 0.0, -0.5]))
    np.testing.assert_allclose(turned.code[:3], [0.5, 0.0, -0.5], atol=5e-2)
    np.testing.assert_allclose(turned.code[3:], motion.code[3:], atol=0.6)


def test_the_same_sound_leaves_the_source_alone(pose_edit: PoseEdit, rng: np.random.Generator) -> None:
    source, heard = Latent(rng.normal(size=8)), rng.normal(size=5)
    hear = LinearMap.fit(rng.normal(size=(50, 5)), rng.normal(size=(50, 8)))
    for edit in (AudioEdit(hear), AudioEdit(hear, pose_edit)):
        np.testing.assert_allclose(edit(source, heard, heard).code, source.code, atol=1e-6)
        assert np.abs(edit(source, heard, heard + 1).code - source.code).max() > 1e-2
