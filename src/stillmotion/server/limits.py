"""How much a visitor may ask of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stillmotion.core.errors import ImageError, VideoError
from stillmotion.video.image import read_image
from stillmotion.video.read import open_video

MEGA = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Limits on what is uploaded and on the process that opens it.

    Attributes:
        megabytes: Largest upload, in 10⁶ bytes.
        megapixels: Largest picture or video frame, in 10⁶ pixels.
        seconds: Longest clip.
        job_seconds: Longest time that one job may take.
        memory: Most memory that the child may map, in bytes.
        waiting: How many jobs may wait; more are turned away.
    """

    megabytes: int = 200
    megapixels: float = 40.0
    seconds: float = 120.0
    job_seconds: float = 1800.0
    memory: int = 12_000_000_000
    waiting: int = 8

    def check_picture(self, path: Path) -> None:
        """Refuse a picture with too many pixels, before they are kept.

        Raises:
            ImageError: Too large, or no picture.
        """
        height, width = read_image(path).shape[:2]
        if height * width > self.megapixels * MEGA:
            raise ImageError(
                f"the picture has {height * width / MEGA:.0f} megapixels", hint=f"at most {self.megapixels:g} here"
            )

    def check_clip(self, path: Path) -> None:
        """Refuse a clip that is too long or too large.

        Raises:
            VideoError: Too long or too large, or no clip.
        """
        with open_video(path) as video:
            height, width = video.size
            if height * width > self.megapixels * MEGA / 4:
                raise VideoError(
                    f"the clip is {width} × {height} pixels", hint="scale it down: 4K is the most that is taken here"
                )
            if video.length is not None and video.length / video.fps > self.seconds:
                raise VideoError(
                    f"the clip lasts {float(video.length / video.fps):.0f} seconds",
                    hint=f"cut it: at most {self.seconds:g} seconds here; the command line takes any length",
                )

    def check_progress(self, done: int) -> None:
        """Refuse to go on with a clip that did not say how long it is.

        Raises:
            VideoError: More frames than 60 a second for `seconds`.
        """
        if done > 60 * self.seconds:
            raise VideoError(f"the clip has more than {done - 1} frames", hint="cut it, or use the command line")
