"""Boxes and tracks: the published rule on made-up faces."""

from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import ConfigError
from stillmotion.data.preparation.boxes import Box, grown
from stillmotion.data.preparation.tracking import Rule, cuts, follow

SIZE = (720, 1280)


def at(left: float, top: float = 200, side: float = 300) -> Box:
    return Box(left, top, left + side, top + side)


def test_overlap_is_intersection_over_union() -> None:
    assert at(0).overlap(at(0)) == 1
    assert at(0).overlap(at(150)) == pytest.approx(1 / 3)
    assert at(0).overlap(at(300)) == 0
    assert Box(0, 0, 0, 0).overlap(Box(0, 0, 0, 0)) == 0


def test_a_margin_of_a_tenth_on_each_side() -> None:
    assert grown(Box(100, 100, 200, 300), 0.1, shape="stretched") == Box(90, 80, 210, 320)
    assert grown(Box(100, 100, 200, 300), 0.1, shape="square") == Box(30, 80, 270, 320)


def test_sliding_keeps_the_size() -> None:
    assert Box(-10, 5, 90, 105).slid_into((200, 200)) == Box(0, 5, 100, 105)
    assert Box(150, 5, 250, 105).slid_into((200, 200)) == Box(100, 5, 200, 105)
    assert not Box(-10, 0, 300, 10).slid_into((200, 200)).is_within((200, 200))


def test_a_cut_repeats_the_edge_outside() -> None:
    frame = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    piece = Box(-1, 0, 3, 4).cut(frame, (4, 4))
    np.testing.assert_array_equal(piece[:, 0], frame[:, 0])
    np.testing.assert_array_equal(piece[:, 1:], frame[:, :3])


def test_a_track_ends_when_the_face_has_left_its_first_box() -> None:
    # 300 wide, 6 to the right each frame: the overlap with the first falls below 0.25 at 180 pixels.
    found = [[at(100 + 6 * i)] for i in range(100)]
    tracks = list(follow(found, Rule(least_frames=1)))
    assert [(t.start, t.stop) for t in tracks] == [(0, 31), (31, 62), (62, 93), (93, 100)]
    assert tracks[0].union == Box(100, 200, 100 + 30 * 6 + 300, 500)
    for track in tracks:
        for boxes in found[track.start : track.stop]:
            assert track.union.with_(boxes[0]) == track.union


def test_two_faces_are_two_tracks() -> None:
    found = [[at(700 - i), at(100 + i)] for i in range(70)]
    tracks = sorted(follow(found, Rule()), key=lambda t: t.first.left)
    assert [(t.start, t.stop, t.first.left) for t in tracks] == [(0, 70, 100), (0, 70, 700)]


@pytest.mark.parametrize(("gap", "ends"), [(0, [(0, 40), (42, 80)]), (2, [(0, 80)]), (1, [(0, 40), (42, 80)])])
def test_a_gap_ends_a_track_unless_allowed(gap: int, ends: list[tuple[int, int]]) -> None:
    found = [[] if i in (40, 41) else [at(100)] for i in range(80)]
    assert [(t.start, t.stop) for t in follow(found, Rule(gap=gap))] == ends


def test_a_long_track_is_cut() -> None:
    tracks = follow([[at(100)]] * 250, Rule(most_frames=100))
    assert [(t.start, t.stop) for t in tracks] == [(0, 100), (100, 200), (200, 250)]


def test_nemo_takes_the_first_box_and_all_frames() -> None:
    found = [[], [at(100), at(500, side=310)], *([[at(900)]] * 8)]
    (track,) = follow(found, Rule(follow="first"))
    assert (track.start, track.stop, track.union) == (0, 10, at(500, side=310))


def test_what_makes_no_clip_is_counted() -> None:
    def tracks(frames: int, box: Box) -> list:
        return list(follow([[box]] * frames, Rule()))

    short, small, edge = tracks(63, at(300)), tracks(64, at(300, side=255)), tracks(64, at(10))
    kept, dropped = cuts([*short, *small, *edge, *tracks(64, at(300, side=256))], Rule(), size=SIZE)
    assert dropped == {"too short": 1, "too small": 1, "outside the frame": 1}
    assert [(cut.start, cut.stop) for cut in kept] == [(0, 64)]
    assert kept[0].box.width == kept[0].box.height == pytest.approx(256 * 1.2, abs=1)
    assert cuts(edge, Rule(outside="slide"), size=SIZE)[0][0].box == Box(0, 170, 360, 530)


def test_a_face_that_moves_inside_its_box_wanders() -> None:
    (still,) = cuts(follow([[at(300)]] * 64, Rule()), Rule(), size=SIZE)[0]
    (moving,) = cuts(follow([[at(300 + i)] for i in range(64)], Rule()), Rule(), size=SIZE)[0]
    assert still.wander == 0
    assert moving.wander == pytest.approx(np.std(np.arange(64)) / 363, abs=1e-4)


@pytest.mark.parametrize("wrong", [{"overlap": 0}, {"gap": -1}, {"least_frames": 0}, {"margin": 3}, {"most_frames": 9}])
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong)).replace('_', ' ')} .* makes no sense"):
        Rule(**wrong)
