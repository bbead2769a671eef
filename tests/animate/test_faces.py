"""The face networks that ship, on what ships with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import stillmotion
from stillmotion import weights
from stillmotion.core.errors import WeightsError
from stillmotion.core.frame import Frame
from stillmotion.prepare import Face, Haar, main_face
from stillmotion.prepare.faces import FACE_MODEL_VARIABLE
from stillmotion.prepare.landmarks import MIRRORED, Landmarker, openness
from stillmotion.session.expression import FaceWatch
from stillmotion.session.faces import ShippedFaces, face_detector, landmarks68, open_landmarker, quick_face_detector
from stillmotion.session.inputs import open_source
from stillmotion.video.image import read_image

PHOTO = Path(stillmotion.__file__).parent / "example" / "astronaut.jpg"
KNOWN = ((202.4, 101.0), (247.6, 103.2), (225.4, 126.4), (204.0, 140.0), (244.0, 141.6))
"""Eyes, nose tip and mouth corners of the example photo, marked by hand, pixels."""


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return open_landmarker(threads=1)


@pytest.fixture(scope="module")
def photo() -> Frame:
    return read_image(PHOTO)


def test_the_weights_are_small_and_their_card_says_what_they_are():
    assert sum(path.stat().st_size for path in weights.FACE.iterdir()) <= 3_000_000
    card = json.loads((weights.FACE / "model.json").read_text())
    assert card["licence"] == "MIT"
    assert {"data", "credit", "recipe", "checksums"} <= set(card)
    assert weights.FACE.name not in weights.shipped(), "it moves nothing"


def test_the_example_photo_has_one_face_with_its_parts_in_place(landmarker, photo):
    (face,) = landmarker.find(photo)
    eyes = [np.array(point) for point in face.points[:2]]
    between = np.linalg.norm(eyes[1] - eyes[0])
    for found, true in zip(face.points, KNOWN, strict=True):
        assert np.linalg.norm(np.array(found) - true) < 0.12 * between
    assert face.score > 0.9


def test_the_same_picture_gives_the_same_points(landmarker, photo):
    first, second = landmarker.find(photo)[0], open_landmarker(threads=1).find(photo)[0]
    np.testing.assert_array_equal(first.landmarks, second.landmarks)


def test_a_mirrored_picture_gives_mirrored_points(landmarker, photo):
    face, other = (landmarker.find(p)[0] for p in (photo, np.ascontiguousarray(photo[:, ::-1])))
    back = (np.array([photo.shape[1], 0]) + other.landmarks * [-1, 1])[MIRRORED]
    assert np.linalg.norm(back - face.landmarks, axis=1).mean() < 0.03 * face.side


@pytest.mark.parametrize("angle", [-30, 20])
def test_a_tilted_head_is_found(landmarker, photo, angle):
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    face = main_face(landmarker.find(cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)))
    straight = landmarker.find(photo)[0].landmarks
    turned = straight @ matrix[:, :2].T + matrix[:, 2]
    assert np.linalg.norm(face.landmarks - turned, axis=1).mean() < 0.06 * face.side


@pytest.mark.parametrize("kind", ["plain", "noise", "stripes", "blobs"])
def test_nothing_is_found_where_nothing_is(landmarker, kind):
    rng = np.random.default_rng(3)
    small = {"noise": rng.integers(0, 256, (240, 320, 3)), "blobs": rng.integers(0, 256, (9, 12, 3))}
    picture = small.get(kind, np.full((240, 320, 3), 90)).astype(np.uint8)
    if kind == "stripes":
        picture[:, ::12] = 220
    assert landmarker.find(cv2.resize(picture, (320, 240), interpolation=cv2.INTER_CUBIC)) == []


@pytest.mark.parametrize("size", [(1, 1), (40, 900), (2000, 30)])
def test_odd_sizes_are_no_faces_and_no_errors(landmarker, size):
    assert landmarker.find(np.full((*size, 3), 128, np.uint8)) == []


def test_her_eyes_are_open(landmarker, photo):
    seen = openness(landmarker.find(photo)[0].landmarks)
    assert seen.right_eye > 0.15
    assert seen.left_eye > 0.15


class Told:
    """A detector that always says the same."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def find(self, frame: Frame) -> list[Face]:
        return self.faces


def test_haars_box_stands_where_the_network_agrees(photo):
    (face,) = ShippedFaces().find(photo)
    (haar,) = Haar().find(photo)
    assert face.box == haar.box
    assert np.linalg.norm(np.array(face.points[2]) - KNOWN[2]) < 8, "with the network's points"
    assert face.landmarks.shape == (68, 2)


def test_tilted_heads_are_found_though_haar_sees_none(photo):
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D((225, 120), 35, 1.0)
    tilted = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    nose = turn @ np.array([*KNOWN[2], 1.0])
    (face,) = ShippedFaces().find(tilted)
    assert np.linalg.norm(np.array(face.points[2]) - nose) < 10


def test_what_the_network_is_sure_of_outweighs_what_it_does_not_see(photo, monkeypatch):
    alarm = Face(box=(10.0, 400.0, 40.0, 50.0), score=0.4)
    monkeypatch.setattr("stillmotion.session.faces.Haar", lambda: Told(alarm))
    for score, told in ((0.99, "network"), (0.92, "Haar")):
        seen = Face(box=(200.0, 80.0, 60.0, 80.0), score=score)
        monkeypatch.setattr(Landmarker, "find", lambda self, frame, seen=seen: [seen])
        assert ShippedFaces().find(photo) == [seen if told == "network" else alarm]


def test_without_haar_a_doubtful_face_is_none(photo, monkeypatch):
    monkeypatch.setattr("stillmotion.session.faces.Haar", lambda: Told())
    monkeypatch.setattr(Landmarker, "find", lambda self, frame: [Face(box=(10.0, 400.0, 40.0, 50.0), score=0.92)])
    assert ShippedFaces().find(photo) == []


def test_the_watch_measures_mouths_and_finds_the_closest_pose(photo):
    class Pictured:
        def __init__(self, picture: Frame | None) -> None:
            self.picture = picture

    blank = np.full_like(photo, 90)
    turned = cv2.warpAffine(photo, cv2.getRotationMatrix2D((225, 120), 12, 1.0), photo.shape[1::-1])
    watch = FaceWatch(open_landmarker(threads=1))
    shown = [Pictured(picture) for picture in (turned, photo, blank, None)]
    assert list(watch.watch(shown)) == shown
    assert [points is None for points in watch.marks] == [False, False, True, True]
    assert watch.closest(photo) == 1
    assert watch.closest(blank) is None
    facts = watch.facts()
    assert facts["eyes"].least <= facts["eyes"].median <= facts["eyes"].most
    assert FaceWatch(open_landmarker(threads=1)).facts() == {}


def test_landmarks68_gives_points_or_none(photo):
    find = landmarks68(threads=1)
    points = find(photo)
    assert (points.shape, points.dtype) == ((68, 2), np.float32)
    assert find(np.full((64, 64, 3), 90, np.uint8)) is None


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "face"
    folder.mkdir()
    for path in weights.FACE.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with (folder / "faces.onnx").open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(weights, "FACE", folder)
    with pytest.raises(WeightsError, match=r"face/faces\.onnx is not the file its card describes"):
        open_landmarker()


def test_both_together_are_the_default_and_haar_is_a_word(monkeypatch):
    monkeypatch.delenv(FACE_MODEL_VARIABLE, raising=False)
    assert isinstance(face_detector(), ShippedFaces)
    assert isinstance(face_detector("haar"), Haar)
    monkeypatch.setenv(FACE_MODEL_VARIABLE, "haar")
    assert isinstance(face_detector(), Haar)
    monkeypatch.setenv(FACE_MODEL_VARIABLE, "/no/such/file.onnx")
    with pytest.raises(WeightsError, match="does not exist"):
        face_detector()


def test_a_camera_is_watched_by_the_networks_alone(photo, monkeypatch):
    monkeypatch.delenv(FACE_MODEL_VARIABLE, raising=False)
    assert isinstance(quick_face_detector(), Landmarker)
    assert len(quick_face_detector().find(photo)) == 1
    assert isinstance(quick_face_detector("haar"), Haar)


def test_a_group_photo_says_where_the_other_faces_are(photo, tiny_bundle):
    group = np.concatenate([photo, photo], axis=1)
    spec = replace(stillmotion.load(tiny_bundle).spec, crop="face", margin=1.8)
    still = open_source(group, spec, detector=ShippedFaces())
    assert len(still.others) == 1
    (said,) = still.warnings
    assert said.startswith("the picture shows 2 faces, and the largest is animated; another is at --crop-source=")
    box = said.rpartition("=")[2]
    other = open_source(group, spec, crop=box)
    assert other.crop.pixels == still.others[0].pixels
    assert other.warnings == ()
    assert open_source(photo, spec, detector=ShippedFaces()).warnings == ()
