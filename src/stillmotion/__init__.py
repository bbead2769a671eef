"""Bring a still image to motion: one photo, drawing or sprite moves as a driving video does.

    import stillmotion

    stillmotion.animate("me.jpg", "talking.mp4", "out.mp4")        # files in, file out

    method = stillmotion.load("vox-256", engine="auto")             # or frame by frame
    animator = stillmotion.Animator(method, source)
    for frame in animator.animate(frames): ...

Names resolve on first use: importing the package costs numpy only. Errors are one tree with
`StillmotionError` at the root, drawn in `stillmotion.core.errors`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stillmotion.animate import animate
    from stillmotion.core.errors import (
        ConfigError,
        CropError,
        DataError,
        EngineError,
        ImageError,
        MissingExtraError,
        MotionError,
        NoFaceError,
        OutputError,
        StillmotionError,
        VideoError,
        WeightsError,
    )
    from stillmotion.core.flow import Flow, make_grid, warp
    from stillmotion.core.frame import Frame, Video
    from stillmotion.core.method import Engine, Method, MethodSpec, Rendering
    from stillmotion.core.motion import Keypoints, Landmarks, Latent, Motion, pose_distance, transfer
    from stillmotion.methods import load
    from stillmotion.session.animator import Animator
    from stillmotion.session.motionfile import MotionClip
    from stillmotion.session.recording import read_motion
    from stillmotion.session.report import Report
    from stillmotion.video.image import read_image, write_image
    from stillmotion.video.read import open_video
    from stillmotion.video.write import VideoWriter

__version__ = "0.1.0"

__all__ = [
    "Animator",
    "ConfigError",
    "CropError",
    "DataError",
    "Engine",
    "EngineError",
    "Flow",
    "Frame",
    "ImageError",
    "Keypoints",
    "Landmarks",
    "Latent",
    "Method",
    "MethodSpec",
    "MissingExtraError",
    "Motion",
    "MotionClip",
    "MotionError",
    "NoFaceError",
    "OutputError",
    "Rendering",
    "Report",
    "StillmotionError",
    "Video",
    "VideoError",
    "VideoWriter",
    "WeightsError",
    "animate",
    "load",
    "make_grid",
    "open_video",
    "pose_distance",
    "read_image",
    "read_motion",
    "transfer",
    "warp",
    "write_image",
]

_HOMES = {
    "animate": "animate",
    "core.errors": "ConfigError CropError DataError EngineError ImageError MissingExtraError MotionError "
    "NoFaceError OutputError StillmotionError VideoError WeightsError",
    "core.flow": "Flow make_grid warp",
    "core.frame": "Frame Video",
    "core.method": "Engine Method MethodSpec Rendering",
    "core.motion": "Keypoints Landmarks Latent Motion pose_distance transfer",
    "methods": "load",
    "session.animator": "Animator",
    "session.motionfile": "MotionClip",
    "session.recording": "read_motion",
    "session.report": "Report",
    "video.image": "read_image write_image",
    "video.read": "open_video",
    "video.write": "VideoWriter",
}
_HOME = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `stillmotion.animate` the function: importing the submodule of that name would replace it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "animate" and isinstance(value, ModuleType):
            value = value.animate
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
