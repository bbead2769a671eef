"""The rendered heads: true truth, determinism, resuming, packs, and faces that really move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stillmotion.core.errors import DataError, OutputError
from stillmotion.core.flow import warp
from stillmotion.data.worlds.benchmark import Shoot, heads_1, render_benchmark
from stillmotion.data.worlds.cast import match_uv
from stillmotion.data.worlds.heads import Recipe, Theatre, open_cast, render_heads
from stillmotion.data.worlds.look import even_light, make_look
from stillmotion.data.worlds.motion import SHAPES, Track, make_track
from stillmotion.data.worlds.pack import Cast, find_glb
from stillmotion.data.worlds.performance import Framing, make_framing
from stillmotion.data.worlds.store import has_clip, read_clip

pytestmark = pytest.mark.usefixtures("egl")

FEW = Recipe(frames=3, fps=3.0, size=128, truth_size=64, seed=4)


def shrink(mask: np.ndarray) -> np.ndarray:
    """Leave out pixels within two of the mask's edge, where pictures are antialiased."""
    out = mask.copy()
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            out &= np.roll(mask, step, axis)
    return out


def psnr(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((first[mask].astype(float) - second[mask]) ** 2)))


def still(frames: int, **shapes: float) -> Track:
    """A track that holds still; the last frame has the given shape weights."""
    empty = {name: np.zeros_like(getattr(make_track(0, frames), name)) for name in Track.arrays()}
    for name, weight in shapes.items():
        empty["shapes"][-1, SHAPES.index(name)] = weight
    return Track(fps=5.0, **empty)


@pytest.fixture(scope="module")
def theatre(pack: Path) -> Theatre:
    return Theatre(pack, FEW)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_warping_by_the_true_flow_shows_the_visible_pixels(pack: Path, seed: int) -> None:
    theatre = Theatre(pack, Recipe(frames=4, fps=3.0, size=256, truth_size=256, clean=True))
    look = even_light(make_look(seed, clean=True))
    track = make_track(seed, 4, fps=3.0)
    frames, truth = theatre.play(theatre.someone(seed), track, look=look, framing=make_framing(seed))
    flow = truth.flow(3, 0)
    assert flow.occlusion is not None
    kept = flow.occlusion > 0.5
    assert kept.mean() > 0.5
    warped = warp(frames[0], flow)
    assert psnr(warped, frames[3], kept) > 27
    assert psnr(warped, frames[3], shrink(kept)) > 34
    body = shrink(kept) & (truth.ids[3] >= 0)
    assert psnr(warped, frames[3], body) > 32
    assert psnr(frames[0], frames[3], body) < psnr(warped, frames[3], body) - 6


def test_small_truth_agrees_with_large(pack: Path) -> None:
    small, large = (Theatre(pack, replace(FEW, size=256, truth_size=size)).clip(2)[1].flow(2, 0) for size in (64, 256))
    assert small.occlusion is not None
    assert large.occlusion is not None
    middle = (large.grid[1::4, 1::4] + large.grid[2::4, 2::4]) / 2
    both = (
        (small.occlusion > 0.5) & shrink(large.occlusion > 0.5)[2::4, 2::4] & shrink(large.occlusion > 0.5)[1::4, 1::4]
    )
    # Within half a pixel of 64 nearly everywhere: edges inside the face may fall to either side.
    assert np.quantile(np.abs(small.grid - middle)[both], 0.98) < 1 / 64


def test_clips_are_deterministic(pack: Path, theatre: Theatre) -> None:
    frames, truth = theatre.clip(1)
    again, same = Theatre(pack, FEW).clip(1)
    np.testing.assert_array_equal(frames, again)
    np.testing.assert_array_equal(truth.ids, same.ids)
    np.testing.assert_array_equal(truth.points, same.points)
    assert (theatre.clip(2)[0] != frames).any()


def test_landmarks_and_head_are_in_the_picture(theatre: Theatre) -> None:
    for index in range(4):
        frames, truth = theatre.clip(index)
        assert frames.shape == (3, 128, 128, 3)
        assert frames.dtype == np.uint8
        assert (np.abs(truth.landmarks) < 1).all()
        assert truth.landmarks_visible.mean() > 0.4
        box = truth.landmarks.max(1).mean(0) - truth.landmarks.min(1).mean(0)
        assert 2 / 2.6 < box.max() < 2 / 1.55


def test_the_mouth_opens_and_the_eyes_close(theatre: Theatre) -> None:
    track = still(2, MouthOpen_h=0.9, LeyeClose_h=1.0, ReyeClose_h=1.0)
    frames, truth = theatre.play(
        "White_M_1_Casual", track, look=make_look(7, clean=True), framing=Framing(offset=(0.0, 0.0))
    )
    points = truth.landmarks
    gap = points[:, 66, 1] - points[:, 62, 1]
    assert gap[0] < 0.02
    assert gap[1] > 0.08
    lids = points[:, [40, 41, 46, 47], 1].mean(1) - points[:, [37, 38, 43, 44], 1].mean(1)
    assert lids[1] < 0.35 * lids[0]
    x, y = ((points[1, 48:68].mean(0) + 1) * 64).astype(int)
    mouth = np.abs(frames[1].astype(int) - frames[0])[y - 8 : y + 8, x - 8 : x + 8]
    assert mouth.mean() > 8


def test_two_people_perform_one_motion(theatre: Theatre) -> None:
    track, framing = make_track(9, 3, fps=3.0), Framing()
    first, second = (
        theatre.play(name, track, look=3, framing=framing, motion="m")
        for name in ("White_M_1_Casual", "Black_F_1_Casual")
    )
    np.testing.assert_allclose(first[1].pose, second[1].pose, atol=1e-5)
    assert first[1].person != second[1].person
    assert np.abs(first[1].landmarks - second[1].landmarks).max() < 0.35
    assert (first[0] != second[0]).any()


def test_sets_resume_and_do_not_depend_on_workers(pack: Path, tmp_path: Path) -> None:
    settings = {"clips": 2, "seed": 4, "frames": 2, "size": 64, "truth_size": 32, "progress": False}
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert render_heads(pack, output=alone, workers=1, **settings) == [0, 1]
    assert render_heads(pack, output=together, workers=2, **settings) == [0, 1]
    for name in ("00000.mp4", "00000.npz", "00001.mp4", "00001.npz"):
        assert (alone / name).read_bytes() == (together / name).read_bytes()
    (alone / "00000.npz").unlink()
    assert not has_clip(alone, 0)
    assert render_heads(pack, output=alone, workers=1, **settings) == [0]
    assert render_heads(pack, output=alone, workers=1, **settings) == []
    assert (alone / "00000.npz").read_bytes() == (together / "00000.npz").read_bytes()
    frames, truth = read_clip(alone, 0)
    assert frames.shape == (2, 64, 64, 3)
    assert truth.flow(1, 0).size == (32, 32)
    assert not list(alone.glob(".*"))


def test_people_who_are_held_out_do_not_appear(pack: Path, tmp_path: Path) -> None:
    small = {"seed": 3, "frames": 2, "size": 64, "progress": False, "workers": 1}
    away = ("White_M_1_Casual", "Black_F_1_Casual")
    render_heads(pack, clips=2, output=tmp_path, hold_out=away, **small)
    assert {read_clip(tmp_path, index)[1].person.split(":")[0] for index in (0, 1)} == {"Asian_F_2_Casual"}
    with pytest.raises(DataError, match="nobody called 'Nobody' is in the pack, to be held out"):
        render_heads(pack, clips=3, output=tmp_path, hold_out=["Nobody"], **small)
    with pytest.raises(DataError, match="everybody is held out"):
        render_heads(pack, clips=3, output=tmp_path, hold_out=[*away, "Asian_F_2_Casual"], **small)


def test_a_benchmark_shows_one_motion_on_two_people_in_their_own_light(pack: Path, tmp_path: Path) -> None:
    clips = (
        Shoot(("White_M_1_Casual",), 7, 1),
        Shoot(("Black_F_1_Casual",), 7, 2),
        Shoot(("White_M_1_Casual", "Black_F_1_Casual"), 8, 1),
    )
    small = replace(heads_1(), size=64, truth_size=64, frames=2, clips=clips)
    assert render_benchmark(small, tmp_path, avatars=pack, workers=1, progress=False) == [0, 1, 2]
    (first, white), (_, black), (_, both) = (read_clip(tmp_path, index) for index in range(3))
    assert (white.person, black.person) == ("White_M_1_Casual", "Black_F_1_Casual")
    assert both.person == "White_M_1_Casual:0.50+Black_F_1_Casual:0.50"
    assert white.motion == black.motion == "track-7"
    assert np.abs(white.pose - black.pose).max() < 0.05
    assert first.shape == (2, 64, 64, 3)


def test_a_pack_holds_the_people_and_renders_without_their_files(pack: Path, glb_files: list[Path]) -> None:
    from stillmotion.data.worlds.avatars import read_avatar
    from stillmotion.data.worlds.cast import make_person, make_template

    cast = Cast(pack)
    assert cast.names == sorted(path.stem for path in glb_files)
    template = make_template(read_avatar(next(path for path in glb_files if path.stem == "White_M_1_Casual")))
    avatar = read_avatar(next(path for path in glb_files if path.stem == "Asian_F_2_Casual"))
    person, packed = make_person(avatar, template, texture_size=256), cast.person("Asian_F_2_Casual")
    np.testing.assert_allclose(packed.position, person.position, atol=1.1e-5)
    np.testing.assert_allclose(packed.shapes, person.shapes, atol=1.1e-5)
    assert np.abs(packed.texture.astype(int) - person.texture).mean() < 4
    assert packed.hair is not None
    assert pack.stat().st_size / len(cast.names) < 60e6 / 42


def test_a_folder_is_packed_once(glb_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / glb_files[0].name).symlink_to(glb_files[0])
    assert len(find_glb(folder)) == 1
    first = open_cast(folder)
    stamp = first.stat().st_mtime_ns
    assert open_cast(folder) == first
    assert first.stat().st_mtime_ns == stamp
    assert open_cast(first) == first


def test_wrong_inputs_are_explained(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.glb files"):
        open_cast(tmp_path)
    with pytest.raises(DataError, match="neither a folder of avatars nor a pack"):
        open_cast(tmp_path / "nowhere")
    (tmp_path / "bad.pack").write_bytes(b"nothing")
    with pytest.raises(DataError, match="is not a pack of avatars"):
        Cast(tmp_path / "bad.pack")
    with pytest.raises(DataError, match="nobody called 'Ann'"):
        Theatre(pack, Recipe(people=("Ann",)))
    with pytest.raises(DataError, match="does not divide"):
        Theatre(pack, Recipe(size=100, truth_size=64))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        render_heads(pack, clips=1, frames=1, size=64, output=tmp_path / "file" / "x", workers=1, progress=False)


def test_another_uv_layout_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="another UV layout"):
        match_uv(rng.random((500, 2)), rng.random((30, 2)), name="stranger")
