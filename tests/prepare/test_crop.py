from __future__ import annotations

import numpy as np
import pytest

from stillmotion.core.errors import CropError, ImageError, NoFaceError
from stillmotion.prepare import (
    Crop,
    Face,
    Haar,
    YuNet,
    crop_driving,
    crop_source,
    face_crop,
    main_face,
    parse_crop,
    whole_crop,
)
from stillmotion.prepare import crop as crop_module
from stillmotion.prepare.crop import LEAST_SIDE, RAISE, SAMPLES, source_crops


def test_the_whole_picture_is_untouched(coordinates):
    frame = coordinates(40, 60)
    assert np.array_equal(Crop(0, 0, 60, 40).apply(frame, (40, 60)), frame)


def test_a_box_of_the_wanted_size_is_a_slice(coordinates):
    frame = coordinates(80, 90)
    out = Crop(12, 7, 32, 32).apply(frame, (32, 32))
    assert np.array_equal(out, frame[7:39, 12:44])


@pytest.mark.parametrize(("x", "y"), [(-8, -4), (80, 70), (-8, 70)])
def test_outside_the_picture_the_edge_repeats(coordinates, x, y):
    frame = coordinates(80, 90)
    out = Crop(x, y, 32, 32).apply(frame, (32, 32))
    rows, columns = np.clip(np.arange(y, y + 32), 0, 79), np.clip(np.arange(x, x + 32), 0, 89)
    assert np.array_equal(out, frame[np.ix_(rows, columns)])


def test_a_box_larger_than_the_picture(coordinates):
    out = Crop(-20, -20, 80, 80).apply(coordinates(40, 40), (80, 80))
    assert (out[:20, :20] == (0, 0, 0)).all()
    assert (out[-20:, -20:] == (39, 39, 0)).all()


def test_a_huge_box_takes_little_memory_and_stays_in_place(coordinates, monkeypatch):
    frame, crop = coordinates(200, 200), Crop(-300, -500, 1200, 1200)
    exact = crop.apply(frame, (64, 64)).astype(int)
    largest = []
    monkeypatch.setattr(crop_module, "MOST_PIXELS", 500 * 500)
    real = crop_module.cv2.copyMakeBorder
    monkeypatch.setattr(
        crop_module.cv2, "copyMakeBorder", lambda *a: largest.append(real(*a)) or largest[-1], raising=True
    )
    assert np.abs(crop.apply(frame, (64, 64)).astype(int) - exact).max() <= 4
    assert largest[0].shape == (400, 400, 3)


def test_shrinking_does_not_alias():
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(Crop(3, 3, 96, 96).apply(stripes, (24, 24)).astype(int) - 127.5).max() <= 1


def test_a_square_stays_square_in_whole_pixels():
    assert Crop(10.5, 3.49, 100.4, 100.4).pixels == (10, 3, 100, 100)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("auto", "auto"),
        (" None ", "none"),
        ("1,2,30,40", Crop(1, 2, 30, 40)),
        ("-1.5, 2, 30,4e1", Crop(-1.5, 2, 30, 40)),
    ],
)
def test_parse(text, want):
    assert parse_crop(text) == want


@pytest.mark.parametrize("text", ["", "face", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4"])
def test_parse_says_what_it_wants(text):
    with pytest.raises(CropError, match="neither auto, none nor x,y,w,h") as caught:
        parse_crop(text)
    assert "left, top, width, height" in caught.value.hint


@pytest.mark.parametrize("text", ["1,2,0,5", "1,2,5,-5", "1,2,nan,5", "inf,2,5,5"])
def test_a_box_without_area_is_an_error(text):
    with pytest.raises(CropError, match="has no area"):
        parse_crop(text)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        (Crop(90, 0, 32, 32), r"crop 90,0,32,32 in a picture of 90x80 pixels \(width x height\) lies outside"),
        (Crop(0, -32, 32, 32), "lies outside"),
        (Crop(5, 5, 3, 30), "is below 16 pixels"),
        (Crop(-500, -500, 5000, 5000), "more than 8 times as large"),
    ],
)
def test_a_box_that_does_not_fit_is_named(crop, message, coordinates, make_spec):
    with pytest.raises(CropError, match=message):
        crop.apply(coordinates(80, 90), (32, 32))
    with pytest.raises(CropError, match=message):
        crop_source(coordinates(80, 90), make_spec(), request=crop)


def test_aspect_is_grown_about_the_centre():
    assert Crop(10, 20, 40, 20).with_aspect((64, 64)) == Crop(10, 10, 40, 40)
    assert Crop(10, 20, 40, 20).with_aspect((20, 80)) == Crop(-10, 20, 80, 20)


def test_whole_crop_is_the_largest_centred_box():
    assert whole_crop((100, 160)) == Crop(30, 0, 100, 100)
    assert whole_crop((100, 160), (32, 64)) == Crop(0, 10, 160, 80)


def test_face_crop_contract():
    face = Face(box=(100, 80, 60, 80), score=1.0)
    crop = face_crop(face, 2.0)
    assert (crop.w, crop.h) == (160, 160)
    assert crop.x + crop.w / 2 == 130
    assert crop.y + crop.h / 2 == pytest.approx(120 - RAISE * 80)
    wide = face_crop(face, 2.0, size=(32, 64))
    assert (wide.w, wide.h) == (320, 160)


def test_moved_into_slides_only_so_far():
    assert Crop(-5, 10, 100, 100).moved_into((200, 200)) == Crop(0, 10, 100, 100)
    assert Crop(-50, 120, 100, 100).moved_into((200, 200)) == Crop(-40, 110, 100, 100)
    assert Crop(-5, 10, 100, 100).moved_into((200, 90)) == Crop(-5, 10, 100, 100)


def test_source_auto_follows_the_face(coordinates, told, make_spec):
    frame = coordinates(400, 400)
    crop = crop_source(frame, make_spec(), detector=told((150, 150, 60, 80)))
    assert crop == face_crop(Face(box=(150, 150, 60, 80), score=0.9), 2.0)


def test_none_and_whole_never_ask_for_a_face(coordinates, told, make_spec):
    frame, detector = coordinates(100, 160), told(None)
    assert crop_source(frame, make_spec(), request="none", detector=detector) == Crop(30, 0, 100, 100)
    assert crop_source(frame, make_spec(crop="whole"), detector=detector) == Crop(30, 0, 100, 100)
    assert crop_driving([frame], make_spec(crop="whole"), detector=detector) == Crop(30, 0, 100, 100)
    assert detector.calls == 0


def test_a_box_of_ones_own_keeps_the_aspect(coordinates, told, make_spec):
    box = Crop(10, 20, 80, 40)
    for found in (
        crop_source(coordinates(100, 160), make_spec(), request=box, detector=told(None)),
        crop_driving([coordinates(100, 160)], make_spec(), request=box, detector=told(None)),
    ):
        assert found == Crop(10, 0, 80, 80)


def test_no_face_is_one_error_with_three_ways_out(coordinates, told, make_spec):
    with pytest.raises(NoFaceError, match=r"no face found in the source \(160x100 pixels\)") as caught:
        crop_source(coordinates(100, 160), make_spec(), detector=told(None))
    for way in ("--crop none", "--crop x,y,w,h", "STILLMOTION_FACE_MODEL"):
        assert way in caught.value.hint
    with pytest.raises(NoFaceError, match=r"no face found in the driving clip \(3 frames looked at\)"):
        crop_driving([coordinates(100, 160)] * 3, make_spec(), detector=told(None))


class Upright:
    """Sees a face where the brightest corner is at the top left, with its points if it has any."""

    def __init__(self, points: tuple[tuple[float, float], ...] | None) -> None:
        self.points = points

    def find(self, frame: np.ndarray) -> list[Face]:
        return [Face(box=(0, 0, 40, 40), score=0.9, points=self.points)] if frame[0, 0].sum() > 600 else []


@pytest.mark.parametrize(
    ("corner", "words"),
    [((-1, 0), "90 degrees clockwise"), ((0, -1), "90 degrees counterclockwise"), ((-1, -1), "upside down")],
)
def test_a_picture_on_its_side_is_said_to_be(make_spec, corner, words):
    frame = np.zeros((100, 160, 3), np.uint8)
    frame[corner] = 255
    said = f"but there is one when it is turned {words}: turn it first"
    with pytest.raises(NoFaceError, match=rf"no face found in the source \(160x100 pixels\), {said}"):
        crop_source(frame, make_spec(), detector=Upright(((1.0, 1.0),)))
    with pytest.raises(NoFaceError, match=said):
        crop_driving([frame] * 2, make_spec(), detector=Upright(((1.0, 1.0),)))
    with pytest.raises(NoFaceError) as unsure:
        crop_source(frame, make_spec(), detector=Upright(None))
    assert "turned" not in unsure.value.message


def test_each_face_of_a_picture_has_its_crop_the_largest_first(coordinates, make_spec):
    class Several:
        def find(self, frame: np.ndarray) -> list[Face]:
            return [Face(box=(x, 150, side, side), score=0.9) for x, side in ((100, 40), (300, 60), (500, 50))]

    frame = coordinates(400, 700)
    crops = source_crops(frame, make_spec(), detector=Several())
    assert [round(crop.w) for crop in crops] == [120, 100, 80]
    assert crops[0] == crop_source(frame, make_spec(), detector=Several())
    assert source_crops(frame, make_spec(), request="none", detector=Several()) == [Crop(150, 0, 400, 400)]


def test_no_face_with_the_default_detector(make_spec, monkeypatch):
    monkeypatch.delenv("STILLMOTION_FACE_MODEL", raising=False)
    with pytest.raises(NoFaceError, match="no face found in the source"):
        crop_source(np.full((64, 64, 3), 128, dtype=np.uint8), make_spec())


@pytest.mark.parametrize("shape", [(1, 1, 3), (LEAST_SIDE - 1, 400, 3)])
@pytest.mark.parametrize("request_", ["auto", "none"])
def test_tiny_pictures_are_refused(shape, request_, told, make_spec):
    frame = np.zeros(shape, dtype=np.uint8)
    message = f"a picture of {shape[1]}x{shape[0]} pixels .* is too small to crop"
    with pytest.raises(CropError, match=message):
        crop_source(frame, make_spec(), request=request_, detector=told(None))
    with pytest.raises(CropError, match=message):
        crop_driving([frame], make_spec(), request=request_, detector=told(None))


def test_odd_requests_are_named(coordinates, make_spec):
    with pytest.raises(CropError, match="unknown crop 'face'"):
        crop_source(coordinates(64, 64), make_spec(), request="face")
    with pytest.raises(ImageError, match="must be uint8"):
        crop_source(np.zeros((64, 64)), make_spec())
    with pytest.raises(CropError, match="has no frames"):
        crop_driving([], make_spec())


def test_one_driving_frame_is_cropped_like_a_source(coordinates, told, make_spec):
    frame = coordinates(400, 400)
    for margin in (1.0, 1.8):
        spec = make_spec(margin=margin)
        detector = told((150, 150, 60, 80))
        assert crop_driving([frame], spec, detector=detector) == crop_source(frame, spec, detector=detector)


def test_driving_ignores_outliers_and_gaps(coordinates, told, make_spec):
    frames = [coordinates(400, 600)] * 6
    steady = (200.0, 150.0, 60.0, 80.0)
    calm = crop_driving(frames, make_spec(), detector=told(steady))
    shaken = crop_driving(
        frames, make_spec(), detector=told(steady, None, steady, (500, 20, 60, 80), steady, (200, 150, 9, 9))
    )
    assert shaken == calm


def test_driving_holds_a_face_that_travels(coordinates, told, make_spec):
    boxes = [(200.0 + 10 * step, 150.0, 60.0, 80.0) for step in range(12)]
    crop = crop_driving([coordinates(400, 600)] * 12, make_spec(margin=1.2), detector=told(*boxes))
    assert crop.x <= 200
    assert crop.x + crop.w >= 200 + 110 + 60
    assert crop.w == pytest.approx(crop.h)
    assert crop.w == pytest.approx(1.15 * 170)


def test_a_face_in_too_few_frames_is_a_false_alarm(coordinates, told, make_spec):
    with pytest.raises(NoFaceError, match="the same one in 1 of 10 frames looked at"):
        crop_driving([coordinates(200, 200)] * 10, make_spec(), detector=told((80, 80, 40, 40), *[None] * 9))


@pytest.mark.parametrize("length", [1, 25, 26, 100, 2000])
def test_driving_streams_and_looks_at_few_frames(coordinates, told, make_spec, length):
    frame, detector, seen = coordinates(64, 64), told((20, 20, 20, 20)), 0

    def stream():
        nonlocal seen
        for _ in range(length):
            seen += 1
            yield frame

    crop_driving(stream(), make_spec(), detector=detector)
    assert seen == length
    assert detector.calls <= SAMPLES + 13 * max(0, np.ceil(np.log2(length / SAMPLES)))


def test_without_a_face_contract_only_the_first_frame_is_taken(coordinates, make_spec):
    def stream():
        yield coordinates(64, 64)
        raise AssertionError("read on")

    assert crop_driving(stream(), make_spec(), request="none") == Crop(0, 0, 64, 64)


def test_real_clips_crop_alike_with_both_detectors(face_model, grid_clips, make_spec):
    yunet, haar, spec = YuNet(face_model), Haar(), make_spec(margin=1.8)
    for frames in grid_clips.values():
        a = crop_driving(iter(frames), spec, detector=yunet)
        b = crop_driving(iter(frames), spec, detector=haar)
        assert a.w == pytest.approx(b.w, rel=0.1)
        assert (b.x + b.w / 2, b.y + b.h / 2) == pytest.approx((a.x + a.w / 2, a.y + a.h / 2), abs=0.06 * a.w)
        for frame in frames:  # the whole face, with room for hair, in every frame
            x, y, w, h = main_face(yunet.find(frame)).box
            assert a.x < x
            assert x + w < a.x + a.w
            assert a.y < y - 0.3 * h
            assert y + h < a.y + a.h
