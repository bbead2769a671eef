"""The story: a source and a driving become motion, motion becomes frames, frames become a file.

    driving ──read──▶ motion ──transfer──▶ motion ──render──▶ frame ──compose──▶ frame ──write──▶ file
    source ──crop──▶ encode ────────────────────────┘

Frames stream: nothing here ever holds a whole video.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TypeAlias

import numpy as np

from stillmotion.animator import Animator
from stillmotion.compose import Composer, Show
from stillmotion.core.errors import OutputError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.method import Method
from stillmotion.core.motion import Mode
from stillmotion.driving import Rate, ReferenceRequest, choose_reference, open_driving
from stillmotion.meter import Meter, Progress, noting_what_is_kept
from stillmotion.methods import EngineName, load
from stillmotion.motionfile import MotionClip, check_motion_name
from stillmotion.prepare.crop import Crop, CropRequest, parse_crop
from stillmotion.prepare.crop import crop_source as choose_crop
from stillmotion.prepare.faces import default_detector
from stillmotion.prepare.reference import mismatch_warning, pose_mismatch
from stillmotion.prepare.smooth import OneEuro
from stillmotion.report import Report
from stillmotion.video.image import Source, read_image
from stillmotion.video.target import check_folder
from stillmotion.video.write import VideoWriter

File: TypeAlias = str | Path


def animate(
    source: Source | Frame,
    driving: File | MotionClip,
    output: File,
    *,
    weights: File | None = None,
    engine: EngineName = "auto",
    device: str | None = None,
    method: Method | None = None,
    motion: Mode = "relative",
    reference: ReferenceRequest = "first",
    crop_source: CropRequest | str = "auto",
    crop_driving: CropRequest | str = "auto",
    face_model: File | None = None,
    fps: Rate | None = None,
    paste_back: bool = False,
    side_by_side: bool = False,
    smooth: bool = False,
    show: Show | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a still picture move as a clip does, and write the video.

    Args:
        source: Picture: a path, bytes, a Pillow image or a frame `uint8 (h, w, 3)`.
        driving: Clip, animated picture, folder of frames, or motion (`.safetensors` from
            `read_motion`, or a `MotionClip`).
        output: `.mp4`, `.mov`, `.mkv`, `.webm`, `.gif`, or a folder for numbered pictures.
        weights: Name of shipped weights or path of a bundle; None takes the default ones.
        engine: `auto`, `openvino`, `onnx` or `torch`.
        device: For torch, such as `cuda`.
        method: A loaded method in place of `weights`, `engine` and `device`.
        motion: `relative` adds the driver's movement to the source's own pose; `absolute` copies
            the driver's pose.
        reference: Driving frame taken as rest pose: `first`, `auto` (closest to the source's pose;
            reads the clip once more) or an index from 0.
        crop_source: `auto` (what the weights need), `none` (largest centred box), or `x,y,w,h`.
        crop_driving: The same for the clip, one fixed box for all frames.
        face_model: YuNet file for `auto`; Haar cascades otherwise.
        fps: Frame rate of a folder of frames (25 unless given) or an animated picture.
        paste_back: Set the animated crop back into the full picture.
        side_by_side: Put source and driving to the left of the result.
        smooth: Take jitter off the driving motion.
        show: `keypoints`, `flow` or `occlusion`.
        progress: Called after each frame with frames done, frames expected (or None), and speed.

    Returns:
        What was done.

    Raises:
        StillmotionError: Some input or output cannot be used; see the subclasses.
        KeyboardInterrupt: Ctrl-C; what was done stays playable under the name in its note.
    """
    started = perf_counter()
    _check_output(output, source, driving)
    method = method or load(weights, engine=engine, device=device)
    detector = default_detector(face_model) if face_model else None
    picture = check_frame(source, name="source") if isinstance(source, np.ndarray) else read_image(source)
    crop = choose_crop(picture, method.spec, request=_request(crop_source), detector=detector)
    animator = Animator(
        method, crop.apply(picture, method.spec.size), mode=motion, smooth=OneEuro() if smooth else None
    )
    with open_driving(
        driving, method, crop=_request(crop_driving), detector=detector, fps=fps, has_pictures=side_by_side
    ) as driven:
        index, animator.reference = choose_reference(driven, animator.source, reference)
        composer = Composer(
            picture,
            crop,
            method.spec,
            paste_back=paste_back,
            side_by_side=side_by_side,
            show=show,
            has_driving=driven.has_pictures,
        )
        meter = Meter(progress)
        writer = VideoWriter(output, fps=driven.fps, size=composer.size, audio_from=driven.sound)
        with noting_what_is_kept(writer), writer:
            for moment in meter.watch(driven):
                performed = animator.transfer(moment.motion, float(moment.time))
                rendering = animator.render(performed)
                writer.write(composer.compose(rendering, performed, driving=moment.picture), moment.time)
        return Report(
            output=str(output),
            frames=writer.frames,
            size=composer.size,
            fps=driven.fps,
            seconds=perf_counter() - started,
            speed=meter.speed,
            method=method.spec.name,
            weights=method.spec.weights,
            engine=method.engine.name,
            motion=motion,
            reference=index,
            mismatch=_mismatch(animator),
            crop_source=str(crop),
            crop_driving=driven.crop,
            audio=writer.audio_note or ("copied" if driven.sound else "none"),
            warnings=(*_pose_warnings(animator, motion), *driven.warnings, *filter(None, [writer.size_note])),
        )


def read_motion(
    driving: File,
    output: File,
    *,
    weights: File | None = None,
    engine: EngineName = "auto",
    device: str | None = None,
    method: Method | None = None,
    crop: CropRequest | str = "auto",
    face_model: File | None = None,
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
        fps: See `animate`.
        progress: See `animate`.

    Raises:
        StillmotionError: Some input or output cannot be used; see the subclasses.
    """
    started = perf_counter()
    check_motion_name(Path(output))
    _check_output(output, driving)
    method = method or load(weights, engine=engine, device=device)
    detector = default_detector(face_model) if face_model else None
    with open_driving(driving, method, crop=_request(crop), detector=detector, fps=fps) as driven:
        meter = Meter(progress)
        clip = driven.record(meter.watch(driven))
        clip.save(output)
        return Report(
            output=str(output),
            frames=len(clip),
            size=None,
            fps=clip.fps,
            seconds=perf_counter() - started,
            speed=meter.speed,
            method=method.spec.name,
            weights=method.spec.weights,
            engine=method.engine.name,
            motion="",
            reference=0,
            mismatch=None,
            crop_source="",
            crop_driving=driven.crop,
            audio="none: a motion file holds no sound" if driven.sound else "none",
            warnings=driven.warnings,
        )


def _check_output(output: File, *inputs: object) -> None:
    """Refuse early, before anything slow is done, what cannot be written or must not be."""
    path = Path(output)
    check_folder(path)
    for given in inputs:
        if isinstance(given, str | Path) and path.exists() and Path(given).exists() and path.samefile(given):
            raise OutputError(f"{path} is an input and would be overwritten", hint="choose another output name")


def _request(crop: CropRequest | str) -> CropRequest:
    return crop if isinstance(crop, Crop) else parse_crop(crop)


def _mismatch(animator: Animator) -> float | None:
    return None if animator.reference is None else pose_mismatch(animator.source, animator.reference)


def _pose_warnings(animator: Animator, motion: Mode) -> tuple[str, ...]:
    """The reference matters to relative motion only."""
    if motion != "relative" or animator.reference is None:
        return ()
    warning = mismatch_warning(animator.source, animator.reference)
    return (warning,) if warning else ()
