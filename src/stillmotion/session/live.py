"""A source that performs what a camera sees, as it sees it: calibration, crop, lost faces, settings that change."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from stillmotion.core.errors import CropError
from stillmotion.core.frame import Frame, check_frame
from stillmotion.core.method import Method
from stillmotion.core.motion import Keypoints, Mode, Motion
from stillmotion.prepare.crop import Crop, face_crop, whole_crop
from stillmotion.prepare.faces import Face, FaceDetector, main_face
from stillmotion.prepare.reference import pose_mismatch
from stillmotion.prepare.resize import resize_frame
from stillmotion.prepare.smooth import OneEuro
from stillmotion.session.animator import Animator
from stillmotion.session.faces import quick_face_detector
from stillmotion.session.hold import Hold

LOOK_EVERY = 0.4
"""Seconds between looks for a face."""
LOOK_SIDE = 320
"""Longer side, in pixels, at which faces are looked for."""
PATIENCE = 2
"""Looks in a row without a face until it counts as lost."""
JUMP = 0.6
"""Pose change from frame to frame, in `pose_mismatch`, that no head makes: such a frame is held over."""
JUMPS = 6
"""Frames in a row after which a jump is believed."""
BETTER = 0.03
"""By how much a pose must be closer to the source's for the reference to move to it by itself."""


@dataclass(frozen=True)
class Settings:
    """What can be changed while it runs.

    Attributes:
        mode: Transfer mode; None takes the method's first.
        mirror: Flip the camera's picture, as a mirror does.
        zoom: Scale of the crop about its centre, 0.5 to 2; above 1 the face is larger.
        overlay: Show the driver faintly over the result, as a guide.
        auto: Move the reference by itself to a pose closer to the source's.
        smooth: Take jitter off.
        label: Write that it is generated into the picture.
    """

    mode: Mode | None = None
    mirror: bool = True
    zoom: float = 1.0
    overlay: bool = False
    auto: bool = True
    smooth: bool = True
    label: bool = False

    def changed(self, **changes: Any) -> Settings:
        """These settings with some changed; unknown names and values that make no sense are left out."""
        clean: dict[str, Any] = {}
        for name, value in changes.items():
            if name == "mode" and value in ("relative", "absolute"):
                clean[name] = value
            elif name == "zoom" and isinstance(value, int | float):
                clean[name] = min(max(float(value), 0.5), 2.0)
            elif name in ("mirror", "overlay", "auto", "smooth", "label") and isinstance(value, bool):
                clean[name] = value
        return replace(self, **clean)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What calibrating found; with it, a session that was broken off goes on as it was.

    Attributes:
        reference: The driver's rest pose; None before there is one.
        crop: Where the camera's picture is cut; None while no face was found.
        mismatch: `pose_mismatch` of the reference and the source, where both are keypoints.
    """

    reference: Motion | None = None
    crop: Crop | None = None
    mismatch: float | None = None


class Watcher:
    """Looks for the face now and then, in its own thread, so that frames do not wait for it.

    Args:
        detector: Finds faces; used by this thread alone.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self.face: Face | None = None
        self.misses = 0
        self.looks = 0
        self._detector = detector
        self._frame: Frame | None = None
        self._wanted = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def show(self, frame: Frame) -> None:
        """Hand over the frame to look at next; never waits."""
        if not self._wanted.is_set():
            self._frame = frame
            self._wanted.set()

    def look(self, frame: Frame) -> Face | None:
        """Look now, and remember."""
        height, width = frame.shape[:2]
        scale = min(1.0, LOOK_SIDE / max(height, width))
        small = resize_frame(frame, (max(round(height * scale), 1), max(round(width * scale), 1)))
        found = main_face(self._detector.find(small))
        if found is not None:
            x, y, w, h = (value / scale for value in found.box)
            self.face = Face(box=(x, y, w, h), score=found.score)
        self.misses = 0 if found is not None else self.misses + 1
        self.looks += 1
        return self.face if found is not None else None

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._wanted.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._is_closed:
                return
            if self._frame is not None:
                self.look(self._frame)
            self._wanted.clear()


class LiveSession:
    """One source, one camera. `step` is called by one thread; the other methods by any.

    Args:
        method: Loaded method.
        source: Cropped source, `uint8` of the method's size.
        settings: To begin with.
        detector: Finds faces for methods that animate faces; None takes the default one.
        calibration: Of an earlier session with the same driver, to go on from; another method's is left out.
    """

    def __init__(
        self,
        method: Method,
        source: Frame,
        *,
        settings: Settings | None = None,
        detector: FaceDetector | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.status = "looking for a face"
        self.mismatch: float | None = None
        self._method = method
        self._wants_face = method.spec.crop == "face"
        self._watcher = Watcher(detector or quick_face_detector(None)) if self._wants_face else None
        self._lock = threading.Lock()
        self._crop: Crop | None = None
        self._looked = float("-inf")
        self._calibrates = False
        self._last: Motion | None = None
        self._jumps = 0
        self._labeller: Any = None
        self.swap(source)
        if calibration is not None:
            self._restore(calibration)

    @property
    def calibration(self) -> Calibration:
        """The rest pose and the crop as they are now."""
        return Calibration(self._animator.reference, self._crop, self.mismatch)

    def close(self) -> None:
        """End the thread that looks for faces."""
        if self._watcher is not None:
            self._watcher.close()

    def swap(self, source: Frame) -> None:
        """Perform with another source from the next frame on; the reference stays the driver's."""
        animator = self._animator_for(source)
        animator.render(animator.source)  # the first run of a network is its slowest, and nobody waits for it here
        with self._lock:
            kept = getattr(self, "_animator", None)
            animator.reference = kept.reference if kept is not None else None
            self._source, self._animator, self._hold = source, animator, Hold(animator.source)

    def change(self, **changes: Any) -> Settings:
        """Change settings; see `Settings.changed`."""
        with self._lock:
            before, self.settings = self.settings, self.settings.changed(**changes)
            if (before.mode, before.smooth) != (self.settings.mode, self.settings.smooth):
                reference = self._animator.reference
                self._animator = self._animator_for(self._source)
                self._animator.reference = reference
                self._hold.restart(perf_counter())
            if (before.mirror, before.zoom) != (self.settings.mirror, self.settings.zoom):
                self._last, self._calibrates = None, True
        return self.settings

    def calibrate(self) -> None:
        """Take the pose of the next frame as the rest pose, and place the crop around the face anew."""
        self._calibrates = True

    def step(self, frame: Frame, time: float) -> Frame:
        """One camera frame in, one frame out.

        Args:
            frame: `uint8 (h, w, 3)` of any size.
            time: Seconds on a rising clock.

        Returns:
            `uint8 (h, w, 3)` of the method's size.
        """
        with self._lock:
            frame = np.ascontiguousarray(check_frame(frame)[:, ::-1]) if self.settings.mirror else frame
            self._watch(frame, time)
            driver = self._cut(frame)
            wanted = self._follow(driver, time) if driver is not None else None
            performed = self._hold.step(wanted, time)
            out = self._animator.render(performed).frames[0]
            if self.settings.overlay and driver is not None:
                out = cv2.addWeighted(out, 0.6, driver, 0.4, 0.0)
            return self._labelled(out) if self.settings.label else out

    def idle(self, time: float) -> Frame:
        """A frame for a moment in which the camera gave none: what is shown is held, then fades to rest."""
        with self._lock:
            self.status = "the camera gives no pictures"
            return self._animator.render(self._hold.step(None, time)).frames[0]

    def _restore(self, calibration: Calibration) -> None:
        reference, mine = calibration.reference, self._animator.source
        if reference is not None and _shapes(reference) != _shapes(mine):
            return
        self._animator.reference, self._crop = reference, calibration.crop
        self.mismatch = calibration.mismatch

    def _animator_for(self, source: Frame) -> Animator:
        smooth = OneEuro() if self.settings.smooth and self._method.spec.motion == "keypoints" else None
        mode = self.settings.mode or self._method.spec.modes[0]
        return Animator(self._method, source, mode=mode, smooth=smooth)

    def _watch(self, frame: Frame, time: float) -> None:
        if self._watcher is not None and time - self._looked >= LOOK_EVERY:
            self._looked = time
            self._watcher.show(frame)

    def _cut(self, frame: Frame) -> Frame | None:
        """What the network sees of the camera; None while there is no face to cut out."""
        if self._crop is None or self._calibrates:
            self._crop = self._place(frame)
        if self._crop is None or (self._watcher is not None and self._watcher.misses >= PATIENCE):
            has_looked = self._watcher is not None and self._watcher.looks > 0
            self.status = "no face to be seen" if has_looked else "looking for a face"
            return None
        try:
            return self._crop.apply(frame, self._method.spec.size)
        except CropError:  # the camera changed its size
            self._crop = None
            return None

    def _place(self, frame: Frame) -> Crop | None:
        if self._watcher is None:
            chosen = whole_crop((frame.shape[0], frame.shape[1]), self._method.spec.size)
        else:
            # The watcher's face is of this very view: after mirroring, one must be looked for again.
            face = self._watcher.look(frame) if self._calibrates else self._watcher.face
            if face is None:
                return self._crop
            chosen = face_crop(face, self._method.spec.margin, size=self._method.spec.size)
        shrink = 1.0 - 1.0 / self.settings.zoom
        return Crop(
            chosen.x + chosen.w * shrink / 2,
            chosen.y + chosen.h * shrink / 2,
            chosen.w * (1.0 - shrink),
            chosen.h * (1.0 - shrink),
        )

    def _follow(self, driver: Frame, time: float) -> Motion | None:
        """What the driver asks for; None where the reading cannot be right."""
        motion = self._animator.read(driver)
        if self._is_jump(motion):
            return None
        self._last = motion
        self._move_reference(motion, time)
        self.status = "live"
        return self._animator.transfer(motion, time)

    def _is_jump(self, motion: Motion) -> bool:
        if not (isinstance(motion, Keypoints) and isinstance(self._last, Keypoints)):
            return False
        self._jumps = self._jumps + 1 if pose_mismatch(self._last, motion) > JUMP else 0
        return 0 < self._jumps <= JUMPS

    def _move_reference(self, motion: Motion, time: float) -> None:
        mine = self._animator.source
        distance = None
        if isinstance(motion, Keypoints) and isinstance(mine, Keypoints):
            distance = pose_mismatch(mine, motion)
        is_closer = distance is not None and self.mismatch is not None and distance < self.mismatch - BETTER
        if self._animator.reference is None or self._calibrates or (self.settings.auto and is_closer):
            self._animator.reference, self.mismatch, self._calibrates = motion, distance, False
            self._hold.restart(time)

    def _labelled(self, frame: Frame) -> Frame:
        if self._labeller is None:
            from stillmotion.prepare.label import Labeller

            self._labeller = Labeller((frame.shape[0], frame.shape[1]))
        labelled: Frame = self._labeller.write(frame)
        return labelled


def _shapes(motion: Motion) -> list[tuple[str, tuple[int, ...]]]:
    """The arrays of a motion by name and shape: equal for motions that can be transferred."""
    return [(name, array.shape) for name, array in vars(motion).items() if array is not None]
