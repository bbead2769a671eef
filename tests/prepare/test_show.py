from __future__ import annotations

import colorsys

import numpy as np
import pytest

from stillmotion.core.errors import MotionError
from stillmotion.core.flow import Flow, make_grid
from stillmotion.core.motion import Keypoints
from stillmotion.prepare import draw_flow, draw_keypoints, draw_occlusion, keypoint_colours
from stillmotion.prepare.show import FULL_FLOW


def test_colours_are_distinct():
    for count in (1, 10, 15):
        colours = keypoint_colours(count).astype(int)
        gaps = np.abs(colours[:, None] - colours[None]).sum(axis=-1) + 1000 * np.eye(count, dtype=int)
        assert gaps.min() > 60


@pytest.mark.parametrize("background", [0, 255])
def test_keypoints_lie_where_they_should(background):
    frame = np.full((256, 256, 3), background, dtype=np.uint8)
    out = draw_keypoints(frame, Keypoints([[0.0, 0.0], [-0.5, 0.75]]), convention="centers")
    colours = keypoint_colours(2)
    assert np.array_equal(out[128, 128], colours[0])
    assert np.array_equal(out[223, 64], colours[1])
    assert (frame == background).all()
    assert np.array_equal(out[60:100, 150:200], frame[60:100, 150:200])


def test_keypoints_far_outside_are_harmless():
    frame = np.zeros((64, 48, 3), dtype=np.uint8)
    out = draw_keypoints(frame, Keypoints([[1e9, -1e9], [-3.0, 0.0]]), convention="edges")
    assert np.array_equal(out, frame)


@pytest.mark.parametrize("convention", ["centers", "edges"])
def test_no_flow_is_white(convention):
    out = draw_flow(Flow(make_grid((16, 16), convention), convention), (64, 48))
    assert out.shape == (64, 48, 3)
    assert (out == 255).all()


@pytest.mark.parametrize(("shift", "hue"), [((1, 0), 0.0), ((0, 1), 0.25), ((-1, 0), 0.5), ((0, -1), 0.75)])
def test_flow_direction_is_hue_and_length_is_saturation(shift, hue):
    grid = make_grid((8, 8), "edges")
    for share in (1.0, 0.5):
        out = draw_flow(Flow(grid + np.float32(FULL_FLOW * share) * np.array(shift, np.float32), "edges"), (8, 8))
        want = np.array(colorsys.hsv_to_rgb(hue, share, 1.0)) * 255
        assert np.abs(out[4, 4] - want).max() <= 1.5


def test_occlusion_is_white_where_the_source_is_kept():
    occlusion = np.zeros((8, 8), dtype=np.float32)
    occlusion[:, 4:] = 1
    out = draw_occlusion(Flow(make_grid((8, 8), "edges"), "edges", occlusion), (32, 32))
    assert (out[:, :10] == 0).all()
    assert (out[:, 22:] == 255).all()


def test_no_occlusion_is_an_error():
    with pytest.raises(MotionError, match="no occlusion map to show") as caught:
        draw_occlusion(Flow(make_grid((8, 8), "edges"), "edges"), (32, 32))
    assert "--show flow" in caught.value.hint
