"""Small clips made on the spot, with PyAV alone, so that reading is not tested against our own writer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


class Clips:
    """Makes small clips in one folder and looks into written ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def frames(self, count: int, *, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
        return [self.frame(index, size=size) for index in range(count)]

    @staticmethod
    def frame(index: int, *, size: tuple[int, int] = (48, 64)) -> np.ndarray:
        """A frame whose grey level tells its index, four levels apart, with a bright top left corner."""
        frame = np.full((*size, 3), min(16 + 4 * index, 200), np.uint8)
        frame[: size[0] // 4, : size[1] // 4] = 250
        return frame

    def clip(
        self,
        name: str,
        frames: Sequence[np.ndarray],
        *,
        fps: Fraction = Fraction(25),
        stamps: Sequence[int] | None = None,
        base: Fraction | None = None,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        rotation: int = 0,
        mirrored: bool = False,
        aspect: Fraction | None = None,
        sound: str | None = None,
        sound_start: Fraction = Fraction(0),
        start: int = 0,
    ) -> Path:
        """Write a clip into the test's folder.

        Args:
            stamps: Time stamps in `base`; 0, 1, 2, … unless told.
            start: Added to each of them.
            sound: Codec of a tone that lasts as long as the pictures, begun at `sound_start` seconds.
        """
        path = self.folder / name
        base = base or 1 / fps
        height, width = frames[0].shape[:2]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                codec, rate=fps, width=width, height=height, time_base=base, options=options or {}
            )
            stream.pix_fmt = pix_fmt
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation or mirrored:
                stream.set_display_rotation(rotation, hflip=mirrored)
            track = container.add_stream(sound, rate=48000) if sound else None
            for index, pixels in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
                picture.pts = start + (index if stamps is None else stamps[index])
                picture.time_base = base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            if track is not None:
                container.mux(track.encode(self.tone(seconds=len(frames) / fps, start=sound_start)))
                container.mux(track.encode(None))
        return path

    @staticmethod
    def tone(*, seconds: Fraction, start: Fraction = Fraction(0), rate: int = 48000) -> av.AudioFrame:
        count = int(seconds * rate)
        wave = np.sin(np.arange(count) * 2 * np.pi * 440 / rate) * 8000
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2).astype(np.int16)[None], format="s16", layout="stereo")
        frame.sample_rate = rate
        frame.pts = int(start * rate)
        frame.time_base = Fraction(1, rate)
        return frame

    @staticmethod
    def sound_packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]

    @staticmethod
    def onset(path: Path) -> float:
        """When the tone is first heard, seconds after the first frame is shown."""
        with av.open(str(path)) as container:
            shown = next(container.decode(video=0)).time
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=48000)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    heard = np.flatnonzero(np.abs(piece.to_ndarray()[0]) > 0.1)
                    if heard.size:
                        return float(piece.pts * piece.time_base) + heard[0] / 48000 - shown
        raise AssertionError(f"{path} is silent")


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    return Clips(tmp_path)
