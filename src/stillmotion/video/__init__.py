"""Files at both ends: clips, pictures and sound, read and written one frame at a time."""

from stillmotion.video.image import read_image, read_image_with_alpha, write_image
from stillmotion.video.read import open_video
from stillmotion.video.stream import FrameStream
from stillmotion.video.write import VideoWriter

__all__ = [
    "FrameStream",
    "VideoWriter",
    "open_video",
    "read_image",
    "read_image_with_alpha",
    "write_image",
]
