"""Geometry of the first-order networks: requirements P-03 to P-13."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from stillmotion.core.flow import Convention, Flow  # noqa: E402
from stillmotion.core.flow import make_grid as core_grid  # noqa: E402
from stillmotion.core.flow import warp as core_warp  # noqa: E402
from stillmotion.methods.firstorder.config import FirstOrderConfig, vox_256  # noqa: E402
from stillmotion.methods.firstorder.weights import build  # noqa: E402
from stillmotion.nn.geometry import gaussian_heatmaps, inverse_2x2, make_grid, resize_grid, warp  # noqa: E402

CONVENTIONS: tuple[Convention, ...] = ("centers", "edges")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def networks(tiny: FirstOrderConfig, networks_of: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return networks_of(tiny)


@pytest.fixture
def motion(networks: dict[str, Any]) -> Any:
    return networks["generator"].dense_motion_network


def keypoints(count: int = 4, n: int = 1) -> tuple[Tensor, Tensor]:
    value = torch.rand(n, count, 2) * 1.6 - 0.8
    return value, torch.eye(2) + 0.2 * torch.randn(n, count, 2, 2)


# P-03: backward, bilinear, differentiable


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_warping_a_ramp_by_a_known_flow_gives_the_analytic_answer(convention: Convention) -> None:
    grid = make_grid(16, 20, convention=convention, like=torch.zeros(1))
    ramp = (0.3 * grid[..., 0] - 0.2 * grid[..., 1])[None, None]
    moved = grid * 0.8 + torch.tensor([0.05, -0.03])
    expected = 0.3 * moved[..., 0] - 0.2 * moved[..., 1]
    torch.testing.assert_close(warp(ramp, moved[None], convention=convention)[0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_warping_is_differentiable_in_image_and_grid(convention: Convention, padding: str) -> None:
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    grid = (torch.rand(1, 4, 4, 2, dtype=torch.float64) * 1.2 - 0.6).requires_grad_()

    def both(a: Tensor, b: Tensor) -> Tensor:
        return warp(a, b, convention=convention, padding=padding)

    assert torch.autograd.gradcheck(both, (image, grid))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_torch_and_numpy_agree_on_grids_and_warps(convention: Convention, rng: np.random.Generator) -> None:
    np.testing.assert_allclose(
        make_grid(5, 7, convention=convention, like=torch.zeros(1)).numpy(), core_grid((5, 7), convention), atol=1e-6
    )
    image = rng.uniform(size=(9, 11, 3)).astype(np.float32)
    grid = rng.uniform(-1.1, 1.1, (6, 8, 2)).astype(np.float32)
    ours = warp(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(grid)[None], convention=convention)
    np.testing.assert_allclose(ours[0].permute(1, 2, 0).numpy(), core_warp(image, Flow(grid, convention)), atol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_identity_flow_stays_the_identity_when_resized(convention: Convention) -> None:
    small = make_grid(8, 8, convention=convention, like=torch.zeros(1))[None]
    full = resize_grid(small, 32, 32, convention=convention)
    torch.testing.assert_close(full[0], make_grid(32, 32, convention=convention, like=small))


# P-04: the reference cancels


def test_source_keypoints_do_not_depend_on_the_driving_picture(networks: dict[str, Any]) -> None:
    source, one, two = torch.rand(3, 1, 3, 32, 32)
    detector = networks["kp_detector"]
    with torch.no_grad():
        first = detector(torch.cat([source, one]))
        second = detector(torch.cat([source, two]))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a[0], b[0])


def test_a_change_of_reference_frame_cancels(motion: Any) -> None:
    (source, source_local), (driving, driving_local) = keypoints(), keypoints()
    change = torch.tensor([[1.3, 0.4], [-0.2, 0.8]])
    size = {"height": 12, "width": 12}
    plain = motion.sparse_motions(source, driving, source_local, driving_local, **size)
    moved = motion.sparse_motions(source, driving, source_local @ change, driving_local @ change, **size)
    torch.testing.assert_close(plain, moved, atol=1e-5, rtol=0)


# P-05: heatmap expectation


def test_a_delta_in_the_heatmap_gives_exactly_that_coordinate(networks: dict[str, Any]) -> None:
    detector = networks["kp_detector"]
    size = detector.kp(torch.zeros(1, detector.predictor.out_features, 16, 16)).shape[2]
    logits = torch.zeros(1, 4, size, size)
    places = [(0, 0), (2, 5), (size - 1, 3), (4, size - 1)]
    for k, (row, column) in enumerate(places):
        logits[0, k, row, column] = 1000.0
    detector.kp.forward = lambda features: logits
    value, _ = detector(torch.rand(1, 3, 32, 32))
    grid = make_grid(size, size, convention="centers", like=value)
    for k, (row, column) in enumerate(places):
        assert torch.equal(value[0, k], grid[row, column])


def test_keypoints_stay_in_the_picture(networks: dict[str, Any]) -> None:
    value, _ = networks["kp_detector"](torch.rand(5, 3, 32, 32))
    assert value.abs().max() <= 1
    heat = F.softmax(torch.randn(2, 4, 100) / 0.1, dim=2)
    torch.testing.assert_close(heat.sum(2), torch.ones(2, 4), atol=1e-5, rtol=0)


# P-06: Jacobians


@pytest.mark.parametrize("single", [False, True])
def test_an_untrained_head_gives_the_identity(tiny: FirstOrderConfig, single: bool) -> None:
    config = replace(tiny, keypoints=replace(tiny.keypoints, single_jacobian_map=single))
    detector = build(config)["kp_detector"].eval()
    _, local = detector(torch.rand(3, 3, 32, 32))
    assert local.shape == (3, 4, 2, 2)
    torch.testing.assert_close(local, torch.eye(2).expand(3, 4, 2, 2))


def test_zero_order_has_no_jacobian(tiny: FirstOrderConfig) -> None:
    detector = build(replace(tiny, keypoints=replace(tiny.keypoints, jacobian=False)))["kp_detector"]
    assert detector(torch.rand(2, 3, 32, 32))[1] is None


# P-07: Taylor


def test_a_global_affine_warp_is_recovered_everywhere(motion: Any) -> None:
    matrix, shift = torch.tensor([[1.1, 0.2], [-0.1, 0.9]]), torch.tensor([0.05, -0.1])
    driving, driving_local = keypoints()
    source = driving @ matrix.T + shift
    source_local = matrix @ driving_local
    found = motion.sparse_motions(source, driving, source_local, driving_local, height=16, width=16)
    grid = make_grid(16, 16, convention="centers", like=source)
    expected = grid @ matrix.T + shift
    torch.testing.assert_close(found[0, 1:], expected.expand(4, 16, 16, 2), atol=1e-5, rtol=0)


# P-08: singular Jacobians


@pytest.mark.parametrize("local", [torch.zeros(2, 2), torch.ones(2, 2), torch.tensor([[1.0, 2.0], [2.0, 4.0]])])
def test_a_singular_driving_jacobian_stays_finite(networks: dict[str, Any], local: Tensor) -> None:
    value, source_local = keypoints()
    assert torch.isfinite(inverse_2x2(local)).all()
    with torch.no_grad():
        out = networks["generator"](torch.rand(1, 3, 32, 32), value, value, source_local, local.expand(1, 4, 2, 2))
    assert all(torch.isfinite(array).all() for array in out.values())


def test_the_inverse_is_the_inverse() -> None:
    matrices = torch.eye(2) + 0.3 * torch.randn(50, 2, 2)
    torch.testing.assert_close(inverse_2x2(matrices) @ matrices, torch.eye(2).expand(50, 2, 2), atol=1e-4, rtol=0)


# P-09: K + 1 warped sources


def test_the_source_is_warped_k_times_plus_itself(motion: Any) -> None:
    small = torch.rand(2, 3, 16, 16)
    (source, source_local), (driving, driving_local) = keypoints(n=2), keypoints(n=2)
    with torch.no_grad():
        out = motion(small, source, driving, source_local, driving_local)
        sparse = motion.sparse_motions(source, driving, source_local, driving_local, height=16, width=16)
    assert out["warped"].shape == (2, 5, 3, 16, 16)
    torch.testing.assert_close(out["warped"][:, 0], small, atol=1e-5, rtol=0)
    for k in range(1, 5):
        alone = F.grid_sample(small, sparse[:, k], align_corners=True)
        torch.testing.assert_close(out["warped"][:, k], alone)


# P-10: heatmaps


def test_heatmap_difference(motion: Any) -> None:
    value, _ = keypoints()
    other, _ = keypoints()
    assert torch.equal(motion.heatmaps(value, value, 16, 16), torch.zeros(1, 5, 1, 16, 16))
    forth, back = motion.heatmaps(value, other, 16, 16), motion.heatmaps(other, value, 16, 16)
    assert torch.equal(forth, -back)
    assert torch.equal(forth[:, 0], torch.zeros(1, 1, 16, 16))
    grid = make_grid(17, 17, convention="centers", like=value)
    far = motion.heatmaps(grid[2, 3].expand(1, 4, 2), grid[12, 14].expand(1, 4, 2), 17, 17)[0, 1, 0]
    torch.testing.assert_close(far[12, 14], torch.tensor(1.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(far[2, 3], torch.tensor(-1.0), atol=1e-5, rtol=0)


def test_a_gaussian_has_the_stated_variance() -> None:
    heat = gaussian_heatmaps(torch.zeros(1, 1, 2), 101, 101, variance=0.01, convention="centers")[0, 0]
    torch.testing.assert_close(heat[50, 55], torch.exp(torch.tensor(-0.5 * 0.1**2 / 0.01)), atol=1e-5, rtol=0)


# P-11: masks


def test_masks_are_a_partition_and_the_background_is_the_identity(motion: Any) -> None:
    small = torch.rand(1, 3, 16, 16)
    (source, source_local), (driving, driving_local) = keypoints(), keypoints()
    with torch.no_grad():
        out = motion(small, source, driving, source_local, driving_local)
        assert out["mask"].min() >= 0
        torch.testing.assert_close(out["mask"].sum(1), torch.ones(1, 16, 16), atol=1e-5, rtol=0)
        motion.mask.weight.zero_()
        motion.mask.bias.copy_(torch.tensor([200.0, 0, 0, 0, 0]))
        still = motion(small, source, driving, source_local, driving_local)["flow"]
    torch.testing.assert_close(still[0], make_grid(16, 16, convention="centers", like=still), atol=1e-6, rtol=0)


# P-12: occlusion


def test_occlusion_is_one_channel_in_range_on_the_same_trunk(motion: Any) -> None:
    (source, source_local), (driving, driving_local) = keypoints(), keypoints()
    out = motion(torch.rand(1, 3, 16, 16), source, driving, source_local, driving_local)
    assert out["occlusion"].shape == (1, 1, 16, 16)
    assert 0 <= out["occlusion"].min() <= out["occlusion"].max() <= 1
    trunk = motion.hourglass.encoder.down_blocks[0].conv.weight
    by_occlusion = torch.autograd.grad(out["occlusion"].sum(), trunk, retain_graph=True)[0]
    by_flow = torch.autograd.grad((out["flow"] ** 2).sum(), trunk)[0]
    assert by_occlusion.abs().max() > 0
    assert by_flow.abs().max() > 0


# P-13: features and their masking


def test_features_are_a_quarter_of_the_picture_and_256_planes_in_the_published_network() -> None:
    with torch.device("meta"):
        generator = build(vox_256())["generator"].eval()
        features, small = generator.encode(torch.zeros(1, 3, 256, 256))
    assert features.shape == (1, 256, 64, 64)
    assert small.shape == (1, 3, 64, 64)


def test_what_is_occluded_is_not_read(networks: dict[str, Any]) -> None:
    generator = networks["generator"]
    features = torch.rand(1, 16, 16, 16, requires_grad=True)
    flow = make_grid(16, 16, convention="centers", like=features)[None]
    source = torch.rand(1, 3, 32, 32)
    hidden = generator.inpaint(source, features, {"flow": flow, "occlusion": torch.zeros(1, 1, 16, 16)})
    assert torch.autograd.grad(hidden["prediction"].sum(), features)[0].abs().max() == 0
    half = generator.inpaint(source, features, {"flow": flow, "occlusion": torch.full((1, 1, 16, 16), 0.5)})
    by_hand = generator.inpaint(source, features * 0.5, {"flow": flow})
    torch.testing.assert_close(half["prediction"], by_hand["prediction"], atol=1e-5, rtol=0)
    assert torch.autograd.grad(half["prediction"].sum(), features)[0].abs().max() > 0


# Compositing, ours


def test_compositing_with_the_identity_flow_and_full_keep_is_the_source(
    compact: FirstOrderConfig, networks_of: Callable[..., dict[str, Any]]
) -> None:
    generator = networks_of(compact)["generator"]
    source = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        generator.final.bias[3] = 200.0
        features, _ = generator.encode(source)
        flow = make_grid(16, 16, convention="edges", like=source)[None]
        out = generator.inpaint(source, features, {"flow": flow})
    torch.testing.assert_close(out["prediction"], source, atol=1e-5, rtol=0)
    torch.testing.assert_close(out["deformed"], source, atol=1e-5, rtol=0)
