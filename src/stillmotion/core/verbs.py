"""What the verbs of every method have in common: checked frames in, checked arrays out, batches split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stillmotion.core.errors import EngineError, ImageError, MotionError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.method import Engine, MethodSpec, Rendering, State
from stillmotion.core.motion import Keypoints, Landmarks, Latent, Motion


def check_sources(sources: Sequence[Frame], spec: MethodSpec) -> np.ndarray:
    """Source frames as one array `uint8 (n, h, w, 3)`.

    Raises:
        ImageError: None, more than `spec.max_sources`, or not of `spec.size`.
    """
    most = spec.max_sources
    if not 1 <= len(sources) <= most:
        takes = "one source image" if most == 1 else f"1 to {most} source images"
        other = "choose one, or use a multi-source method" if most == 1 else f"choose at most {most}"
        raise ImageError(f"{spec.name} takes {takes}, not {len(sources)}", hint=other if sources else "give one")
    for source in sources:
        check_size(check_frame(source, name="source"), spec, name="source")
    return np.stack([np.asarray(source) for source in sources])


def check_batch(frames: np.ndarray, spec: MethodSpec) -> np.ndarray:
    """A batch of driving frames, `uint8 (n, h, w, 3)`.

    Raises:
        ImageError: Another shape or type, or not of `spec.size`.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4:
        raise ImageError(f"read takes a batch (n, height, width, 3), not {frames.shape}", hint="add an axis")
    for frame in frames:
        check_size(check_frame(frame), spec, name="frame")
    return frames


def check_size(frame: Frame, spec: MethodSpec, *, name: str) -> None:
    """Refuse a frame of another size than the method's.

    Raises:
        ImageError: It is.
    """
    if frame.shape[:2] != spec.size:
        height, width = spec.size
        raise ImageError(
            f"{name} is {frame.shape[1]}×{frame.shape[0]} pixels; {spec.weights} wants {width}×{height}",
            hint="crop or resize it first (stillmotion.animate does)",
            seen=frame.shape[:2],
        )


def size_of(motion: Motion) -> int:
    """Keypoints, landmarks or numbers of a motion."""
    return len(motion.code if isinstance(motion, Latent) else motion.value)


def check_motion(motion: Motion, kind: type[Motion], count: int, *, weights: str) -> None:
    """Refuse motion of another kind or size than the weights take.

    Raises:
        MotionError: It is.
    """
    words: dict[type[Motion], str] = {Keypoints: "keypoints", Landmarks: "landmarks", Latent: "numbers"}
    is_right = isinstance(motion, kind)
    if is_right and size_of(motion) == count:
        return
    seen = f"{size_of(motion)} {words[kind]}" if is_right else type(motion).__name__
    raise MotionError(
        f"{weights} takes {count} {words[kind]}, not {seen}", hint="read the motion with the same weights"
    )


def chunks(count: int, engine: Engine) -> Iterator[slice]:
    """Slices of `count` items, none longer than the engine's batch."""
    step = max(engine.max_batch, 1)
    return (slice(start, start + step) for start in range(0, count, step))


def run_stage(engine: Engine, stage: str, arrays: dict[str, np.ndarray], *, weights: str) -> dict[str, np.ndarray]:
    """Run one stage and look at what it returns.

    Raises:
        EngineError: NaN or infinity.
    """
    out = engine.run(stage, **arrays)
    bad = [name for name, array in out.items() if not np.isfinite(array).all()]
    if bad:
        raise EngineError(
            f"the network returned NaN or infinity ({stage}: {', '.join(bad)})",
            hint=f"the weights {weights} may be damaged; try others",
            stage=stage,
        )
    return out


def frozen(state: State) -> State:
    """The same arrays, read-only from now on: an engine may keep them on its device."""
    for array in state.values():
        array.setflags(write=False)
    return state


def joined(parts: Sequence[Rendering], size: tuple[int, int]) -> Rendering:
    """Renderings of consecutive parts of a batch as one; of nothing, `(0, 3, h, w)`."""
    planes = [part.planes for part in parts] or [np.zeros((0, 3, *size), np.float32)]
    return Rendering(np.concatenate(planes), tuple(flow for part in parts for flow in part.flows))
