"""Augmentation: what is drawn, what is shared by both frames, and the published faults mended."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from stillmotion.data.augment import (
    Augmentation,
    change_brightness,
    change_contrast,
    change_saturation,
    crop_corner,
    move_camera,
    resize_and_crop,
    shift_hue,
)

OFF = Augmentation(horizontal_flip=False, time_flip=False)


@pytest.fixture
def pair(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)


def test_nothing_asked_nothing_done(pair: np.ndarray, rng: np.random.Generator) -> None:
    assert np.array_equal(OFF(pair, rng), pair)


def test_flips_are_independent(pair: np.ndarray, rng: np.random.Generator) -> None:
    """The published time flip returns early, so that both flips never come together and mirroring has
    probability 1/4; here each of the four outcomes has 1/4."""
    outcomes = {"none": pair, "time": pair[::-1], "mirror": pair[:, :, ::-1], "both": pair[::-1, :, ::-1]}
    seen: Counter[str] = Counter()
    for _ in range(400):
        out = Augmentation()(pair, rng)
        seen[next(name for name, wanted in outcomes.items() if np.array_equal(out, wanted))] += 1
    assert set(seen) == set(outcomes)
    assert all(70 < count < 130 for count in seen.values())


def test_jitter_treats_both_frames_alike(rng: np.random.Generator) -> None:
    frame = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    jitter = Augmentation(horizontal_flip=False, time_flip=False, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.3)
    for _ in range(5):
        out = jitter(np.stack([frame, frame]), rng)
        assert np.array_equal(out[0], out[1])
        assert not np.array_equal(out[0], frame)


def test_same_generator_same_result(pair: np.ndarray) -> None:
    everything = Augmentation(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, resize=(0.9, 1.1), camera=1.0)
    first, second = (everything(pair, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, everything(pair, np.random.default_rng(8)))


def test_brightness_multiplies_and_clips() -> None:
    frame = np.full((2, 2, 3), 100, np.uint8)
    assert (change_brightness(frame, 1.5) == 150).all()
    assert (change_brightness(frame, 3.0) == 255).all()


def test_contrast_zero_is_the_mean_grey(pair: np.ndarray) -> None:
    assert len(np.unique(change_contrast(pair[0], 0.0))) == 1
    assert np.abs(change_contrast(pair[0], 1.0).astype(int) - pair[0]).max() <= 1


def test_saturation_zero_is_grey(pair: np.ndarray) -> None:
    out = change_saturation(pair[0], 0.0)
    assert (out == out[..., :1]).all()
    assert np.array_equal(change_saturation(pair[0], 1.0), pair[0])


def test_a_third_of_the_circle_turns_red_into_green() -> None:
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    out = shift_hue(red, 1 / 3)[0, 0]
    assert out[1] == 255
    assert max(out[0], out[2]) <= 8
    assert np.array_equal(shift_hue(red, 0.0), red)


def test_crop_axes_have_their_own_slack(rng: np.random.Generator) -> None:
    """The published crop tests the height to decide on x; a wide frame was then always cut at x = 0."""
    corners = np.array([crop_corner((20, 60), (20, 40), rng) for _ in range(200)])
    assert (corners[:, 0] == 0).all()
    assert corners[:, 1].min() == 0
    assert corners[:, 1].max() == 20
    tall = np.array([crop_corner((60, 20), (40, 20), rng) for _ in range(50)])
    assert (tall[:, 1] == 0).all()
    assert len(np.unique(tall[:, 0])) > 5


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_resize_keeps_the_size_and_treats_both_alike(factor: float, rng: np.random.Generator) -> None:
    frame = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    out = resize_and_crop(np.stack([frame, frame]), factor, rng)
    assert out.shape == (2, 20, 30, 3)
    assert np.array_equal(out[0], out[1])


def test_shrinking_pads_with_the_edge(rng: np.random.Generator) -> None:
    frame = np.full((20, 20, 3), 77, np.uint8)
    assert (resize_and_crop(np.stack([frame, frame]), 0.5, rng) == 77).all()


def test_camera_moves_each_frame_on_its_own(rng: np.random.Generator) -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[12:20, 12:20] = 255
    out = Augmentation(horizontal_flip=False, time_flip=False, camera=1.0)(np.stack([frame, frame]), rng)
    assert not np.array_equal(out[0], out[1])
    flat = np.full((32, 32, 3), 50, np.uint8)
    assert (move_camera(flat, 1.0, rng) == 50).all()
    assert np.array_equal(move_camera(frame, 0.0, rng), frame)
