"""What the written frame looks like: the animated crop, set back, marked, or beside its makings."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from stillmotion.core.errors import ConfigError, MotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Rendering
from stillmotion.core.motion import Latent, Motion
from stillmotion.prepare.label import Labeller
from stillmotion.prepare.paste import Paster
from stillmotion.prepare.resize import resize_frame, side_by_side
from stillmotion.prepare.show import draw_flow, draw_keypoints, draw_occlusion
from stillmotion.session.background import Backdrop
from stillmotion.session.cutout import as_grey, spread_colours
from stillmotion.video.image import composite

Show: TypeAlias = Literal["keypoints", "flow", "occlusion"]
"""What to show of the method's inner life: marks on the frame, or a map beside it."""


class Composed(NamedTuple):
    """One frame to write.

    Attributes:
        frame: `uint8 (h, w, 3)`.
        alpha: How opaque it is, `uint8 (h, w)`, the frame's colours not multiplied with it; None where all of it is.
    """

    frame: Frame
    alpha: np.ndarray | None


class Composer:
    """Makes the frame that is written from what the method rendered.

    Args:
        backdrop: The source, the crop of it that is animated, and what is behind it.
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
        has_alpha: Whether they are transparent.
    """

    def __init__(
        self,
        backdrop: Backdrop,
        *,
        paste_back: bool = False,
        side_by_side: bool = False,
        show: Show | None = None,
        label: bool = False,
        has_driving: bool = False,
    ) -> None:
        if show is not None and show not in get_args(Show):
            raise ConfigError(f"cannot show {show!r}", hint=f"use one of {', '.join(get_args(Show))}", seen=show)
        still, cutout, spec = backdrop.still, backdrop.cutout, backdrop.spec
        self._spec, self._show, self._cutout, self._colour = spec, show, cutout, backdrop.colour
        self.has_alpha = backdrop.is_transparent
        full = cutout.picture if cutout is not None and self.has_alpha else still.picture
        self._paster = Paster(full, still.crop, size=spec.size) if paste_back else None
        self._alpha_paster = cutout.paster() if paste_back and cutout is not None and self.has_alpha else None
        source = still.picture if paste_back else still.frame
        self._height = source.shape[0]
        self._labeller = Labeller((source.shape[0], source.shape[1])) if label else None
        self._label_alpha = _covered(self._labeller, source.shape[:2]) if self._labeller else 0
        self._left = [source] if side_by_side else []
        self._has_driving = side_by_side and has_driving
        extra = self._has_driving + (show in ("flow", "occlusion"))
        self.size = (self._height, source.shape[1] * (1 + side_by_side) + self._panel_width * extra)

    def compose(self, rendering: Rendering, motion: Motion, *, driving: Frame | None = None) -> Composed:
        """One frame to write.

        Args:
            rendering: One frame, of `spec.size`.
            motion: What it performs, for its marks.
            driving: The driving frame, of `spec.size`; shown only side by side.

        Returns:
            The frame, of the same size each time, with its alpha where the result is transparent.

        Raises:
            MotionError: What is to be shown is something that the method does not have.
        """
        if (self._show == "keypoints" and isinstance(motion, Latent)) or (
            self._show in ("flow", "occlusion") and not rendering.flows
        ):
            raise MotionError(f"{self._spec.name} has no {self._show} to show", hint="leave --show out")
        frame, alpha = self._animated(rendering, motion)
        if self._labeller is not None:
            frame = self._labeller.write(frame)
            alpha = None if alpha is None else np.maximum(alpha, self._label_alpha)
        panels = [*self._left, frame]
        if self._has_driving and driving is not None:
            panels.insert(1, self._panel(driving))
        if self._show == "flow":
            panels.append(self._panel(draw_flow(rendering.flows[0], self._spec.size)))
        elif self._show == "occlusion":
            panels.append(self._panel(draw_occlusion(rendering.flows[0], self._spec.size)))
        return Composed(side_by_side(*panels) if len(panels) > 1 else frame, alpha)

    def _animated(self, rendering: Rendering, motion: Motion) -> Composed:
        """The animated figure with what is behind it, marked and set back, but with nothing beside it."""
        frame, alpha = self._followed(rendering)
        if self._show == "keypoints" and not isinstance(motion, Latent):
            frame = draw_keypoints(frame, motion, convention=self._spec.convention)
        if self._paster is not None:
            frame = self._paster.paste(frame)
        if self._alpha_paster is not None and alpha is not None:
            alpha = self._alpha_paster.paste(as_grey(alpha))[..., 0]
        return Composed(frame, alpha)

    def _followed(self, rendering: Rendering) -> Composed:
        """The rendered frame with the transparency that follows it, laid on the colour where there is one."""
        frame = rendering.frames[0]
        if self._cutout is None:
            return Composed(frame, None)
        alpha = self._cutout.follow(rendering)
        if self._colour is not None:
            return Composed(composite(frame, alpha, background=self._colour), None)
        return Composed(spread_colours(frame, alpha), alpha)

    @property
    def _panel_width(self) -> int:
        height, width = self._spec.size
        return max(round(width * self._height / height), 1)

    def _panel(self, frame: Frame) -> Frame:
        """A frame of `spec.size`, scaled to the height of the result, aspect kept."""
        return resize_frame(frame, (self._height, self._panel_width))


def _covered(labeller: Labeller, size: tuple[int, ...]) -> np.ndarray:
    """Alpha of the label alone, `uint8 (h, w)`: what it hides looks the same whatever was there."""
    black, white = (labeller.write(np.full((*size, 3), level, np.uint8)) for level in (0, 255))
    return np.where((black == white).all(axis=2), 255, 0).astype(np.uint8)
