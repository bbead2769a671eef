"""One test for each fact of CONVENTIONS.md, and one that holds page and tests together."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion.core.errors import ImageError
from stillmotion.core.flow import Flow, make_grid, to_normalised, to_pixels, warp
from stillmotion.core.frame import check_frame, to_frames, to_planes
from stillmotion.core.motion import Keypoints, movement_scale, transfer
from stillmotion.prepare.crop import Crop
from stillmotion.video.image import read_image
from stillmotion.video.read import open_video
from stillmotion.video.target import replacing
from stillmotion.video.write import VideoWriter
from tests.scene import NTSC, Scene

PAGE = Path(__file__).resolve().parents[2] / "CONVENTIONS.md"


def keypoints(rng: np.random.Generator, *, count: int = 5) -> Keypoints:
    jacobian = np.eye(2) + 0.2 * rng.normal(size=(count, 2, 2))
    return Keypoints(rng.uniform(-0.8, 0.8, size=(count, 2)), jacobian)


def test_page_and_tests_name_each_other() -> None:
    rows = re.findall(r"^\| (C-\d+) \|.*\| `(test_\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [number for number, _ in rows] == [f"C-{index:02d}" for index in range(1, len(rows) + 1)]
    named = [test for _, test in rows]
    here = [name for name in globals() if name.startswith("test_") and name != "test_page_and_tests_name_each_other"]
    assert sorted(named) == sorted(here)
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) < 60, "conventions are one page"


def test_a_frame_is_uint8_height_width_three() -> None:
    frame = np.zeros((4, 6, 3), np.uint8)
    assert check_frame(frame) is frame
    for wrong in (frame[..., :2], frame[0], frame.astype(np.float32), frame.astype(np.uint16)):
        with pytest.raises(ImageError, match="must be uint8"):
            check_frame(wrong)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    Image.new("RGB", (20, 16), "#ff8000").save(tmp_path / "orange.png")
    assert read_image(tmp_path / "orange.png")[3, 4].tolist() == [255, 128, 0]


def test_the_origin_is_top_left(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 16))
    image.putpixel((18, 1), (255, 255, 255))  # Pillow counts (x, y) from the top left
    image.save(tmp_path / "dot.png")
    assert np.argwhere(read_image(tmp_path / "dot.png").any(axis=2)).tolist() == [[1, 18]]


def test_planes_are_float32_in_zero_to_one() -> None:
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    frames[1, 2, 3] = (255, 0, 51)
    planes = to_planes(frames)
    assert planes.dtype == np.float32
    assert planes.shape == (2, 3, 4, 6)
    np.testing.assert_allclose(planes[1, :, 2, 3], [1.0, 0.0, 0.2], rtol=1e-6)


def test_planes_round_half_up() -> None:
    levels = np.array([-1.0, 0.0, 0.49, 0.51, 127.49, 127.51, 254.51, 300.0], np.float32) / 255
    planes = np.broadcast_to(levels, (1, 3, 1, 8))
    assert to_frames(planes)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 127, 128, 255, 255]
    assert to_frames(np.full((1, 3, 1, 1), 0.5, np.float32)).max() == 128  # 127.5, a half exactly
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.testing.assert_array_equal(to_frames(to_planes(every)), every)


def test_transparent_pixels_show_white(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_sizes_are_height_width_and_points_are_x_y() -> None:
    grid = make_grid((2, 5), "centers")
    assert grid.shape == (2, 5, 2)
    assert grid[0, 4].tolist() == [1.0, -1.0]  # x runs along the width, y is still at the top
    assert grid[1, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("convention", ["centers", "edges"])
def test_points_are_normalised_over_the_picture(convention) -> None:
    for size in ((10, 30), (300, 20)):
        middle = to_pixels(np.zeros(2), size, convention)
        assert middle.tolist() == [(size[1] - 1) / 2, (size[0] - 1) / 2]
        corners = np.array([[-1.0, -1.0], [1.0, 1.0], [0.3, -0.7]])
        back = to_normalised(to_pixels(corners, size, convention), size, convention)
        np.testing.assert_allclose(back, corners, atol=1e-12)


def test_centers_are_the_middles_of_the_corner_pixels() -> None:
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    assert to_pixels(corners, (4, 8), "centers").tolist() == [[0.0, 0.0], [7.0, 3.0]]


def test_edges_are_the_rims_of_the_picture() -> None:
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    assert to_pixels(corners, (4, 8), "edges").tolist() == [[-0.5, -0.5], [7.5, 3.5]]


def test_the_grid_convention_travels_with_weights_and_flow(tiny_bundle: Path, compact_bundle: Path) -> None:
    from stillmotion.methods import load

    for bundle, convention in ((tiny_bundle, "centers"), (compact_bundle, "edges")):
        method = load(bundle)
        source = np.full((32, 32, 3), 90, np.uint8)
        state = method.encode([source])
        assert method.spec.convention == convention
        assert method.render(state, method.read(source[None])).flows[0].convention == convention


@pytest.mark.parametrize("convention", ["centers", "edges"])
def test_numpy_and_torch_agree(rng: np.random.Generator, convention) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch")
    from stillmotion.nn import geometry

    like = torch.zeros(1)
    grid = geometry.make_grid(5, 7, convention=convention, like=like).numpy()
    np.testing.assert_allclose(grid, make_grid((5, 7), convention), atol=1e-6)
    image = rng.random((6, 9, 3), dtype=np.float32)
    places = rng.uniform(-1.2, 1.2, size=(5, 7, 2)).astype(np.float32)
    ours = warp(image, Flow(places, convention))
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    theirs = geometry.warp(planes, torch.from_numpy(places)[None], convention=convention)[0].permute(1, 2, 0)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_crops_are_x_y_width_height_in_pixels() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    frame[10:30, 40:72] = 200
    cut = Crop(40, 10, 32, 20).apply(frame, (20, 32))
    assert cut.shape == (20, 32, 3)
    assert (cut == 200).all()


def test_flow_is_backward() -> None:
    image = np.zeros((5, 9), np.float32)
    image[2, 6] = 1.0
    grid = make_grid((5, 9), "centers")
    grid[..., 0] += 2 * 2.0 / 8  # read two pixels further right ...
    moved = warp(image, Flow(grid, "centers"))
    assert np.argwhere(moved > 0.99).tolist() == [[2, 4]]  # ... and the dot moves two to the left


def test_outside_the_picture_is_black() -> None:
    grid = make_grid((4, 4), "edges") + np.float32(3.0)
    assert not warp(np.ones((4, 4), np.float32), Flow(grid, "edges")).any()


def test_occlusion_one_keeps_the_source(rng: np.random.Generator, tiny, networks_of) -> None:
    torch = pytest.importorskip("torch", reason="looks inside the network")
    generator = networks_of(tiny)["generator"]
    source = torch.from_numpy(rng.random((2, 3, 32, 32), dtype=np.float32))
    features, _ = generator.encode(source)
    still = torch.from_numpy(make_grid((16, 16), "centers"))[None].expand(2, -1, -1, -1)
    with torch.no_grad():
        kept, gone = (
            generator.inpaint(source, features, {"flow": still, "occlusion": torch.full((2, 1, 16, 16), level)})
            for level in (1.0, 0.0)
        )
    a, b = kept["prediction"]
    assert (a - b).abs().max() > 1e-4
    a, b = gone["prediction"]
    assert torch.equal(a, b), "with occlusion 0 nothing of the source may reach the picture"


def test_the_compositing_mask_one_keeps_the_source(rng: np.random.Generator, compact, networks_of) -> None:
    torch = pytest.importorskip("torch", reason="looks inside the network")
    generator = networks_of(compact)["generator"]
    source = torch.from_numpy(rng.random((1, 3, 32, 32), dtype=np.float32))
    still = torch.from_numpy(make_grid((16, 16), "edges"))[None]
    with torch.no_grad():
        features, _ = generator.encode(source)
        generator.final.weight[3].zero_()
        generator.final.bias[3] = 100.0
        kept = generator.inpaint(source, features, {"flow": still})["prediction"]
        generator.final.bias[3] = -100.0
        made = generator.inpaint(source, features, {"flow": still})
    np.testing.assert_allclose(kept.numpy(), source.numpy(), atol=1e-5)
    np.testing.assert_allclose(made["prediction"].numpy(), made["generated"].numpy(), atol=1e-6)


def test_absolute_is_the_drivers_pose(rng: np.random.Generator) -> None:
    source, driving, reference = (keypoints(rng) for _ in range(3))
    assert transfer(source, driving, reference, mode="absolute") is driving


def test_relative_is_the_change_since_the_reference(rng: np.random.Generator) -> None:
    source, driving, reference = (keypoints(rng) for _ in range(3))
    got = transfer(source, driving, reference, mode="relative", scale=0.5)
    np.testing.assert_allclose(got.value, (driving.value - reference.value) * 0.5 + source.value, atol=1e-6)
    expected = driving.jacobian @ np.linalg.inv(reference.jacobian) @ source.jacobian
    np.testing.assert_allclose(got.jacobian, expected, rtol=1e-4, atol=1e-5)


def test_the_reference_leaves_the_source_at_rest(rng: np.random.Generator) -> None:
    source, reference = keypoints(rng), keypoints(rng)
    got = transfer(source, reference, reference, mode="relative")
    np.testing.assert_array_equal(got.value, source.value)
    np.testing.assert_array_equal(got.jacobian, source.jacobian)


def test_scale_is_the_root_of_the_hull_ratio() -> None:
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0.1, 0.0]])
    assert movement_scale(Keypoints(square), Keypoints(square / 2)) == pytest.approx(2.0)


def test_jacobians_act_on_column_vectors(rng: np.random.Generator, tiny, networks_of) -> None:
    torch = pytest.importorskip("torch", reason="looks inside the network")
    dense = networks_of(tiny)["generator"].dense_motion_network
    source, driving = keypoints(rng, count=4), keypoints(rng, count=4)
    arrays = (source.value, driving.value, source.jacobian, driving.jacobian)
    sparse = dense.sparse_motions(*(torch.from_numpy(a.copy())[None] for a in arrays), height=4, width=6)[0]
    grid = make_grid((4, 6), "centers")
    for k in range(4):
        local = source.jacobian[k].astype(np.float64) @ np.linalg.inv(driving.jacobian[k])
        z = grid[3, 1] - driving.value[k]
        np.testing.assert_allclose(sparse[k + 1, 3, 1].numpy(), local @ z + source.value[k], atol=1e-4)


def test_time_is_a_fraction_from_zero(scene: Scene) -> None:
    with open_video(scene.clip) as video:
        times = [time for time, _ in video.timed()]
    assert times == [index / NTSC for index in range(6)]
    assert all(isinstance(time, Fraction) for time in times)


def test_frame_rates_are_exact(tmp_path: Path, scene: Scene) -> None:
    for suffix in (".mp4", ".mkv", ".mov", ".webm"):
        path = tmp_path / f"clip{suffix}"
        with VideoWriter(path, fps=NTSC, size=(48, 64)) as writer:
            for frame in scene.frames:
                writer.write(frame)
        with open_video(path) as video:
            assert video.fps == NTSC


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"

    def fail() -> None:
        with replacing(target) as partial:
            partial.write_text("half")
            assert not target.exists()
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        fail()
    assert not list(tmp_path.iterdir())
    with replacing(target) as partial:
        partial.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
