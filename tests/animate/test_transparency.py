"""Transparency in, transparency out: alpha follows the flow, and nothing white comes along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import stillmotion
from stillmotion import ConfigError, MotionError, OutputError
from stillmotion.core.flow import Flow, make_grid
from stillmotion.core.method import MethodSpec, Rendering
from stillmotion.prepare.crop import Crop
from stillmotion.session.background import parse_background
from stillmotion.session.cutout import Cutout, spread_colours
from tests.scene import Scene

SIDE = 32
RED = (200, 40, 30)


@pytest.fixture(scope="module")
def method(tiny_bundle: Path) -> stillmotion.Method:
    return stillmotion.load(tiny_bundle)


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory, method: stillmotion.Method, scene: Scene) -> Path:
    path = tmp_path_factory.mktemp("motion") / "m.safetensors"
    stillmotion.read_motion(scene.clip, path, method=method)
    return path


def sprite(size: tuple[int, int] = (45, 51)) -> Image.Image:
    """A red disc with a soft edge on nothing, with black stored under the nothing."""
    y, x = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(x - size[1] // 2, y - size[0] // 2)
    alpha = np.clip(128 + 60 * (min(size) * 0.3 - distance), 0, 255).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, RED, 0).astype(np.uint8)
    return Image.fromarray(np.dstack([colour, alpha]))


def split(picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    both = np.asarray(picture)
    return both[..., :3].copy(), both[..., 3].copy()


def spec_of(side: int = SIDE, convention: Any = "edges") -> MethodSpec:
    modes: Any = ("absolute",)
    return MethodSpec("test", "test", (side, side), "keypoints", modes, 1, convention)


def moved(right: float, *, convention: Any = "edges", side: int = SIDE) -> Rendering:
    """What a method returns that moves everything to the right by some pixels of the frame."""
    grid = make_grid((side, side), convention)
    grid[..., 0] -= 2 * right / (side if convention == "edges" else SIDE - 1)
    return Rendering(np.zeros((1, 3, SIDE, SIDE), np.float32), (Flow(grid, convention),))


def frames(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def test_colours_spread_from_the_edges() -> None:
    colour, alpha = split(sprite())
    spread = spread_colours(colour, alpha)
    assert np.abs(spread.astype(int) - RED).max() <= 2
    np.testing.assert_array_equal(spread[alpha >= 8], colour[alpha >= 8])
    assert (spread_colours(colour, np.zeros_like(alpha)) == 255).all()


def test_large_pictures_are_spread_in_a_smaller_copy() -> None:
    colour, alpha = split(sprite((700, 900)))
    spread = spread_colours(colour, alpha)
    assert np.abs(spread.astype(int) - RED).max() <= 4
    np.testing.assert_array_equal(spread[alpha >= 8], colour[alpha >= 8])


def test_the_network_sees_a_rim_of_the_figure_and_white_beyond() -> None:
    colour, alpha = split(sprite((256, 256)))
    cutout = Cutout(colour, alpha, crop=Crop(0, 0, 256, 256), spec=spec_of(256))
    row, visible = cutout.frame[128], alpha[128] > 0
    edge = int(np.flatnonzero(visible)[0])
    assert np.abs(row[edge - 1 : edge + 20].astype(int) - RED).max() <= 8
    assert (row[: edge - 16] == 255).all()


@pytest.mark.parametrize("convention", ["edges", "centers"])
def test_what_stays_keeps_its_alpha_to_the_bit(convention: Any) -> None:
    colour, alpha = split(sprite((SIDE, SIDE)))
    cutout = Cutout(colour, alpha, crop=Crop(0, 0, SIDE, SIDE), spec=spec_of(convention=convention))
    quarter = Flow(make_grid((8, 8), convention), convention)
    np.testing.assert_array_equal(cutout.follow(Rendering(np.zeros((1, 3, SIDE, SIDE)), (quarter,))), alpha)


@pytest.mark.parametrize("convention", ["edges", "centers"])
def test_alpha_moves_as_the_pixels_do(convention: Any) -> None:
    colour, alpha = split(sprite((SIDE, SIDE)))
    cutout = Cutout(colour, alpha, crop=Crop(0, 0, SIDE, SIDE), spec=spec_of(convention=convention))
    got = cutout.follow(moved(3, convention=convention))
    assert np.abs(got[:, 3:].astype(int) - alpha[:, :-3]).max() <= 1
    assert (got[:, :3] == 0).all()


def test_alpha_from_beside_the_crop_comes_in_and_outside_the_picture_is_nothing() -> None:
    opaque = np.full((SIDE, 60), 255, np.uint8)
    colour = np.full((SIDE, 60, 3), RED, np.uint8)
    cutout = Cutout(colour, opaque, crop=Crop(14, 0, SIDE, SIDE), spec=spec_of())
    assert (cutout.follow(moved(10)) == 255).all()
    assert (cutout.follow(moved(20))[:, :6] == 0).all()
    assert (cutout.follow(moved(20))[:, 6:] == 255).all()


def test_alpha_of_a_larger_crop_is_scaled_with_it() -> None:
    colour, alpha = split(sprite((90, 110)))
    crop = Crop(-5, 2, 96, 96)
    cutout = Cutout(colour, alpha, crop=crop, spec=spec_of())
    wanted = crop.apply(np.repeat(alpha[..., None], 3, 2), (SIDE, SIDE))[..., 0]
    difference = np.abs(cutout.follow(moved(0)).astype(int) - wanted)
    assert difference.max() <= 24
    assert difference.mean() <= 1


def test_a_sprite_stays_transparent(tmp_path: Path, method, motion: Path) -> None:
    report = stillmotion.animate(sprite(), motion, tmp_path / "out", method=method)
    assert not any("transparent" in line for line in report.warnings)
    for frame in frames(tmp_path / "out"):
        assert frame.shape == (SIDE, SIDE, 4)
        assert frame[..., 3].min() == 0
        assert frame[..., 3].max() == 255


@pytest.mark.parametrize("name", ["a.webm", "a.mov", "a.gif"])
def test_outputs_that_can_are_transparent(tmp_path: Path, method, motion: Path, name: str) -> None:
    report = stillmotion.animate(sprite(), motion, tmp_path / name, method=method)
    assert not any("transparent" in line for line in report.warnings)
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r") if name == "a.webm" else stream.codec_context
        decoded = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
    assert len(decoded) >= 5
    alpha = decoded[2].reformat(format="rgba").to_ndarray()[..., 3]
    assert alpha.min() < 10
    assert alpha.max() > 245


def test_what_cannot_is_white_and_says_so(tmp_path: Path, method, motion: Path) -> None:
    report = stillmotion.animate(sprite(), motion, tmp_path / "a.mp4", method=method)
    said = ".mp4 cannot be transparent, so the result is laid on white: write .webm, .mov, .gif"
    assert sum(line.startswith(said) for line in report.warnings) == 1
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert next(container.decode(video=0)).to_ndarray(format="rgb24")[:2, :2].min() > 245


def test_an_opaque_source_gives_the_same_bytes_whatever_it_is_stored_as(tmp_path: Path, method, scene: Scene) -> None:
    plain = Image.open(scene.picture).convert("RGB")
    for name, picture in (("a", plain), ("b", plain.convert("RGBA"))):
        stillmotion.animate(picture, scene.clip, tmp_path / name, method=method, paste_back=True)
        stillmotion.animate(picture, scene.clip, tmp_path / f"{name}.webm", method=method)
    for first, second in zip(sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir()), strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert frames(tmp_path / "a")[0].shape[2] == 3
    packets = []
    for name in ("a.webm", "b.webm"):
        with av.open(str(tmp_path / name)) as container:
            packets.append([bytes(packet) for packet in container.demux(video=0)])
    assert packets[0] == packets[1]


@pytest.mark.parametrize("background", ["#00ff00", "lime", (0, 255, 0)])
def test_a_colour_lies_behind_the_figure(tmp_path: Path, method, motion: Path, background: Any) -> None:
    stillmotion.animate(sprite(), motion, tmp_path / "out", method=method, background=background)
    written = frames(tmp_path / "out")
    assert written[0].shape == (SIDE, SIDE, 3)
    for frame in written:
        assert (frame[0, 0] == (0, 255, 0)).all()
        assert np.abs(frame.astype(int) - (0, 255, 0)).max() > 40


@pytest.mark.parametrize("background", ["auto", "#102030"])
@pytest.mark.parametrize("paste_back", [False, True])
def test_beside_other_pictures_it_is_opaque(
    tmp_path: Path, method, motion: Path, background: str, paste_back: bool
) -> None:
    options: dict[str, Any] = {"side_by_side": True, "show": "keypoints", "paste_back": paste_back}
    report = stillmotion.animate(sprite(), motion, tmp_path / "out", method=method, background=background, **options)
    wanted = (255, 255, 255) if background == "auto" else (16, 32, 48)
    assert any("beside other pictures the result is laid on white" in s for s in report.warnings) == (
        background == "auto"
    )
    source, result = np.split(frames(tmp_path / "out")[3], 2, axis=1)
    assert (source[0, 0] == wanted).all()
    assert (result[-1, -1] == wanted).all()


def test_pasted_back_the_rest_keeps_alpha_and_colours(tmp_path: Path, method, motion: Path) -> None:
    picture = sprite((75, 91))
    colour, alpha = split(picture)
    options: dict[str, Any] = {"paste_back": True, "crop_source": "30,20,40,40"}
    report = stillmotion.animate(picture, motion, tmp_path / "out", method=method, **options)
    assert report.size == (75, 91)
    outside = np.ones((75, 91), bool)
    outside[20:60, 30:70] = False
    for frame in frames(tmp_path / "out"):
        np.testing.assert_array_equal(frame[..., 3][outside], alpha[outside])
        seen = outside & (alpha >= 8)
        np.testing.assert_array_equal(frame[seen][:, :3], colour[seen])


def test_a_palette_with_transparency(tmp_path: Path, method, motion: Path) -> None:
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([255, 0, 255, *RED])
    picture.paste(1, (8, 8, 32, 32))
    picture.save(tmp_path / "p.png", transparency=0)
    stillmotion.animate(tmp_path / "p.png", motion, tmp_path / "out", method=method)
    frame = frames(tmp_path / "out")[0]
    assert frame[0, 0, 3] == 0
    assert frame[16, 16, 3] == 255


def test_a_label_is_read_on_nothing_too(tmp_path: Path, method, motion: Path) -> None:
    stillmotion.animate(sprite(), motion, tmp_path / "out", method=method, label=True)
    frame = frames(tmp_path / "out")[0]
    assert (frame[-10:, :SIDE][..., 3] == 255).all()
    assert frame[0, 0, 3] == 0


class Painting:
    """A method that gives no flow."""

    def __init__(self, method: stillmotion.Method) -> None:
        self.spec, self.engine, self._method = method.spec, method.engine, method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def render(self, state: Any, motions: Sequence[Any]) -> Rendering:
        return Rendering(self._method.render(state, motions).planes, ())


def test_without_flow_only_colours(tmp_path: Path, method, motion: Path) -> None:
    painting: Any = Painting(method)
    with pytest.raises(MotionError, match="has no flow, so transparency cannot follow") as caught:
        stillmotion.animate(sprite(), motion, tmp_path / "a.webm", method=painting, background="transparent")
    assert "--background white" in caught.value.hint
    assert not list(tmp_path.iterdir())
    report = stillmotion.animate(sprite(), motion, tmp_path / "b.webm", method=painting)
    assert any("cannot move transparency, so the picture is laid on white" in line for line in report.warnings)
    report = stillmotion.animate(sprite(), motion, tmp_path / "a.webm", method=painting, background="white")
    assert report.frames == 6
    report = stillmotion.animate(sprite(), motion, tmp_path / "a.mp4", method=painting, paste_back=True)
    assert report.size == (45, 51)


def test_what_cannot_be_transparent_is_refused_early(tmp_path: Path, method, motion: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.mp4 cannot be transparent") as caught:
        stillmotion.animate(sprite(), motion, tmp_path / "a.mp4", method=method, background="transparent")
    assert caught.value.hint.startswith("write .webm, .mov, .gif")
    with pytest.raises(ConfigError, match="goes with no other pictures"):
        stillmotion.animate(
            sprite(), motion, tmp_path / "a", method=method, background="transparent", side_by_side=True
        )
    opaque = sprite().convert("RGB")
    report = stillmotion.animate(opaque, motion, tmp_path / "a.gif", method=method, background="transparent")
    assert any(line.startswith("nothing in the picture is transparent") for line in report.warnings)


@pytest.mark.parametrize("wrong", ["green screen", "#12", "#11223344", (1, 2), (0, 0, 256), (0.5, 0, 0)])
def test_no_background(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="is no background") as caught:
        parse_background(wrong)
    assert "auto, transparent, or a colour" in caught.value.hint
