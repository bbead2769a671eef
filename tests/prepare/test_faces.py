from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import ImageError, WeightsError
from stillmotion.prepare import Face, Haar, YuNet, default_detector, faces, main_face
from stillmotion.prepare.faces import FACE_MODEL_VARIABLE


def test_main_face_weighs_area_with_score():
    small = Face(box=(0, 0, 10, 10), score=0.9)
    large = Face(box=(0, 0, 20, 20), score=0.8)
    doubtful = Face(box=(0, 0, 22, 22), score=0.1)
    assert main_face([small, doubtful, large]) is large
    assert main_face([]) is None


def test_side_and_centre():
    face = Face(box=(10.0, 20.0, 30.0, 40.0), score=1.0)
    assert face.side == 40.0
    assert face.centre == (25.0, 40.0)


@pytest.mark.parametrize("shape", [(96, 128, 3), (1, 1, 3), (2000, 40, 3)])
def test_haar_finds_nothing_in_plain_pictures(shape):
    assert Haar().find(np.full(shape, 90, dtype=np.uint8)) == []


def test_a_detector_wants_a_frame():
    with pytest.raises(ImageError, match="must be uint8"):
        Haar().find(np.zeros((4, 4)))


def test_haar_without_a_model(monkeypatch):
    monkeypatch.delenv(FACE_MODEL_VARIABLE, raising=False)
    assert isinstance(default_detector(), Haar)


def test_a_missing_model_is_not_replaced_silently(tmp_path, monkeypatch):
    monkeypatch.setenv(FACE_MODEL_VARIABLE, str(tmp_path / "none.onnx"))
    with pytest.raises(WeightsError, match="does not exist") as caught:
        default_detector()
    assert FACE_MODEL_VARIABLE in caught.value.hint


def test_a_broken_model_is_one_clear_error(tmp_path, capfd):
    path = tmp_path / "broken.onnx"
    path.write_text("<html>not a model</html>")
    with pytest.raises(WeightsError, match="cannot be read as YuNet") as caught:
        default_detector(path)
    assert "yunet_n_640_640.onnx" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_the_dynamic_export_is_refused_with_the_way_out(face_model, capfd):
    with pytest.raises(WeightsError, match="cannot be read as YuNet") as caught:
        YuNet(face_model.with_name("yunet_n_dynamic.onnx"))
    assert "fixed input" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_yunet_comes_from_the_environment(face_model, monkeypatch):
    monkeypatch.setenv(FACE_MODEL_VARIABLE, str(face_model))
    assert isinstance(default_detector(), YuNet)


def test_both_detectors_agree_on_real_clips(face_model, grid_clips):
    yunet, haar = YuNet(face_model), Haar()
    ratios, offsets = [], []
    for frames in grid_clips.values():
        for frame in frames:
            ours, theirs = main_face(haar.find(frame)), main_face(yunet.find(frame))
            assert ours is not None
            assert theirs is not None
            ratios.append(ours.side / theirs.side)
            offsets.append(np.subtract(ours.centre, theirs.centre) / theirs.side)
    assert 0.95 < np.median(ratios) < 1.05
    assert min(ratios) > 0.85
    assert max(ratios) < 1.15
    assert np.abs(np.median(offsets, axis=0)).max() < 0.04
    assert np.abs(offsets).max() < 0.12


def test_yunet_points_are_eyes_nose_mouth(face_model, grid_clips):
    face = main_face(YuNet(face_model).find(next(iter(grid_clips.values()))[0]))
    right_eye, left_eye, nose, right_mouth, left_mouth = face.points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
    x, y, w, h = face.box
    assert all(x < px < x + w and y < py < y + h for px, py in face.points)


@pytest.mark.parametrize("factor", [0.5, 4])
def test_boxes_scale_with_the_picture(face_model, grid_clips, factor):
    frame = next(iter(grid_clips.values()))[0]
    large = np.repeat(np.repeat(frame, 4, axis=0), 4, axis=1) if factor == 4 else np.ascontiguousarray(frame[::2, ::2])
    for detector in (YuNet(face_model), Haar()):
        one, other = main_face(detector.find(frame)), main_face(detector.find(large))
        assert other.side / one.side == pytest.approx(factor, rel=0.12)
        assert np.subtract(other.centre, np.multiply(one.centre, factor)) == pytest.approx(
            (0, 0), abs=0.12 * other.side
        )


def test_small_faces_in_large_pictures_are_found(face_model, grid_clips):
    canvas = np.full((1200, 2000, 3), 120, dtype=np.uint8)
    frame = next(iter(grid_clips.values()))[0][::2, ::2]
    canvas[700 : 700 + frame.shape[0], 900 : 900 + frame.shape[1]] = frame
    for detector in (YuNet(face_model), Haar()):
        want, seen = main_face(detector.find(np.ascontiguousarray(frame))), main_face(detector.find(canvas))
        assert seen is not None
        assert np.subtract(seen.centre, want.centre) == pytest.approx((900, 700), abs=8)
        assert seen.side == pytest.approx(want.side, rel=0.25)


def test_the_profile_pass_looks_both_ways(grid_clips, monkeypatch):
    monkeypatch.setattr(faces, "_PASSES", tuple(step for step in faces._PASSES if step.mirrored))
    haar, seen = Haar(), 0
    for frame in (frames[0] for frames in grid_clips.values()):
        there = sorted(face.box for face in haar.find(frame))
        back = haar.find(np.ascontiguousarray(frame[:, ::-1]))
        assert sorted((frame.shape[1] - f.box[0] - f.box[2], *f.box[1:]) for f in back) == [
            pytest.approx(box) for box in there
        ]
        seen += len(there)
    assert seen > 0
