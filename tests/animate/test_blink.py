"""Blinks with the weights that ship: photo, driver, motion file, and who cannot blink."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import stillmotion
from stillmotion.core.errors import MotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.core.motion import Keypoints, transfer
from stillmotion.prepare.crop import crop_source
from stillmotion.prepare.faces import main_face
from stillmotion.prepare.lids import Lids
from stillmotion.session.blink import open_blink, open_eyes, seen
from stillmotion.session.driving import open_driving
from stillmotion.session.faces import face_detector, open_landmarker
from stillmotion.session.hold import blend
from stillmotion.session.motionfile import MotionClip
from stillmotion.video.write import VideoWriter

PHOTO = Path(stillmotion.__file__).parent / "example" / "astronaut.jpg"


@pytest.fixture(scope="module")
def method() -> Method:
    return stillmotion.load()


@pytest.fixture(scope="module")
def photo(method: Method) -> Frame:
    picture = stillmotion.read_image(PHOTO)
    return crop_source(picture, method.spec, detector=face_detector()).apply(picture, method.spec.size)


@pytest.fixture(scope="module")
def shut(photo: Frame) -> Frame:
    """The same photo with its eyes shut."""
    landmarker = open_landmarker(threads=1)
    face = main_face(landmarker.find(photo))
    assert face is not None
    return Lids(photo, landmarker.refine(photo, face)).shut(1, 1)


def test_open_and_shut_eyes_are_told_apart(method: Method, photo: Frame, shut: Frame) -> None:
    eyes = open_eyes(method)
    assert eyes is not None
    open_lids, shut_lids = (seen(eyes, method.read(frame[None])[0], frame).lids for frame in (photo, shut))
    assert open_lids.min() > 0.2
    assert shut_lids.max() < 0.5 * open_lids.min()


def test_the_photo_blinks_with_its_driver(method: Method, photo: Frame, shut: Frame) -> None:
    animator, plain = stillmotion.Animator(method, photo), stillmotion.Animator(method, photo, blink=False)
    for one in (animator, plain):
        one.step(photo)
    rest, blinking, without = animator.step(photo), animator.step(shut), plain.step(shut)
    eyes = open_eyes(method)
    open_lids, shut_lids, kept = (
        seen(eyes, method.read(frame[None])[0], frame).lids.mean() for frame in (rest, blinking, without)
    )
    assert shut_lids < 0.55 * open_lids, "the result's eyes are shut"
    assert kept > 0.7 * open_lids, "without the lids being drawn they are not"
    assert np.array_equal(animator.step(photo), rest), "and open again"


def test_a_driver_who_rests_with_shut_eyes_does_not_open_the_photos(method: Method, photo: Frame, shut: Frame) -> None:
    animator = stillmotion.Animator(method, photo)
    first = animator.step(shut)
    assert np.abs(first.astype(int) - stillmotion.Animator(method, photo, blink=False).step(shut)).max() == 0


def test_lids_go_through_a_motion_file(method: Method, photo: Frame, shut: Frame, tmp_path: Path) -> None:
    clip = tmp_path / "blink.mkv"
    with VideoWriter(clip, fps=Fraction(10), size=(256, 256)) as writer:
        for i, frame in enumerate((photo, shut, photo)):
            writer.write(frame, Fraction(i, 10))
    motion = stillmotion.read_motion(clip, tmp_path / "blink.safetensors", crop="none")
    again = MotionClip.open(tmp_path / "blink.safetensors")
    assert again.arrays["lids"].shape == (3, 2)
    assert again[1].lids.mean() < 0.6 * again[0].lids.mean()
    with open_driving(again, method) as driving:
        assert [moment.motion.lids is not None for moment in driving] == [True] * 3
    assert motion is not None
    with pytest.raises(MotionError, match="do not fit together"):
        replace(again, arrays=dict(again.arrays) | {"lids": np.zeros((3, 1), np.float32)})


def test_motion_without_lids_still_animates(method: Method, photo: Frame) -> None:
    animator = stillmotion.Animator(method, photo)
    motion = method.read(photo[None])[0]
    assert motion.lids is None
    assert animator.render(animator.transfer(motion)).frames.shape == (1, 256, 256, 3)


def test_weights_without_marks_and_pictures_without_a_face_do_not_blink(method: Method, tiny_bundle: Path) -> None:
    tiny = stillmotion.load(tiny_bundle)
    assert open_eyes(tiny) is None
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    state = method.encode([noise])
    own = seen(open_eyes(method), method.source_motion(state), noise)
    assert open_blink(method, state, own, noise) is None


def test_lids_in_transfer_and_fading() -> None:
    def keypoints(*lids: float) -> Keypoints:
        return Keypoints(np.zeros((4, 2)), lids=np.array(lids))

    source, reference = keypoints(0.4, 0.3), keypoints(0.25, 0.25)
    moved = transfer(source, keypoints(0.125, 0.5), reference, scale=1.0)
    np.testing.assert_allclose(moved.lids, [0.2, 0.3], atol=1e-6)
    assert transfer(source, keypoints(0.1, 0.1), reference, mode="absolute").lids.tolist() == pytest.approx([0.1, 0.1])
    asleep = transfer(source, keypoints(0.1, 0.2), keypoints(0.0, 0.0), scale=1.0)
    np.testing.assert_allclose(asleep.lids, [0.4 / 1.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(blend(source, keypoints(0.0, 0.1), 0.5).lids, [0.2, 0.2], atol=1e-6)
    with pytest.raises(MotionError, match=r"keypoints\.lids must have shape"):
        Keypoints(np.zeros((4, 2)), lids=np.zeros(3))
