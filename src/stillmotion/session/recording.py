"""The story's first half alone: a driving becomes motion, motion becomes a motion file."""

from __future__ import annotations

from pathlib import Path

from stillmotion.core.method import Method
from stillmotion.methods import EngineName, load
from stillmotion.session.driving import Rate, open_driving
from stillmotion.session.expression import FaceWatch
from stillmotion.session.faces import open_landmarker
from stillmotion.session.inputs import CropChoice, File, check_output, face_detector
from stillmotion.session.meter import Meter, Progress
from stillmotion.session.motionfile import check_motion_name
from stillmotion.session.report import Report


def read_motion(
    driving: File,
    output: File,
    *,
    weights: File | None = None,
    engine: EngineName = "auto",
    device: str | None = None,
    method: Method | None = None,
    crop: CropChoice = "auto",
    face_model: File | None = None,
    openness: bool = False,
    fps: Rate | None = None,
    progress: Progress | None = None,
) -> Report:
    """Save the motion of a clip as numbers: a motion file drives as the clip does, bit for bit.

    Args:
        driving: Clip, animated picture or folder of frames.
        output: Motion file to write, `.safetensors`; only the same weights can use it.
        weights: See `animate`, and there `engine`, `device`, `method`, `face_model` and `fps`.
        engine: See `animate`.
        device: See `animate`.
        method: See `animate`.
        crop: `crop_driving` of `animate`.
        face_model: See `animate`.
        openness: Also report how far mouth and eyes open, which costs a few milliseconds a frame.
        fps: See `animate`.
        progress: See `animate`.

    Raises:
        StillmotionError: Some input or output cannot be used; see the subclasses.
    """
    check_motion_name(Path(output))
    check_output(output, driving)
    meter, detector = Meter(progress), face_detector(face_model)
    method = method or load(weights, engine=engine, device=device)
    faces = FaceWatch(open_landmarker()) if openness else None
    with open_driving(driving, method, crop=crop, detector=detector, fps=fps) as driven:
        moments = meter.watch(driven)
        clip = driven.record(faces.watch(moments) if faces else moments)
        clip.save(output)
        return Report(
            **meter.facts(method, driven),
            **(faces.facts() if faces else {}),
            output=str(output),
            frames=len(clip),
            audio="none: a motion file holds no sound" if driven.sound else "none",
            warnings=driven.warnings,
        )
