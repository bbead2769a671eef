"""Where animating happens: on this machine, or (see `elsewhere`) on another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from stillmotion.core.errors import StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method, MethodSpec
from stillmotion.methods import load
from stillmotion.server.worker import Worker
from stillmotion.session.faces import quick_face_detector
from stillmotion.session.inputs import CropChoice, example_photo, open_source, pixels_from_bytes
from stillmotion.session.latest import Latest
from stillmotion.session.live import Calibration, LiveSession, Settings
from stillmotion.session.pump import Pump, Seen, Sink


class Performer(Protocol):
    """What can be changed while it runs; `session.live.LiveSession` says how."""

    settings: Settings

    @property
    def calibration(self) -> Calibration:
        """The rest pose and the crop as they are now."""
        ...

    def calibrate(self) -> None:
        """Take the pose of the next frame as the rest pose."""

    def change(self, **changes: Any) -> Settings:
        """Change settings."""
        ...

    def swap(self, source: Frame) -> None:
        """Perform with another source."""


class Performance(Protocol):
    """Camera frames in, results to a sink, numbers kept; `session.pump.Pump` says how."""

    camera: Latest[Seen]
    error: StillmotionError | None

    @property
    def session(self) -> Performer:
        """Who performs."""
        ...

    def wait(self) -> None:
        """Return once it can begin."""

    def facts(self) -> dict[str, Any]:
        """The numbers."""
        ...

    def close(self) -> None:
        """Stop."""


class Backstage(Protocol):
    """Cuts sources out of photos and animates them.

    Attributes:
        spec: Of the method that animates.
        first: Source to begin with, `uint8` of the method's size.
        place: Says on the page where pictures go.
    """

    spec: MethodSpec
    first: Frame
    place: str

    def cut(self, photo: Path, folder: Path) -> Frame:
        """The part of an uploaded photo that is animated, `uint8` of the method's size."""
        ...

    def perform(self, source: Frame, *, settings: Settings, calibration: Calibration | None, sink: Sink) -> Performance:
        """Begin to animate a source."""
        ...

    def close(self) -> None:
        """End whatever runs."""


class Here:
    """This machine.

    Args:
        weights: Name of shipped weights or path of a bundle.
        method: The same, loaded; None loads it.
        source: Photo to begin with; None takes the example.
        crop: Its crop.
        face_model: What finds the driver's face; None takes the default.

    Raises:
        StillmotionError: Weights or photo cannot be used.
    """

    place = "Nothing leaves this server."

    def __init__(
        self,
        *,
        weights: str | None = None,
        method: Method | None = None,
        source: Path | None = None,
        crop: CropChoice = "auto",
        face_model: Path | None = None,
    ) -> None:
        self.method: Method = method or load(weights)
        self.spec = self.method.spec
        self.first = open_source(source or example_photo(), self.spec, crop=crop).frame
        self.opener = Worker("stillmotion.live.jobs", seconds=60.0)
        self._weights, self._face_model = weights, face_model

    def cut(self, photo: Path, folder: Path) -> Frame:
        """Have a child process open the photo and find what is animated.

        Raises:
            StillmotionError: The photo cannot be used, or the child died.
        """
        done = self.opener.ask("cut", photo=str(photo), crop="auto", weights=self._weights, folder=str(folder))
        pixels = Path(done["pixels"])
        try:
            return pixels_from_bytes(pixels.read_bytes(), self.spec.size)
        finally:
            pixels.unlink()

    def perform(self, source: Frame, *, settings: Settings, calibration: Calibration | None, sink: Sink) -> Pump:
        """Animate in a thread of its own."""
        detector = quick_face_detector(self._face_model)
        session = LiveSession(self.method, source, settings=settings, detector=detector, calibration=calibration)
        return Pump(session, sink)

    def close(self) -> None:
        """End the child."""
        self.opener.close()
