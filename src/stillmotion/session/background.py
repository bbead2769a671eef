"""What is behind a source with transparency: nothing, where the output can hold that, or a colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from PIL import ImageColor

from stillmotion.core.errors import ConfigError, OutputError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method, MethodSpec, Rendering
from stillmotion.session.cutout import Cutout
from stillmotion.session.inputs import File, SourcePicture
from stillmotion.video.image import BACKGROUND, composite
from stillmotion.video.write import TRANSPARENT_OUTPUTS, holds_alpha

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

Background: TypeAlias = str | Colour
"""`auto`, `transparent`, or a colour: a name or `#rrggbb` as in CSS, or three numbers."""


def parse_background(request: Background) -> Background:
    """A background as `auto`, `transparent` or three numbers.

    Raises:
        ConfigError: It is none of them, and no colour either.
    """
    if request in ("auto", "transparent"):
        return request
    try:
        colour = ImageColor.getrgb(request) if isinstance(request, str) else tuple(request)
    except (ValueError, TypeError):
        colour = ()
    if len(colour) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in colour):
        raise ConfigError(
            f"{request!r} is no background",
            hint="use auto, transparent, or a colour such as white or #00ff00",
            seen=request,
        )
    return colour[0], colour[1], colour[2]


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A source with what is behind it in the result.

    Attributes:
        still: The source, laid on the colour where there is one.
        spec: Of the method.
        cutout: What is animated where transparency follows the movement; None where `still` is, as it is.
        colour: What the result is laid on; None where the result is transparent, or all of the source opaque.
        note: What became of the transparency against expectation; None where nothing did.
    """

    still: SourcePicture
    spec: MethodSpec
    cutout: Cutout | None = None
    colour: Colour | None = None
    note: str | None = None

    @property
    def is_transparent(self) -> bool:
        """Whether the result is."""
        return self.cutout is not None and self.colour is None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the source, a line each."""
        return (*self.still.warnings, *((self.note,) if self.note else ()))

    @property
    def frame(self) -> Frame:
        """What the method animates, `uint8` of its size."""
        return self.still.frame if self.cutout is None else self.cutout.frame

    def fit(self, other: SourcePicture) -> Frame:
        """One more picture of the same, as `frame` is of the first."""
        if self.cutout is not None:
            found = _cut_out(other, self.spec)
            return other.frame if found is None else found.frame
        return other.frame if self.colour is None else _laid(other, self.colour, self.spec).frame


def open_backdrop(
    still: SourcePicture, method: Method, request: Background, *, output: File, has_panels: bool = False
) -> Backdrop:
    """Decide what is behind the source.

    `auto` is transparent where the source is and the output and the method can be, and white otherwise. A method
    without flow cannot move transparency: on a colour, its source is laid before it is animated, as photos are.

    Args:
        still: The source.
        method: Animates it.
        request: What the user asks for.
        output: What will be written.
        has_panels: Whether other pictures are written beside the result: such a frame is opaque.

    Raises:
        ConfigError: No such background, or a transparent one is asked for beside other pictures.
        OutputError: A transparent one is asked for, and the output cannot hold it.
        MotionError: A transparent one is asked for, and the method has no flow.
    """
    wanted = parse_background(request)
    if wanted == "transparent":
        _check_possible(output, has_panels=has_panels)
    cutout = _cut_out(still, method.spec)
    if cutout is None:
        note = "nothing in the picture is transparent, so the result is not" if wanted == "transparent" else None
        return Backdrop(still, method.spec, note=note)
    rest = _at_rest(method, cutout.frame)
    is_lost = wanted == "auto" and (has_panels or not holds_alpha(output) or not rest.flows)
    if isinstance(wanted, str) and not is_lost:
        cutout.follow(rest)  # refuses what has no flow, before anything is written
        return Backdrop(still, method.spec, cutout)
    colour = BACKGROUND if isinstance(wanted, str) else wanted
    note = _why_white(output, method.spec.name if not rest.flows else None, has_panels=has_panels) if is_lost else None
    return Backdrop(_laid(still, colour, method.spec), method.spec, cutout if rest.flows else None, colour, note)


def _check_possible(output: File, *, has_panels: bool) -> None:
    if has_panels:
        raise ConfigError(
            "a transparent background goes with no other pictures beside the result",
            hint="leave --side-by-side and --show out, or choose a colour",
        )
    if not holds_alpha(output):
        raise OutputError(f"{output} cannot be transparent", hint=f"write {TRANSPARENT_OUTPUTS}", path=Path(output))


def _why_white(output: File, flowless: str | None, *, has_panels: bool) -> str:
    if flowless is not None:
        return (
            f"{flowless} paints its frames and cannot move transparency, so the picture is laid on white: "
            "choose another colour with --background, or another method"
        )
    if has_panels:
        return "beside other pictures the result is laid on white: choose another colour with --background"
    kind = Path(output).suffix.lower()
    return (
        f"{kind} cannot be transparent, so the result is laid on white: write {TRANSPARENT_OUTPUTS}, "
        "or choose a colour with --background"
    )


def _cut_out(still: SourcePicture, spec: MethodSpec) -> Cutout | None:
    """The source without what is behind it; None where all of it is opaque."""
    if still.colour is None or still.alpha is None:
        return None
    return Cutout(still.colour, still.alpha, crop=still.crop, spec=spec)


def _laid(still: SourcePicture, colour: Colour, spec: MethodSpec) -> SourcePicture:
    """The source laid on a colour."""
    if still.colour is None or still.alpha is None:
        return still
    picture = composite(still.colour, still.alpha, background=colour)
    return replace(still, picture=picture, frame=still.crop.apply(picture, spec.size))


def _at_rest(method: Method, frame: Frame) -> Rendering:
    """The source in its own pose, to see what the method tells of a frame."""
    state = method.encode([frame])
    return method.render(state, [method.source_motion(state)])
