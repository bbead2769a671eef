"""What the page asks for, as options of `animate` and as the command line that does the same."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from stillmotion.core.errors import ConfigError


@dataclass(frozen=True)
class Choices:
    """The settings of one run; fields are named as the options of `stillmotion animate`.

    Attributes:
        motion: `relative` or `absolute`.
        reference: `first`, `auto`, or the number of a frame as text.
        weights: Name of shipped weights.
        crop_source: `auto`, `none` or `x,y,w,h`.
        crop_driving: The same for the clip.
        smooth: Take jitter off.
        paste_back: Set the result back into the full photo.
        side_by_side: Source and driving beside the result, in one video.
        label: Write into the picture that it was generated.
        show: `nothing`, `keypoints`, `flow` or `occlusion`.
    """

    motion: str = "relative"
    reference: str = "first"
    weights: str = ""
    crop_source: str = "auto"
    crop_driving: str = "auto"
    smooth: bool = False
    paste_back: bool = False
    side_by_side: bool = False
    label: bool = False
    show: str = "nothing"

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `stillmotion.animate`, without the weights.

        Raises:
            ConfigError: The reference is neither a word nor a number.
        """
        return {
            "motion": self.motion,
            "reference": self.frame(),
            "crop_source": self.crop_source or "auto",
            "crop_driving": self.crop_driving or "auto",
            "smooth": self.smooth,
            "paste_back": self.paste_back,
            "side_by_side": self.side_by_side,
            "label": self.label,
            "show": None if self.show == "nothing" else self.show,
        }

    def frame(self) -> str | int:
        """The reference as `animate` takes it.

        Raises:
            ConfigError: Neither `first`, `auto` nor a number from 0.
        """
        text = self.reference.strip().lower()
        if text in ("first", "auto"):
            return text
        if not text.isdecimal():
            raise ConfigError(f"{self.reference!r} is no frame", hint="write first, auto or a number from 0")
        return int(text)

    def line(self, photo: str, clip: str, output: str = "out.mp4", *, default_weights: str = "") -> str:
        """The `stillmotion animate` line that does the same."""
        words = ["stillmotion", "animate", photo, clip, "-o", output]
        if self.weights and self.weights != default_weights:
            words += ["--weights", self.weights]
        for name, usual in (("motion", "relative"), ("reference", "first"), ("show", "nothing")):
            value = getattr(self, name).strip()
            words += [f"--{name}", value] if value and value != usual else []
        for name in ("crop_source", "crop_driving"):
            value = getattr(self, name).strip()
            # The equals sign keeps a box that begins with a minus from being taken for an option.
            words += [f"--{name.replace('_', '-')}={value}"] if value not in ("", "auto") else []
        for name in ("smooth", "paste_back", "side_by_side", "label"):
            words += [f"--{name.replace('_', '-')}"] if getattr(self, name) else []
        return shlex.join(words)
