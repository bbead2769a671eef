"""What the child process of the studio does: it opens what visitors bring, and animates.

`python -m stillmotion.studio.jobs` answers requests on stdin; see `server.child`.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from stillmotion.animate import animate as animate_files
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.methods import load
from stillmotion.prepare.crop import Crop, parse_crop
from stillmotion.prepare.outline import draw_crop
from stillmotion.prepare.reference import POSE_MISMATCH, pose_mismatch
from stillmotion.server.child import Progress, Verb, serve
from stillmotion.server.limits import Limits
from stillmotion.session.animator import Animator
from stillmotion.session.driving import choose_reference, open_driving
from stillmotion.session.inputs import open_source
from stillmotion.session.motionfile import is_motion_file
from stillmotion.video.image import save_picture
from stillmotion.video.read import open_video

LIMITS = Limits()


@cache
def method(weights: str | None) -> Method:
    """A method, loaded once."""
    return load(weights)


def look_at_photo(photo: str, *, crop: str, weights: str | None, folder: str, progress: Progress) -> dict[str, Any]:
    """The crop of a photo, and a picture of it."""
    LIMITS.check_picture(Path(photo))
    still = open_source(photo, method(weights).spec, crop=crop)
    return _seen(still.picture, still.crop, folder)


def look_at_clip(clip: str, *, crop: str, weights: str | None, folder: str, progress: Progress) -> dict[str, Any]:
    """The crop of a clip, and a picture of it in the first frame."""
    LIMITS.check_clip(Path(clip))
    with open_driving(clip, method(weights), crop=crop) as driven:
        chosen, fps, length = parse_crop(driven.crop), driven.fps, driven.length
    assert isinstance(chosen, Crop)
    facts = {"fps": str(fps), "seconds": float(length / fps) if length else None}
    return {**_seen(_frame(clip, 0), chosen, folder), **facts}


def find_reference(
    photo: str,
    clip: str,
    *,
    crop_source: str,
    crop_driving: str,
    weights: str | None,
    folder: str,
    progress: Progress,
) -> dict[str, Any]:
    """The driving frame whose pose is closest to the photo's, how close it is, and a picture of it."""
    used = method(weights)
    animator = Animator(used, open_source(photo, used.spec, crop=crop_source).frame)
    if not is_motion_file(clip):
        LIMITS.check_clip(Path(clip))
    with open_driving(clip, used, crop=crop_driving) as driven:
        index, motion = choose_reference(driven, animator.source, "auto")
        crop = driven.crop
    score = pose_mismatch(animator.source, motion)  # type: ignore[arg-type]  # `auto` compares keypoints only
    found = {"index": index, "score": score, "good": score <= POSE_MISMATCH, "picture": None}
    if not is_motion_file(clip):
        chosen = parse_crop(crop)
        assert isinstance(chosen, Crop)
        found["picture"] = _seen(_frame(clip, index), chosen, folder)["picture"]
    return found


def animate(
    photo: str, clip: str, *, output: str, weights: str | None, options: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Animate from file to file; `options` are those of `stillmotion.animate`."""
    LIMITS.check_picture(Path(photo))
    if not is_motion_file(clip):
        LIMITS.check_clip(Path(clip))

    def limited(done: int, total: int | None, speed: float) -> None:
        LIMITS.check_progress(done)
        progress(done, total, speed)

    report = animate_files(photo, clip, output, method=method(weights), progress=limited, **options)
    return {**asdict(report), "fps": str(report.fps)}


def _frame(clip: str, index: int) -> Frame:
    with open_video(clip) as video:
        return next(islice(video, index, None))


def _seen(picture: Frame, crop: Crop, folder: str) -> dict[str, Any]:
    """A picture of the crop as a file. It shows the visitor's own picture, so nothing marks it as generated."""
    path = Path(folder) / f"crop-{secrets.token_hex(8)}.png"
    save_picture(path, draw_crop(picture, crop), metadata={})
    box = ",".join(map(str, crop.pixels))
    return {"crop": box, "size": [picture.shape[1], picture.shape[0]], "picture": str(path)}


VERBS: dict[str, Verb] = {
    "look_at_photo": look_at_photo,
    "look_at_clip": look_at_clip,
    "find_reference": find_reference,
    "animate": animate,
}

if __name__ == "__main__":
    method(None)
    serve(VERBS, memory=LIMITS.memory)
