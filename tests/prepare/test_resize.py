from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import ImageError
from stillmotion.prepare import resize_frame, resize_plane, side_by_side


def test_same_size_is_the_same_array(rng):
    frame = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert resize_frame(frame, (9, 7)) is frame


def test_shrinking_averages_instead_of_aliasing():
    checkerboard = np.indices((64, 64)).sum(axis=0) % 2 * 255
    frame = np.repeat(checkerboard[..., None], 3, axis=2).astype(np.uint8)
    small = resize_frame(frame, (16, 16)).astype(int)
    assert np.abs(small - 127.5).max() <= 1


def test_shrinking_by_a_whole_factor_is_the_block_mean(rng):
    frame = rng.integers(0, 256, (12, 8, 3), dtype=np.uint8)
    blocks = frame.reshape(3, 4, 2, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize_frame(frame, (3, 2)) - blocks).max() <= 0.51


def test_enlarging_keeps_a_ramp_straight():
    ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], 4, axis=0).repeat(3, axis=2)
    large = resize_frame(ramp, (4, 64))[0, 16:48, 0].astype(float)
    want = ((np.arange(16, 48) + 0.5) / 4 - 0.5) * 10
    assert np.abs(large - want).max() <= 1


def test_each_axis_gets_its_own_filter():
    stripes = np.zeros((4, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    out = resize_frame(stripes, (16, 16))
    assert out.shape == (16, 16, 3)
    assert np.abs(out.astype(int) - 100).max() <= 1


def test_float_maps_keep_dtype_and_channels():
    assert resize_plane(np.ones((8, 8, 2), dtype=np.float32), (16, 4)).shape == (16, 4, 2)
    assert resize_plane(np.ones((8, 8), dtype=np.float32), (4, 4)).dtype == np.float32


def test_no_pixels_is_an_error():
    with pytest.raises(ImageError, match="cannot resize to 0x4 pixels"):
        resize_frame(np.zeros((4, 4, 3), dtype=np.uint8), (4, 0))


def test_side_by_side_joins_left_to_right():
    a, b = np.full((4, 2, 3), 1, dtype=np.uint8), np.full((4, 5, 3), 2, dtype=np.uint8)
    out = side_by_side(a, b)
    assert out.shape == (4, 7, 3)
    assert (out[:, :2] == 1).all()
    assert (out[:, 2:] == 2).all()


def test_side_by_side_names_the_heights():
    with pytest.raises(ImageError, match="same height, not 4, 6"):
        side_by_side(np.zeros((4, 2, 3), dtype=np.uint8), np.zeros((6, 2, 3), dtype=np.uint8))
    with pytest.raises(ImageError, match="no frames"):
        side_by_side()
