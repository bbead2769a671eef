from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import CropError, ImageError
from stillmotion.prepare import Crop, Paster, paste_back


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)


def test_outside_the_crop_nothing_changes(picture):
    crop = Crop(40, 30, 64, 64)
    out = paste_back(picture, np.full((32, 32, 3), 255, dtype=np.uint8), crop)
    kept = np.ones(picture.shape[:2], dtype=bool)
    kept[30:94, 40:104] = False
    assert np.array_equal(out[kept], picture[kept])
    assert (out[50:74, 60:84] == 255).all()


def test_the_border_of_the_crop_is_the_source(picture):
    out = paste_back(picture, np.full((64, 64, 3), 9, dtype=np.uint8), Crop(40, 30, 64, 64))
    assert np.array_equal(out[30, 40:104], picture[30, 40:104])
    assert np.array_equal(out[30:94, 103], picture[30:94, 103])


def test_the_seam_fades_without_a_step():
    white, black = np.full((120, 160, 3), 255, dtype=np.uint8), np.zeros((64, 64, 3), dtype=np.uint8)
    row = paste_back(white, black, Crop(40, 30, 64, 64), feather=0.25)[62, 40:72, 0].astype(int)
    assert (np.diff(row) <= 0).all()
    assert np.abs(np.diff(row)).max() < 30
    assert row[0] == 255
    assert row[-1] == 0


def test_the_crop_itself_pasted_back_changes_nothing(picture):
    crop = Crop(40, 30, 64, 64)
    assert np.array_equal(paste_back(picture, crop.apply(picture, (64, 64)), crop), picture)


def test_no_seam_where_the_crop_leaves_the_picture(picture):
    out = paste_back(picture, np.full((64, 64, 3), 7, dtype=np.uint8), Crop(-20, -10, 64, 64))
    assert (out[:40, :30] == 7).all()
    assert np.array_equal(out[53, :44], picture[53, :44])
    whole = paste_back(picture, np.full((120, 160, 3), 7, dtype=np.uint8), Crop(0, 0, 160, 120))
    assert (whole == 7).all()


def test_the_right_part_shows_where_the_crop_leaves_the_picture(picture, coordinates):
    crop = Crop(120, 90, 64, 64)
    out = paste_back(picture, coordinates(64, 64), crop, feather=0)
    assert np.array_equal(out[90:, 120:], coordinates(64, 64)[:30, :40])


def test_a_mask_keeps_the_source_where_it_is_zero(picture):
    mask = np.zeros((64, 64))
    mask[:, 32:] = 1
    out = paste_back(picture, np.full((64, 64, 3), 3, dtype=np.uint8), Crop(40, 30, 64, 64), feather=0, mask=mask)
    assert np.array_equal(out[30:94, 40:72], picture[30:94, 40:72])
    assert (out[30:94, 72:104] == 3).all()


def test_a_paster_is_the_same_and_keeps_its_picture(picture, rng):
    crop, before = Crop(-3.4, 30.2, 64, 64), picture.copy()
    paster = Paster(picture, crop, size=(32, 32))
    for _ in range(3):
        animated = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        assert np.array_equal(paster.paste(animated), paste_back(picture, animated, crop))
    assert np.array_equal(picture, before)
    picture[:] = 0
    assert paster.paste(animated)[100:].any()


def test_bad_arguments_are_named(picture):
    crop, animated = Crop(40, 30, 64, 64), np.zeros((32, 32, 3), dtype=np.uint8)
    with pytest.raises(CropError, match=r"feather must be between 0 and 0\.5, not 0\.7"):
        paste_back(picture, animated, crop, feather=0.7)
    with pytest.raises(CropError, match="lies outside"):
        paste_back(picture, animated, Crop(400, 0, 64, 64))
    with pytest.raises(ImageError, match="animated frame is 32x32, not 64x64"):
        Paster(picture, crop, size=(64, 64)).paste(animated)
    with pytest.raises(ImageError, match="paste mask must be"):
        paste_back(picture, animated, crop, mask=np.full((4, 4), 2.0))
