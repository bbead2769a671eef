"""Animator: frame by frame, nothing but arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import stillmotion
from stillmotion import Animator, ConfigError, ImageError, NoFaceError
from stillmotion.prepare.crop import whole_crop
from stillmotion.prepare.smooth import OneEuro
from stillmotion.session.inputs import example_photo, open_source
from tests.scene import Scene, make_frame

SIZE = (32, 32)


@pytest.fixture(scope="module")
def method(tiny_bundle: Path) -> stillmotion.Method:
    return stillmotion.load(tiny_bundle)


@pytest.fixture(scope="module")
def driving() -> list[np.ndarray]:
    return [make_frame(index, size=SIZE) for index in range(4)]


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return make_frame(7, size=SIZE)


def test_step_equals_the_modules_called_by_hand(method, source, driving) -> None:
    animator = Animator(method, source)
    ours = [animator.step(frame) for frame in driving]
    state = method.encode([source])
    motions = method.read(np.stack(driving))
    rest = method.source_motion(state)
    by_hand = [method.render(state, [stillmotion.transfer(rest, m, motions[0])]).frames[0] for m in motions]
    for a, b in zip(ours, by_hand, strict=True):
        assert a.dtype == np.uint8
        assert a.shape == (*SIZE, 3)
        np.testing.assert_array_equal(a, b)


def test_animate_is_step_after_step_and_lazy(method, source, driving) -> None:
    asked = []

    def frames() -> Iterator[np.ndarray]:
        for index, frame in enumerate(driving):
            asked.append(index)
            yield frame

    running = Animator(method, source).animate(frames())
    first = next(running)
    assert asked == [0]
    stepped = Animator(method, source)
    np.testing.assert_array_equal(first, stepped.step(driving[0]))
    for a, b in zip(running, driving[1:], strict=True):
        np.testing.assert_array_equal(a, stepped.step(b))


def test_the_first_frame_of_relative_motion_is_the_source_at_rest(method, source, driving) -> None:
    animator = Animator(method, source)
    rest = animator.transfer(animator.read(driving[0]))
    np.testing.assert_array_equal(rest.value, animator.source.value)
    np.testing.assert_array_equal(rest.jacobian, animator.source.jacobian)
    np.testing.assert_array_equal(animator.reference.value, method.read(driving[0][None])[0].value)


def test_absolute_motion_is_the_drivers_own(method, source, driving) -> None:
    animator = Animator(method, source, mode="absolute")
    motion = animator.read(driving[2])
    np.testing.assert_array_equal(animator.transfer(motion).value, motion.value)


def test_a_given_reference_and_scale_are_obeyed(method, source, driving) -> None:
    reference, motion = method.read(np.stack(driving[2:]))
    animator = Animator(method, source, reference=reference, scale=0.5)
    got = animator.transfer(motion)
    np.testing.assert_allclose(got.value - animator.source.value, (motion.value - reference.value) * 0.5, atol=1e-6)
    assert animator.reference is reference


def test_the_reference_can_be_set_anew(method, source, driving) -> None:
    animator = Animator(method, source)
    animator.step(driving[0])
    animator.reference = method.read(driving[3][None])[0]
    again = animator.transfer(animator.read(driving[3]))
    np.testing.assert_allclose(again.value, animator.source.value, atol=1e-6)


def test_frames_do_not_depend_on_their_neighbours(method, source, driving) -> None:
    reference = method.read(driving[0][None])[0]
    forwards = list(Animator(method, source, reference=reference).animate(driving))
    backwards = list(Animator(method, source, reference=reference).animate(driving[::-1]))
    for a, b in zip(forwards, backwards[::-1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_smoothing_uses_the_times_of_the_video(method, source, driving) -> None:
    class Slow:
        size, fps, length = SIZE, Fraction(5), 4

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def __iter__(self):
            return iter(driving)

        def timed(self):
            return ((Fraction(index, 5), frame) for index, frame in enumerate(driving))

    slow = list(Animator(method, source, smooth=OneEuro()).animate(Slow()))
    fast = list(Animator(method, source, smooth=OneEuro()).animate(driving))
    raw = list(Animator(method, source).animate(driving))
    np.testing.assert_array_equal(slow[0], fast[0])
    assert np.abs(fast[3].astype(int) - raw[3]).max() > 0
    assert np.abs(fast[3].astype(int) - slow[3]).max() > 0


def test_other_sizes_are_cropped_in_the_middle_not_squeezed(method, driving) -> None:
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = make_frame(7, size=SIZE)
    np.testing.assert_array_equal(
        Animator(method, wide).step(driving[0]), Animator(method, wide[:, 16:48]).step(driving[0])
    )


class Faces:
    """Weights for faces, cut as close as the box, around a method that is not asked for them."""

    def __init__(self, method) -> None:
        self.spec = replace(method.spec, crop="face", margin=1.8)
        self.encode, self.read, self.render = method.encode, method.read, method.render
        self.source_motion, self.engine = method.source_motion, method.engine


def test_weights_for_faces_see_the_face_and_not_the_whole_picture(method) -> None:
    photo = np.pad(stillmotion.read_image(example_photo()), ((300, 0), (0, 400), (0, 0)), mode="edge")
    faces = Faces(method)
    by_hand = open_source(photo, faces.spec).frame
    whole = whole_crop(photo.shape[:2], SIZE).apply(photo, SIZE)
    ours, theirs = Animator(faces, photo), Animator(faces, by_hand)
    assert np.array_equal(ours.step(photo), theirs.step(by_hand))
    assert np.array_equal(ours.source.value, theirs.source.value)
    assert np.array_equal(Animator(faces, photo, crop="none").source.value, Animator(method, whole).source.value)
    assert not np.array_equal(ours.source.value, Animator(method, whole).source.value)
    moved = np.roll(photo, 40, axis=1)
    assert not np.array_equal(ours.read(moved).value, ours.read(photo).value), "the box must not follow the face"


def test_without_a_face_the_animator_says_so(method) -> None:
    wall = np.full((90, 120, 3), 128, np.uint8)
    with pytest.raises(NoFaceError, match="no face found in the source"):
        Animator(Faces(method), wall)
    animator = Animator(Faces(method), wall[:32, :32])
    with pytest.raises(NoFaceError, match="no face found in the driving clip"):
        animator.step(wall)
    assert Animator(Faces(method), wall, crop="none").step(wall).shape == (*SIZE, 3)
    with pytest.raises(ConfigError, match="the animator crops auto or none, not '1,2,3,4'"):
        Animator(method, wall, crop="1,2,3,4")  # type: ignore[arg-type]


def test_modes_and_frames_are_checked(method, source) -> None:
    with pytest.raises(ConfigError, match="no motion transfer called 'relativ'") as caught:
        Animator(method, source, mode="relativ")
    assert caught.value.hint == "did you mean 'relative'?"
    with pytest.raises(ImageError, match=r"source must be uint8 \(height, width, 3\) RGB, not float64"):
        Animator(method, source / 255)
    with pytest.raises(ImageError, match="driving frame must be uint8"):
        Animator(method, source).step(source[..., 0])


def test_a_video_can_drive(method, source, scene: Scene) -> None:
    with stillmotion.open_video(scene.clip) as video:
        frames = list(Animator(method, source).animate(video))
    assert len(frames) == len(scene.frames)
