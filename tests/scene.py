"""A small picture and a small clip with sound for tests that run whole commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

NTSC = Fraction(30000, 1001)


@dataclass(frozen=True)
class Scene:
    """Files of one scene.

    Attributes:
        picture: PNG, 96 wide and 80 high.
        clip: mp4 with sound, 6 frames of 64×48 at 30000/1001 frames per second.
        frames: What the clip was made from.
    """

    picture: Path
    clip: Path
    frames: tuple[np.ndarray, ...]


def make_frame(index: int, *, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A smooth background with a bright disc that wanders to the right."""
    y, x = np.mgrid[: size[0], : size[1]]
    frame = np.stack([x * 2, y * 2, (x + y)], axis=-1)
    disc = (x - size[1] // 3 - 2 * index) ** 2 + (y - size[0] // 2) ** 2 < (size[0] // 4) ** 2
    frame[disc] = (240, 200, 40)
    return frame.astype(np.uint8)


def write_clip(
    path: Path, frames: Sequence[np.ndarray], *, fps: Fraction = NTSC, stamps: Sequence[int] = (), sound: bool = False
) -> Path:
    """Encode frames with PyAV alone; `stamps` are in frames of `fps`."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, width=width, height=height, time_base=1 / fps)
        stream.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=48000) if sound else None
        for index, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = stamps[index] if stamps else index, 1 / fps
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if track is not None:
            container.mux(track.encode(_tone(len(frames) / fps)))
            container.mux(track.encode(None))
    return path


def _tone(seconds: Fraction) -> av.AudioFrame:
    wave = np.sin(np.arange(int(seconds * 48000)) * 2 * np.pi * 440 / 48000) * 8000
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2).astype(np.int16)[None], format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    return frame


def make_scene(folder: Path) -> Scene:
    """Write a scene into a folder."""
    frames = tuple(make_frame(index) for index in range(6))
    Image.fromarray(make_frame(1, size=(80, 96))).save(folder / "picture.png")
    return Scene(folder / "picture.png", write_clip(folder / "clip.mp4", frames, sound=True), frames)


def pictures(path: Path) -> list[np.ndarray]:
    """All frames of a written clip, `uint8 (h, w, 3)`, by PyAV alone."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def sound_packets(path: Path) -> list[bytes]:
    """The encoded sound of a clip, packet by packet."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]
