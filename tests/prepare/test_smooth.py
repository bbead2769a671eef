from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from stillmotion.core.errors import ConfigError, MotionError
from stillmotion.core.motion import Keypoints
from stillmotion.prepare import OneEuro


def run(smooth: OneEuro, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.array([smooth.filter(Keypoints(v), t).value for v, t in zip(values, times, strict=True)])


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


@pytest.fixture
def motion(rng):
    return Keypoints(rng.uniform(-1, 1, (10, 2)), jacobian=np.eye(2) + rng.normal(0, 0.2, (10, 2, 2)))


def test_first_sample_and_constants_pass_exactly(motion):
    smooth = OneEuro()
    for step in range(20):
        out = smooth.filter(motion, Fraction(step * 1001, 30000))
        assert np.array_equal(out.value, motion.value)
        assert np.array_equal(out.jacobian, motion.jacobian)


def test_a_step_converges_without_overshoot():
    times = np.arange(100) / 25
    values = np.where(times[:, None, None] < 0.4, 0.0, 0.5) * np.ones((1, 3, 2))
    out = run(OneEuro(), values, times)
    assert (np.diff(out[:, 0, 0]) >= 0).all()
    assert out.max() <= 0.5
    assert out[-1] == pytest.approx(np.full((3, 2), 0.5), abs=1e-4)


def test_jitter_falls(rng):
    times = np.arange(400) / 25
    noise = rng.normal(0, 0.005, (400, 10, 2))
    out = run(OneEuro(), noise, times)[50:]
    assert 0.3 < out.std() / noise[50:].std() < 0.55


def test_fast_motion_hardly_lags():
    times = np.arange(200) / 25
    nod = 0.1 * np.sin(2 * np.pi * times)
    out = run(OneEuro(), np.tile(nod[:, None, None], (1, 1, 2)), times)[50:, 0, 0]
    one_frame_late = np.interp(times[50:] - 0.04, times, nod)
    assert np.abs(out - nod[50:]).mean() < np.abs(one_frame_late - nod[50:]).mean()
    assert out.max() == pytest.approx(0.1, rel=0.05)


def test_a_higher_beta_lags_less():
    times = np.arange(100) / 25
    ramp = np.tile((0.5 * times)[:, None, None], (1, 1, 2))
    lags = [np.abs(run(OneEuro(beta=beta), ramp, times)[-1] - ramp[-1]).max() for beta in (0, 1, 10)]
    assert lags[0] > lags[1] > lags[2]


def test_it_is_causal(rng):
    times, values = np.arange(30) / 25, rng.normal(0, 0.1, (30, 2, 2))
    other = values.copy()
    other[20:] += 1
    assert np.array_equal(run(OneEuro(), values, times)[:20], run(OneEuro(), other, times)[:20])


def test_time_stamps_count_not_frames():
    close, far = OneEuro(beta=0), OneEuro(beta=0)
    for smooth in (close, far):
        smooth.filter(Keypoints(np.zeros((1, 2))), 0)
    moved = Keypoints(np.ones((1, 2)))
    assert close.filter(moved, 0.01).value[0, 0] < far.filter(moved, 0.5).value[0, 0]


def test_coordinates_do_not_disturb_each_other(rng):
    times, values = np.arange(50) / 25, rng.normal(0, 0.1, (50, 4, 2))
    alone = run(OneEuro(), values[:, 2:3], times)
    assert np.allclose(run(OneEuro(), values, times)[:, 2:3], alone, atol=1e-7)


def test_jacobians_are_smoothed_whatever_their_scale(rng):
    times, noise = np.arange(200) / 25, rng.normal(0, 0.02, (200, 5, 2, 2))
    out = {}
    for scale in (1.0, 0.01):
        smooth = OneEuro()
        motions = [Keypoints(np.zeros((5, 2)), jacobian=scale * (np.eye(2) + n)) for n in noise]
        out[scale] = np.array([smooth.filter(m, t).jacobian for m, t in zip(motions, times, strict=True)])[50:]
    assert (out[1.0] - np.eye(2)).std() < 0.6 * noise[50:].std()
    assert np.allclose(out[0.01] * 100, out[1.0], atol=1e-4)


def test_a_jacobian_never_turns_over():
    smooth = OneEuro()
    for step, angle in enumerate((0, 180, 0, 170, 350, 90, 270)):
        out = smooth.filter(Keypoints(np.zeros((1, 2)), jacobian=rotation(angle)[None]), step / 25)
        assert np.linalg.det(out.jacobian[0]) > 0.05


def test_a_covariance_stays_one(rng):
    smooth = OneEuro()
    for step in range(50):
        half = rng.normal(0, 0.1, (6, 2, 2))
        out = smooth.filter(Keypoints(np.zeros((6, 2)), covariance=half @ np.swapaxes(half, 1, 2)), step / 25)
        assert np.linalg.eigvalsh(out.covariance.astype(np.float64)).min() > -1e-8
        assert np.allclose(out.covariance, np.swapaxes(out.covariance, 1, 2))


def test_reset_starts_anew(motion):
    smooth = OneEuro()
    smooth.filter(Keypoints(np.zeros((3, 2))), 5.0)
    smooth.reset()
    assert smooth.filter(motion, 0.0) is motion


def test_misuse_is_named(motion):
    smooth = OneEuro()
    smooth.filter(motion, 1.0)
    with pytest.raises(MotionError, match="time must rise from frame to frame, not by 0 s"):
        smooth.filter(motion, 1.0)
    with pytest.raises(MotionError, match="keypoints changed"):
        smooth.filter(Keypoints(motion.value), 2.0)
    with pytest.raises(ConfigError, match="min_cutoff is 0"):
        OneEuro(min_cutoff=0)
    with pytest.raises(ConfigError, match="beta is -1"):
        OneEuro(beta=-1)
