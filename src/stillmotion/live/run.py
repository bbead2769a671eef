"""Live without a browser: a camera or a clip in, a virtual camera, a file or just numbers out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from stillmotion.core.frame import Frame
from stillmotion.live.backstage import Backstage, Performance
from stillmotion.provenance.sealing import marks
from stillmotion.session.live import Settings
from stillmotion.session.pump import Seen
from stillmotion.video.camera import Camera, open_virtual_camera
from stillmotion.video.read import open_video
from stillmotion.video.write import VideoWriter

FPS = 25
"""Nominal rate of what is shown or written."""


def paced(clip: Path, *, seconds: float | None = None) -> Iterator[Frame]:
    """A clip's frames at the clip's pace, as a camera would give them; again from the start until `seconds`.

    Args:
        clip: Any video.
        seconds: How long; None plays it once.
    """
    begun = perf_counter()
    while True:
        round_begun = perf_counter()
        with open_video(clip) as video:
            for time, frame in video.timed():
                if seconds is not None and perf_counter() - begun >= seconds:
                    return
                sleep(max(0.0, round_begun + float(time) - perf_counter()))
                yield frame
        if seconds is None or perf_counter() - begun >= seconds:
            return


def run(
    backstage: Backstage,
    settings: Settings,
    *,
    camera: int | None = None,
    clip: Path | None = None,
    seconds: float | None = None,
    virtual_camera: bool = False,
    backend: str | None = None,
    output: Path | None = None,
    tell: Callable[[dict[str, Any]], object] = print,
) -> dict[str, Any]:
    """Animate until the camera or clip ends, or Ctrl-C.

    Args:
        backstage: Animates.
        settings: How.
        camera: Number of a camera.
        clip: A clip in place of a camera.
        seconds: How long a clip is played, from its start again if need be.
        virtual_camera: Show the result in a virtual camera.
        backend: Of the virtual camera.
        output: Video to write; frames get the times at which they came.
        tell: Called with the numbers about once a second.

    Returns:
        The numbers at the end.

    Raises:
        StillmotionError: The camera, clip, virtual camera or output cannot be used.
    """
    spec = backstage.spec
    with contextlib.ExitStack() as stack:
        sinks: list[Callable[[Frame], object]] = []
        if virtual_camera:
            sinks.append(stack.enter_context(open_virtual_camera(spec.size, fps=FPS, backend=backend)).send)
        if output is not None:
            signed = marks(output, spec)
            writer = stack.enter_context(VideoWriter(output, fps=FPS, size=spec.size, **signed))
            sinks.append(_timed(writer))
        frames = paced(clip, seconds=seconds) if clip is not None else stack.enter_context(Camera(camera or 0))
        pump = backstage.perform(
            backstage.first,
            settings=settings,
            calibration=None,
            sink=lambda frame, seen: [sink(frame) for sink in sinks],
        )
        pump.wait()
        done = threading.Event()
        teller = threading.Thread(target=_tell, args=(pump, tell, done), daemon=True)
        teller.start()
        try:
            for frame in frames:
                if pump.error is not None:
                    raise pump.error
                pump.camera.put(Seen(lambda frame=frame: frame, arrived=perf_counter()))  # type: ignore[misc]
        finally:
            done.set()
            sleep(0.2)  # the last frame is still being animated
            facts = pump.facts()
            pump.close()
        return facts


def _timed(writer: VideoWriter) -> Callable[[Frame], None]:
    """Write frames at the times at which they come."""
    from fractions import Fraction

    begun: list[float] = []

    def write(frame: Frame) -> None:
        now = perf_counter()
        begun.append(now) if not begun else None
        writer.write(frame, Fraction(round((now - begun[0]) * 1000), 1000))

    return write


def _tell(pump: Performance, tell: Callable[[dict[str, Any]], object], done: threading.Event) -> None:
    while not done.wait(1.0):
        tell(pump.facts())
