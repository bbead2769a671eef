"""The story: a source and a driving become motion, motion becomes frames, frames become a file.

    driving ──read──▶ motion ──transfer──▶ motion ──render──▶ frame ──compose──▶ frame ──write──▶ file
    source ──crop──▶ encode ────────────────────────┘

Frames stream: nothing here ever holds a whole video.
"""

from __future__ import annotations

from collections.abc import Sequence

from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.core.motion import Mode
from stillmotion.methods import EngineName, load
from stillmotion.prepare.smooth import OneEuro
from stillmotion.provenance.sealing import Sign, marks
from stillmotion.session.animator import Animator
from stillmotion.session.background import Background, open_backdrop
from stillmotion.session.compose import Composer, Show
from stillmotion.session.driving import Rate, ReferenceRequest, choose_reference, open_driving
from stillmotion.session.inputs import CropChoice, File, check_output, face_detector, open_source
from stillmotion.session.meter import Meter, Progress, noting_what_is_kept
from stillmotion.session.motionfile import MotionClip
from stillmotion.session.report import Report
from stillmotion.video.image import Source
from stillmotion.video.write import VideoWriter


def animate(
    source: Source | Frame,
    driving: File | MotionClip,
    output: File,
    *,
    weights: File | None = None,
    engine: EngineName = "auto",
    device: str | None = None,
    method: Method | None = None,
    also: Sequence[Source | Frame] = (),
    motion: Mode | None = None,
    reference: ReferenceRequest = "first",
    crop_source: CropChoice = "auto",
    crop_driving: CropChoice = "auto",
    face_model: File | None = None,
    fps: Rate | None = None,
    paste_back: bool = False,
    side_by_side: bool = False,
    smooth: bool = False,
    blink: bool = True,
    show: Show | None = None,
    label: bool = False,
    background: Background = "auto",
    sign: Sign = "auto",
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
        also: More pictures of the same, for methods that take several sources; cropped as `source` is.
        motion: `relative` adds the driver's movement to the source's own pose; `absolute` copies
            the driver's pose; None takes what the method does first (first-order: relative).
        reference: Driving frame taken as rest pose: `first`, `auto` (closest to the source's pose;
            reads the clip once more) or an index from 0.
        crop_source: `auto` (what the weights need), `none` (largest centred box), or `x,y,w,h`.
        crop_driving: The same for the clip, one fixed box for all frames.
        face_model: YuNet file for `auto`, or `haar` for OpenCV's cascades; the shipped face networks otherwise.
        fps: Frame rate of a folder of frames (25 unless given) or an animated picture.
        paste_back: Set the animated crop back into the full picture.
        side_by_side: Put source and driving to the left of the result.
        smooth: Take jitter off the driving motion.
        blink: Draw the photo's lids down where the driver's eyes shut, if the weights know where lids are.
        show: `keypoints`, `flow` or `occlusion`.
        label: Write `AI-generated` into the picture.
        background: Behind a source with transparency: `auto` (nothing where the output can be transparent, which
            `.webm`, `.mov`, `.gif` and folders can; else white), `transparent`, or a colour, by name, as
            `#rrggbb` or as three numbers.
        sign: Add a signed C2PA manifest to the plain mark that every file carries: `auto` (where the extra
            `provenance` is installed), `always` or `never`.
        progress: Called after each frame with frames done, frames expected (or None), and speed.

    Returns:
        What was done.

    Raises:
        StillmotionError: Some input or output cannot be used; see the subclasses.
        KeyboardInterrupt: Ctrl-C; what was done stays playable under the name in its note.
    """
    check_output(output, source, driving, *also)
    meter, detector = Meter(progress), face_detector(face_model)
    method = method or load(weights, engine=engine, device=device)
    still = open_source(source, method.spec, crop=crop_source, detector=detector)
    backdrop = open_backdrop(still, method, background, output=output, has_panels=side_by_side or show is not None)
    more = [backdrop.fit(open_source(one, method.spec, crop=crop_source, detector=detector)) for one in also]
    animator = Animator(
        method, backdrop.frame, mode=motion, smooth=OneEuro() if smooth else None, also=more, blink=blink
    )
    with open_driving(
        driving, method, crop=crop_driving, detector=detector, fps=fps, has_pictures=side_by_side
    ) as driven:
        index, animator.reference = choose_reference(
            driven, animator.source, reference, picture=still.frame if method.spec.crop == "face" else None
        )
        composer = Composer(
            backdrop,
            paste_back=paste_back,
            side_by_side=side_by_side,
            show=show,
            label=label,
            has_driving=driven.has_pictures,
        )
        signed = marks(output, method.spec, sign=sign)
        writer = VideoWriter(
            output, fps=driven.fps, size=composer.size, audio_from=driven.sound, has_alpha=composer.has_alpha, **signed
        )
        with noting_what_is_kept(writer), writer:
            for moment in meter.watch(driven):
                performed = animator.transfer(moment.motion, float(moment.time))
                rendering = animator.render(performed)
                frame, alpha = composer.compose(rendering, performed, driving=moment.picture)
                writer.write(frame, moment.time, alpha=alpha)
        mismatch, warnings = animator.mismatch()
        return Report(
            **meter.facts(method, driven),
            output=str(output),
            frames=writer.frames,
            size=composer.size,
            motion=animator.mode,
            reference=index,
            mismatch=mismatch,
            crop_source=str(still.crop),
            provenance=writer.provenance,
            audio=writer.audio_note or ("copied" if driven.sound else "none"),
            warnings=(*backdrop.warnings, *warnings, *driven.warnings, *filter(None, [writer.size_note])),
        )
