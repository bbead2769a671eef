"""One picture and one clip through several weights: a grid video and a contact sheet, a row per method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stillmotion import methods
from stillmotion.core.errors import ConfigError, OutputError, VideoError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.core.motion import Mode
from stillmotion.evaluate.grid import draw_grid, grid_size, tile_side
from stillmotion.evaluate.naming import told_apart
from stillmotion.prepare.faces import FaceDetector
from stillmotion.session.animator import Animator
from stillmotion.session.driving import Driving, open_driving
from stillmotion.session.inputs import CropChoice, check_output, face_detector, open_source
from stillmotion.session.meter import Progress, noting_what_is_kept
from stillmotion.video.image import write_image
from stillmotion.video.write import VideoWriter

SHOWN = 6
"""Moments on the contact sheet."""
_SHEET_SIDE = 160


@dataclass(frozen=True)
class Comparison:
    """What was written.

    Attributes:
        video: The grid, a row per method: source, driving, result.
        sheet: The contact sheet: the driving frames, then a row per method.
        frames: In the video.
        shown: Numbers of the frames on the sheet.
        names: Of the rows, in order.
    """

    video: Path
    sheet: Path
    frames: int
    shown: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(eq=False)
class _Row:
    """One method at work: its source as it sees it, its driving, its answers."""

    source: Frame
    driving: Driving
    animator: Animator

    def moments(self) -> Iterator[tuple[Fraction, tuple[Frame, Frame, Frame]]]:
        for moment in self.driving:
            performed = self.animator.transfer(moment.motion, float(moment.time))
            result = self.animator.render(performed).frames[0]
            assert moment.picture is not None
            yield moment.time, (self.source, moment.picture, result)


def load_rows(
    weights: Sequence[str], *, engine: methods.EngineName = "auto", device: str | None = None
) -> dict[str, Method]:
    """Loaded methods by the name of their row.

    Args:
        weights: Names, bundles, runs or checkpoints, of any methods.
        engine: See `methods.load`.
        device: For torch.

    Raises:
        ConfigError: Fewer than two, or one twice.
        WeightsError: Some cannot be used.
    """
    if len(weights) < 2:
        raise ConfigError("a comparison takes two weights or more", hint="--weights A B; for one: stillmotion animate")
    loaded = [methods.load(given, engine=engine, device=device) for given in weights]
    names = told_apart([f"{method.spec.name}: {method.spec.weights}" for method in loaded], weights)
    return dict(zip(names, loaded, strict=True))


def compare(
    source: str | Path,
    driving: str | Path,
    output: str | Path,
    *,
    rows: dict[str, Method],
    motion: Mode | None = None,
    crop_source: CropChoice = "auto",
    crop_driving: CropChoice = "auto",
    detector: FaceDetector | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Animate with every method and show all of them at the same moments.

    Args:
        source: Picture to animate.
        driving: Clip; a motion file belongs to one method alone and will not do.
        output: The grid video, such as `compare.mp4`; the sheet lies beside it, `compare.png`.
        rows: Methods by the name of their row, see `load_rows`.
        motion: Transfer mode of all; None takes what each method does first.
        crop_source: See `animate`.
        crop_driving: The same for the clip.
        detector: Finds faces; None takes the shipped one.
        progress: Called after each frame.

    Raises:
        ConfigError: A method does not offer this transfer.
        StillmotionError: Some input or output cannot be used.
    """
    video, sheet = Path(output), Path(output).with_suffix(".png")
    if video == sheet:
        raise OutputError(f"{video} is a picture", hint="name the video, such as compare.mp4; the sheet goes beside it")
    check_output(video, source, driving)
    check_output(sheet, source, driving)
    detector = detector or face_detector()
    with ExitStack() as stack:
        working = {}
        for name, method in rows.items():
            still = open_source(source, method.spec, crop=crop_source, detector=detector)
            driven = stack.enter_context(
                open_driving(driving, method, crop=crop_driving, detector=detector, has_pictures=True)
            )
            if not driven.has_pictures:
                raise VideoError(f"{driving} holds motion without pictures", hint="give the clip that it was read from")
            working[name] = _Row(still.frame, driven, Animator(method, still.frame, mode=motion))
        frames, shown = _film(working, rows, video, sheet, progress=progress)
    return Comparison(video, sheet, frames, shown, tuple(rows))


def _film(
    working: dict[str, _Row], rows: dict[str, Method], video: Path, sheet: Path, *, progress: Progress | None
) -> tuple[int, tuple[int, ...]]:
    """Write the video, then the sheet of the moments that were kept."""
    side = tile_side([method.spec.size for method in rows.values()])
    first = next(iter(working.values())).driving
    facts = {
        "method": ", ".join(dict.fromkeys(method.spec.name for method in rows.values())),
        "weights": ", ".join(method.spec.weights for method in rows.values()),
    }
    keeper = _Keeper()
    writer = VideoWriter(video, fps=first.fps, size=grid_size(len(rows), side), audio_from=first.sound, facts=facts)
    with noting_what_is_kept(writer), writer:
        for moments in zip(*(row.moments() for row in working.values()), strict=True):
            pictures = {name: frames for name, (_, frames) in zip(working, moments, strict=True)}
            writer.write(draw_grid(pictures, side=side), moments[0][0])
            keeper.see(pictures)
            if progress is not None:
                progress(writer.frames, first.length and max(first.length, writer.frames), 0.0)
        if writer.frames < 2:
            raise VideoError("the driving clip has one frame, so nothing moves", hint="give a clip of two or more")
    numbers, kept = keeper.spread()
    write_image(sheet, draw_sheet(numbers, kept))
    return writer.frames, numbers


class _Keeper:
    """Keeps evenly spread moments of a clip of unknown length, never more than twice `SHOWN`."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, dict[str, tuple[Frame, Frame, Frame]]]] = []
        self._seen, self._every = 0, 1

    def see(self, pictures: dict[str, tuple[Frame, Frame, Frame]]) -> None:
        if self._seen % self._every == 0:
            self._kept.append((self._seen, pictures))
        self._seen += 1
        if len(self._kept) > 2 * SHOWN:
            self._kept, self._every = self._kept[::2], self._every * 2

    def spread(self) -> tuple[tuple[int, ...], list[dict[str, tuple[Frame, Frame, Frame]]]]:
        """Numbers and pictures of at most `SHOWN` moments, the first among them."""
        count = min(SHOWN, len(self._kept))
        picked = [self._kept[round(i * (len(self._kept) - 1) / max(count - 1, 1))] for i in range(count)]
        return tuple(number for number, _ in picked), [pictures for _, pictures in picked]


def draw_sheet(numbers: Sequence[int], kept: Sequence[dict[str, tuple[Frame, Frame, Frame]]]) -> Frame:
    """The contact sheet: source and driving frames on top, then each method's source and results.

    Args:
        numbers: Of the driving frames.
        kept: For each of them, by row: source, driving frame, result.

    Returns:
        `uint8 (h, w, 3)`.
    """
    names = list(kept[0])
    first = names[0]
    rows = {"driving": [kept[0][first][0], *(pictures[first][1] for pictures in kept)]}
    for name in names:
        rows[name] = [kept[0][name][0], *(pictures[name][2] for pictures in kept)]
    return draw_grid(rows, side=_SHEET_SIDE, titles=["source", *(f"frame {number}" for number in numbers)])
