"""What the written frame looks like: the animated crop, set back, marked, or beside its makings."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from stillmotion.core.errors import ConfigError, MotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import MethodSpec, Rendering
from stillmotion.core.motion import Latent, Motion
from stillmotion.prepare.label import Labeller
from stillmotion.prepare.paste import Paster
from stillmotion.prepare.resize import resize_frame, side_by_side
from stillmotion.prepare.show import draw_flow, draw_keypoints, draw_occlusion
from stillmotion.session.inputs import SourcePicture

Show: TypeAlias = Literal["keypoints", "flow", "occlusion"]
"""What to show of the method's inner life: marks on the frame, or a map beside it."""


class Composer:
    """Makes the frame that is written from what the method rendered.

    Args:
        still: The full source picture and the crop of it that is animated.
        spec: Of the method.
        paste_back: Set the animated crop back into the full picture.
        side_by_side: Put the source, and the driving frame where there is one, to the left.
        show: `keypoints` are marked on the frame; `flow` and `occlusion` add a map to the right.
        label: Write that it was generated into the result.
        has_driving: Whether `compose` will get driving frames to put side by side.

    Raises:
        ConfigError: `show` is another word.
        CropError: The crop does not fit the picture.

    Attributes:
        size: `(h, w)` of every composed frame.
    """

    def __init__(
        self,
        still: SourcePicture,
        spec: MethodSpec,
        *,
        paste_back: bool = False,
        side_by_side: bool = False,
        show: Show | None = None,
        label: bool = False,
        has_driving: bool = False,
    ) -> None:
        if show is not None and show not in get_args(Show):
            raise ConfigError(f"cannot show {show!r}", hint=f"use one of {', '.join(get_args(Show))}", seen=show)
        self._spec, self._show = spec, show
        self._paster = Paster(still.picture, still.crop, size=spec.size) if paste_back else None
        source = still.picture if paste_back else still.frame
        self._height = source.shape[0]
        self._labeller = Labeller((source.shape[0], source.shape[1])) if label else None
        self._left = [source] if side_by_side else []
        self._has_driving = side_by_side and has_driving
        extra = self._has_driving + (show in ("flow", "occlusion"))
        self.size = (self._height, source.shape[1] * (1 + side_by_side) + self._panel_width * extra)

    def compose(self, rendering: Rendering, motion: Motion, *, driving: Frame | None = None) -> Frame:
        """One frame to write.

        Args:
            rendering: One frame, of `spec.size`.
            motion: What it performs, for its marks.
            driving: The driving frame, of `spec.size`; shown only side by side.

        Returns:
            `uint8 (h, w, 3)`, the same size each time.

        Raises:
            MotionError: What is to be shown is something that the method does not have.
        """
        frame = rendering.frames[0]
        if (self._show == "keypoints" and isinstance(motion, Latent)) or (
            self._show in ("flow", "occlusion") and not rendering.flows
        ):
            raise MotionError(f"{self._spec.name} has no {self._show} to show", hint="leave --show out")
        if self._show == "keypoints" and not isinstance(motion, Latent):
            frame = draw_keypoints(frame, motion, convention=self._spec.convention)
        if self._paster is not None:
            frame = self._paster.paste(frame)
        if self._labeller is not None:
            frame = self._labeller.write(frame)
        panels = [*self._left, frame]
        if self._has_driving and driving is not None:
            panels.insert(1, self._panel(driving))
        if self._show == "flow":
            panels.append(self._panel(draw_flow(rendering.flows[0], self._spec.size)))
        elif self._show == "occlusion":
            panels.append(self._panel(draw_occlusion(rendering.flows[0], self._spec.size)))
        return side_by_side(*panels) if len(panels) > 1 else frame

    @property
    def _panel_width(self) -> int:
        height, width = self._spec.size
        return max(round(width * self._height / height), 1)

    def _panel(self, frame: Frame) -> Frame:
        """A frame of `spec.size`, scaled to the height of the result, aspect kept."""
        return resize_frame(frame, (self._height, self._panel_width))
