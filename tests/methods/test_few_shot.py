"""Few-shot talking heads: sizes, projection score, landmark images, and where fine-tuning begins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion import methods  # noqa: E402
from stillmotion.core.errors import NoFaceError  # noqa: E402
from stillmotion.core.motion import Landmarks  # noqa: E402
from stillmotion.methods.fewshot.config import (  # noqa: E402
    FewShotConfig,
    LossWeights,
    PointsConfig,
    few_shot_256,
    few_shot_paper_256,
)
from stillmotion.methods.fewshot.drawing import draw_batch, draw_points  # noqa: E402
from stillmotion.methods.fewshot.losses import adapted, judged, settle  # noqa: E402
from stillmotion.methods.fewshot.weights import build, save_bundle  # noqa: E402
from stillmotion.nn.checkpoint import load_strictly  # noqa: E402
from stillmotion.nn.residual import SelfAttention, unlimited  # noqa: E402
from tests.contract.tiny import SIDE, few_shot, make_networks  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_as_published() -> None:
    with torch.device("meta"):
        networks = build(few_shot_256())
    assert parameters(networks["embedder"]) == 14_825_024
    assert parameters(networks["generator"]) == 37_909_443
    assert networks["generator"].decoder.styled == 13_056
    assert parameters(networks["discriminator"]) - networks["discriminator"].rows.numel() == 19_545_153


def test_the_paper_attends_at_32_and_64_pixels() -> None:
    with torch.device("meta"):
        networks = build(few_shot_paper_256())
    seen: list[tuple[str, tuple[int, ...]]] = []
    for name, network in networks.items():
        for part in network.modules():
            if isinstance(part, SelfAttention):
                part.register_forward_hook(lambda _, x, __, name=name: seen.append((name, tuple(x[0].shape[1:]))))
    picture = torch.zeros(1, 3, 256, 256, device="meta")
    networks["embedder"](picture, picture)
    networks["generator"](picture, torch.zeros(1, 512, device="meta"))
    networks["discriminator"](picture, picture, torch.zeros(1, dtype=torch.int64, device="meta"))
    small, large = (256, 32, 32), (256, 64, 64)
    assert seen == [("embedder", small), ("generator", small), ("generator", large), ("discriminator", small)]


def test_attention_is_a_weighted_sum_over_places_and_begins_as_nothing() -> None:
    layer = SelfAttention(16).eval()
    x = random(1, 16, 4, 6)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.gain.fill_(0.5)
    halved = [torch.nn.functional.max_pool2d(part(x), 2)[0].flatten(1).T for part in (layer.key, layer.value)]
    query = layer.query(x)[0]
    wanted = x.clone()
    for row in range(4):
        for column in range(6):
            shares = torch.softmax(halved[0] @ query[:, row, column], dim=0)
            back = layer.back((shares @ halved[1])[None, :, None, None])[0, :, 0, 0]
            wanted[0, :, row, column] += 0.5 * back
    torch.testing.assert_close(layer(x), wanted)


def random(*shape: int, seed: int = 0) -> Any:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_score_is_a_projection() -> None:
    judge = make_networks(few_shot(rows=3))["discriminator"]
    picture, drawing = random(2, 3, SIDE, SIDE), random(2, 3, SIDE, SIDE, seed=1)
    score, maps = judge(picture, drawing, torch.tensor([2, 0]))
    vector, _ = judge.trunk(torch.cat([drawing, picture], dim=1) * 2 - 1)
    wanted = (vector * (judge.rows[[2, 0]] + judge.linear.weight)).sum(1) + judge.linear.bias
    torch.testing.assert_close(score, wanted)
    assert len(maps) == 4


def test_real_maps_are_not_learned_from() -> None:
    judge = make_networks(few_shot())["discriminator"]
    target = random(1, 3, SIDE, SIDE).requires_grad_()
    prediction = random(1, 3, SIDE, SIDE, seed=1).requires_grad_()
    weights = LossWeights(generator_gan=0.0)
    losses = judged(judge, prediction, target, random(1, 3, SIDE, SIDE), torch.tensor([0]), weights=weights)
    losses["feature_matching"].backward()
    assert target.grad is None
    assert prediction.grad is not None


def test_no_layer_stretches_anything() -> None:
    """Spectral norm is on, and taking it off for export changes nothing."""
    embedder = make_networks(few_shot())["embedder"].train()
    picture = random(1, 3, SIDE, SIDE)
    for _ in range(50):
        embedder(picture, picture)
    embedder.eval()
    for block in embedder.trunk.blocks:
        for layer in (block.conv1, block.conv2):
            stretch = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
            assert stretch.item() == pytest.approx(1, abs=2e-2)
    before = embedder(picture, picture)
    torch.testing.assert_close(unlimited(embedder)(picture, picture), before)


def tuned(config: FewShotConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Meta-learned networks, and one person's that start from them."""
    meta = make_networks(config)
    own = replace(config, network=replace(config.network, is_personal=True, rows=1))
    personal = make_networks(own, seed=1)
    states = adapted({name: network.state_dict() for name, network in meta.items()}, personal)
    load_strictly(personal, states, where="the meta-learned run")
    return meta, personal


def test_fine_tuning_begins_where_meta_learning_ended() -> None:
    meta, personal = tuned(few_shot(rows=3))
    frames, drawings = random(4, 3, SIDE, SIDE), random(4, 3, SIDE, SIDE, seed=1)
    settle(personal, frames, drawings)
    embedding = meta["embedder"](frames, drawings).mean(0, keepdim=True)
    for drawing in drawings:
        theirs = meta["generator"](drawing[None], embedding)
        torch.testing.assert_close(personal["generator"](drawing[None]), theirs, atol=1e-5, rtol=0)
    with torch.no_grad():
        meta["discriminator"].rows[1] = embedding[0]
    ours, _ = personal["discriminator"](frames, drawings, torch.zeros(4, dtype=torch.int64))
    theirs, _ = meta["discriminator"](frames, drawings, torch.ones(4, dtype=torch.int64))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_person_trains_from_a_run_and_animates_without_an_embedder(tmp_path: Path) -> None:
    from stillmotion.train.loop import train
    from tests.train.conftest import clips as make_clips

    data = make_clips.__wrapped__(_Factory(tmp_path))
    options: dict[str, Any] = {"data": data, "device": "cpu", "export": False}
    train(few_shot(), output=tmp_path / "meta", max_steps=1, **options)
    config = replace(few_shot(is_personal=True), name="tiny-tuned")
    config = replace(config, training=replace(config.training, batch=1, weights=LossWeights(pixel=10.0, match=0.0)))
    start = tmp_path / "meta" / "checkpoint.pt"
    train(config, output=tmp_path / "mine", start=start, max_steps=1, **options)
    first, second = (torch.load(tmp_path / n / "checkpoint.pt", weights_only=True) for n in ("meta", "mine"))
    assert all(torch.equal(v, second["embedder"][k]) for k, v in first["embedder"].items() if "._" not in k)
    assert second["discriminator"]["rows"].shape[0] == 1
    assert second["generator"]["personal"].abs().sum() > 0
    networks = make_networks(config)
    load_strictly(networks, {n: second[n] for n in networks}, where="the run")
    method = methods.load(save_bundle(networks, config, tmp_path / "b"), threads=1)
    frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
    state = method.encode([frame])
    assert set(state) == {"source_value"}
    motions = method.read(np.stack([frame, frame // 2]))
    planes = method.render(state, motions).planes
    drawings = torch.from_numpy(draw_batch(np.stack([m.value for m in motions]), SIDE, convention="centers"))
    with torch.no_grad():
        wanted = networks["generator"](drawings)
    np.testing.assert_allclose(planes, wanted.numpy(), atol=1e-4)


class _Factory:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mktemp(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name


def test_a_first_order_run_lends_its_keypoints() -> None:
    from stillmotion.methods.fewshot.config import few_shot_64
    from stillmotion.methods.firstorder.config import shapes_64
    from stillmotion.methods.firstorder.weights import build as build_first_order

    networks = build(few_shot_64())
    lender = {name: network.state_dict() for name, network in build_first_order(shapes_64()).items()}
    states = adapted(lender, networks)
    load_strictly(networks, states, where="the first-order run")
    wanted = lender["kp_detector"]["kp.weight"]
    assert torch.equal(networks["reader"].state_dict()["kp.weight"], wanted)


def face() -> np.ndarray:
    """68 points of a plain face, `(68, 2)` in [-1, 1]."""
    t = np.linspace(0, 1, 68)
    return np.stack([0.7 * np.sin(9 * t), 1.6 * t - 0.8], axis=1)


def test_landmark_images_are_the_same_everywhere() -> None:
    drawn = draw_points(face(), 64, convention="edges")
    colours = {tuple(map(int, c)) for c in drawn.reshape(-1, 3)}
    assert {(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (255, 255, 0)} <= colours
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == "89b304c277898424"


def test_landmarks_drive(tmp_path: Path) -> None:
    """Read by whatever reader it is given; a frame without a face is an error, not a guess."""
    config = replace(few_shot(), convention="edges", points=PointsConfig(), name="tiny-landmarks")
    bundle = save_bundle(make_networks(config), config, tmp_path / "b", keep="tensors")
    method = methods.load(bundle, engine="torch", device="cpu")
    assert method.spec.motion == "landmarks"
    method.reader = lambda frame: (face() + 1) * SIDE / 2 if frame.any() else None
    frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
    state = method.encode([frame])
    np.testing.assert_allclose(method.source_motion(state).value, face(), atol=1e-5)
    assert method.render(state, [Landmarks(face() * 0.9)]).frames.shape == (1, SIDE, SIDE, 3)
    with pytest.raises(NoFaceError, match="needs a face, and none was found"):
        method.read(np.zeros((1, SIDE, SIDE, 3), np.uint8))
