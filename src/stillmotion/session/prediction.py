"""The story without a driving: a picture's own keypoints, continued by a network that learned how things move."""

from __future__ import annotations

from fractions import Fraction

from stillmotion.animate import animate
from stillmotion.core.errors import MotionError
from stillmotion.core.method import Method
from stillmotion.methods import EngineName, load
from stillmotion.session.inputs import CropChoice, File, check_output, face_detector, open_source
from stillmotion.session.meter import Progress
from stillmotion.session.motionfile import MotionClip
from stillmotion.session.report import Report

FPS = Fraction(25)
"""Frames per second of a predicted clip, which no camera timed."""


def predict_motion(
    source: File,
    *,
    weights: File | None = None,
    engine: EngineName = "auto",
    device: str | None = None,
    method: Method | None = None,
    crop: CropChoice = "auto",
    face_model: File | None = None,
) -> MotionClip:
    """A motion that could follow from a picture.

    Args:
        source: Picture.
        weights: See `animate`, and there `engine`, `device`, `method` and `face_model`.
        engine: See `animate`.
        device: See `animate`.
        method: See `animate`.
        crop: `crop_source` of `animate`.
        face_model: See `animate`.

    Raises:
        MotionError: The method, or these weights, cannot predict.
        StillmotionError: Some input cannot be used; see the subclasses.
    """
    method = method or load(weights, engine=engine, device=device)
    foresee = getattr(method, "predict", None)
    if foresee is None:
        raise MotionError(f"{method.spec.name} cannot predict motion", hint="use weights of monkey-net, or a driving")
    still = open_source(source, method.spec, crop=crop, detector=face_detector(face_model))
    motions = foresee(method.source_motion(method.encode([still.frame])))
    times = [Fraction(i) / FPS for i in range(len(motions))]
    return MotionClip.of(motions, times, fps=FPS, spec=method.spec, crop=str(still.crop))


def predict(
    source: File,
    output: File,
    *,
    weights: File | None = None,
    engine: EngineName = "auto",
    device: str | None = None,
    crop: CropChoice = "auto",
    face_model: File | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring a picture to life undriven, and write the video; parameters and errors as in `predict_motion`."""
    check_output(output, source)
    method = load(weights, engine=engine, device=device)
    clip = predict_motion(source, method=method, crop=crop, face_model=face_model)
    return animate(
        source,
        clip,
        output,
        method=method,
        motion="absolute",
        crop_source=crop,
        face_model=face_model,
        progress=progress,
    )
