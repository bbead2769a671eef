"""When a filmed driver's face goes out of sight: its pose is held and fades to rest, and the report says so."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from stillmotion.core.frame import Frame
from stillmotion.core.motion import Keypoints, Motion
from stillmotion.prepare.landmarks import Landmarker
from stillmotion.prepare.reference import POSE_MISMATCH, pose_mismatch
from stillmotion.session.faces import open_landmarker
from stillmotion.session.hold import Hold

STEP = 0.1
"""`pose_mismatch` between two frames above which the picture is looked at: in 18 clips of talking, signing and
turning heads it came to 0.07 from one frame to the third one after it, and to 0.4 and more once the face was gone."""

JUMP = 0.6
"""`pose_mismatch` to the last pose that was believed above which a face seen there is not the driver's: another
scene, or a face cut through by the crop."""


class Sight:
    """Watches the motion of one pass over a clip of a face.

    What a network reads in a picture without a face is noise, and so is what it renders of it. Only where
    the motion leaps is the picture looked at, so that ordinary clips pay nothing, and nothing is ever
    held where the landmark network does not see the driver's face in the first frame either.

    Args:
        open_networks: Opens the face networks at the first leap.

    Attributes:
        lost: Times in seconds at which the face was out of sight.
    """

    def __init__(self, open_networks: Callable[[], Landmarker] = open_landmarker) -> None:
        self.lost: list[Fraction] = []
        self._open = open_networks
        self._networks: Landmarker | None = None
        self._opening: tuple[Frame, Keypoints] | None = None
        self._believed: Keypoints | None = None
        self._hold: Hold | None = None
        self._is_known: bool | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for the report where the face was lost."""
        if not self.lost:
            return ()
        count = f"{len(self.lost)} frame{'s' if len(self.lost) > 1 else ''}"
        return (
            f"the driver's face is out of sight in {count}, first at {float(self.lost[0]):.2f} s: "
            "the pose before is held there and fades to rest; cut the clip before, or place the crop by --crop-driving",
        )

    def see(self, motion: Motion, picture: Frame, time: Fraction) -> Motion:
        """What the driver does, or what is held in its place.

        Args:
            motion: As it was read.
            picture: Where it was read, `uint8 (h, w, 3)`.
            time: Seconds, rising.
        """
        if not isinstance(motion, Keypoints):
            return motion
        if self._opening is None or self._hold is None:
            self._opening, self._believed, self._hold = (picture, motion), motion, Hold(motion, is_following=True)
        is_seen = self._is_plausible(motion) or self._shows_driver(motion, picture)
        if is_seen:
            self._believed = motion
        else:
            self.lost.append(time)
        performed: Any = self._hold.step(motion if is_seen else None, float(time))
        return performed  # type: ignore[no-any-return]

    def _is_plausible(self, motion: Keypoints) -> bool:
        """Whether it is so near to what was believed that nobody need look."""
        if self._is_known is False or self._opening is None or self._believed is None:
            return True
        return (
            pose_mismatch(self._believed, motion) <= STEP and pose_mismatch(self._opening[1], motion) <= POSE_MISMATCH
        )

    def _shows_driver(self, motion: Keypoints, picture: Frame) -> bool:
        self._networks = self._networks or self._open()
        if self._is_known is None and self._opening is not None:
            self._is_known = bool(self._networks.find(self._opening[0]))
        if not self._is_known:
            return True
        is_near = self._believed is None or pose_mismatch(self._believed, motion) <= JUMP
        return is_near and bool(self._networks.find(picture))
