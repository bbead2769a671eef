"""Cameras: a real one to read frames from, a virtual one to show them in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

import cv2

from stillmotion.core.errors import MissingExtraError, OutputError, VideoError
from stillmotion.core.frame import Frame

FAILURES = 30
"""Reads in a row that may fail before a camera counts as gone."""


class Camera:
    """A camera of this machine. Used in `with`; iterating gives frames `uint8 (h, w, 3)` as they come.

    Args:
        number: Which camera, from 0.
        size: Wanted `(h, w)`; the camera gives what comes closest.
        fps: Wanted frames per second.
    """

    def __init__(self, number: int = 0, *, size: tuple[int, int] = (480, 640), fps: float = 30.0) -> None:
        self.number, self._size, self._fps = number, size, fps
        self._capture: cv2.VideoCapture | None = None

    def __enter__(self) -> Self:
        """Open it.

        Raises:
            VideoError: There is no such camera, or another program has it.
        """
        level = cv2.utils.logging.setLogLevel(0)
        capture = cv2.VideoCapture(self.number)
        cv2.utils.logging.setLogLevel(level)
        if not capture.isOpened():
            capture.release()
            raise VideoError(
                f"camera {self.number} cannot be opened",
                hint="check that it is plugged in, that no other program uses it, and the number (0 is the first)",
                number=self.number,
            )
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[0])
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[1])
        capture.set(cv2.CAP_PROP_FPS, self._fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture
        return self

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come.

        Raises:
            VideoError: The camera stopped giving any.
        """
        missed = 0
        while self._capture is not None:
            is_good, picture = self._capture.read()
            missed = 0 if is_good else missed + 1
            if missed >= FAILURES:
                raise VideoError(f"camera {self.number} has stopped", hint="plug it in again and start anew")
            if is_good:
                yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class VirtualCamera(Protocol):
    """A camera that other programs see."""

    def send(self, frame: Frame) -> None:
        """Show a frame `uint8 (h, w, 3)`."""
        ...


@contextmanager
def open_virtual_camera(size: tuple[int, int], *, fps: float, backend: str | None = None) -> Iterator[VirtualCamera]:
    """A virtual camera that shows frames of `size (h, w)`.

    Args:
        size: `(h, w)` of the frames.
        fps: Nominal rate.
        backend: Of pyvirtualcam, such as `v4l2loopback`; None takes what the system has.

    Raises:
        MissingExtraError: pyvirtualcam is not installed.
        OutputError: The system has no virtual camera.
    """
    try:
        import pyvirtualcam
    except ImportError:
        raise MissingExtraError(
            "a virtual camera needs pyvirtualcam", hint="pip install 'stillmotion[camera]' (it is GPL-2.0)"
        ) from None
    try:
        camera = pyvirtualcam.Camera(width=size[1], height=size[0], fps=fps, backend=backend)
    except RuntimeError as error:
        raise OutputError(
            f"there is no virtual camera to write to ({str(error).splitlines()[0] if str(error) else 'none found'})",
            hint="Linux: modprobe v4l2loopback; Windows and macOS: install OBS",
        ) from error
    with camera:
        yield camera
