"""Clips on disk: `00042.mp4` with the frames, `00042.npz` with the truth. Whoever has the second has both."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stillmotion.core.errors import DataError
from stillmotion.data.worlds.files import write_bytes
from stillmotion.data.worlds.truth import ClipTruth, pack_truth, read_truth

_WHOLE = 128
"""Sides of pictures whose clips may use x264's macroblock tree are multiples of this.

At others (64, 192) it reads memory it did not write, and equal frames gave up to 30 different files in
60 tries; at 128 and 256, and without the tree at 64, one."""


def clip_paths(folder: str | Path, index: int) -> tuple[Path, Path]:
    """Where the frames and the truth of a clip are."""
    return Path(folder) / f"{index:05d}.mp4", Path(folder) / f"{index:05d}.npz"


def has_clip(folder: str | Path, index: int) -> bool:
    """Whether a clip is complete: the truth is written last."""
    return all(path.exists() for path in clip_paths(folder, index))


def save_clip(folder: str | Path, index: int, frames: np.ndarray, truth: ClipTruth, *, quality: int = 20) -> None:
    """Write one clip.

    Args:
        folder: Where to.
        index: Number of the clip.
        frames: `uint8 (t, h, w, 3)`.
        truth: Of those frames.
        quality: H.264 constant rate factor.
    """
    video, arrays = clip_paths(folder, index)
    write_bytes(video, encode(frames, fps=truth.fps, quality=quality))
    write_bytes(arrays, pack_truth(truth))


def encode(frames: np.ndarray, *, fps: float, quality: int) -> bytes:
    """Frames `uint8 (t, h, w, 3)` as the bytes of an H.264 mp4; the same frames give the same bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(quality), "preset": "veryfast", "threads": "1"}
        if any(side % _WHOLE for side in frames.shape[1:3]):
            stream.options |= {"x264-params": "mbtree=0"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def read_clip(folder: str | Path, index: int) -> tuple[np.ndarray, ClipTruth]:
    """Frames `uint8 (t, h, w, 3)` and truth of a stored clip.

    Raises:
        DataError: It is not there, or damaged.
    """
    video, arrays = clip_paths(folder, index)
    try:
        with av.open(str(video)) as container:
            container.streams.video[0].thread_type = "SLICE"
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise DataError(f"cannot read {video}: {error}", hint="render the clip again") from error
    return frames, read_truth(arrays)


def list_clips(folder: str | Path) -> list[int]:
    """Numbers of the complete clips in a folder."""
    found = (int(path.stem) for path in Path(folder).glob("*.npz") if path.stem.isdigit())
    return sorted(index for index in found if has_clip(folder, index))
