"""What the page does when something is dropped, chosen or pressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from stillmotion import weights as shipped_weights
from stillmotion.core.errors import ImageError, MotionError, StillmotionError, VideoError
from stillmotion.server.worker import CancelledError
from stillmotion.studio.choices import Choices
from stillmotion.studio.desk import Desk, examples
from stillmotion.studio.words import say, sorry, tell

MINE, EXAMPLE = "A clip of mine", "The example that ships"
STEPS = {"←": (-1, 0, 0), "→": (1, 0, 0), "↑": (0, -1, 0), "↓": (0, 1, 0), "smaller": (0, 0, -1), "larger": (0, 0, 1)}
"""Buttons that change a crop: right, down, larger."""
CANCELLED = "Cancelled. Nothing was kept."
STEP = 0.06
"""How far one press moves a crop, and how much it scales it, as a share of its side."""


class Handlers:
    """The answers to one tab's buttons. Values come in the order: photo, clip, where motion comes from, settings.

    Args:
        desk: Does the work.
        names: Fields of `Choices` that the settings stand for, in their order on the page.
    """

    def __init__(self, desk: Desk, names: Sequence[str]) -> None:
        self._desk, self._names = desk, tuple(names)

    def looker(self, what: str) -> Callable[..., Any]:
        """The handler that shows the crop of a `photo` or `clip`."""

        def look(path: str | None, crop: str, chosen: str, request: gr.Request) -> tuple[Any, ...]:
            if not path:
                return None, {}, say(f"No {what} yet.")
            try:
                seen = self._desk.look(visitor(request), what, path, crop=crop, weights=chosen)
            except StillmotionError as error:
                return None, {}, sorry(error)
            width, height = seen["size"]
            return seen["picture"], seen, say(f"{width} × {height} pixels; cut out is what is bright below.")

        return look

    def nudger(self, name: str) -> Callable[..., str]:
        """The handler of one of the buttons that change a crop."""

        def nudge(text: str, seen: dict[str, Any]) -> str:
            return nudged(seen["crop"], STEPS[name]) if seen.get("crop") else text

        return nudge

    def find_reference(self, request: gr.Request, *values: Any) -> tuple[Any, ...]:
        """Show the closest driving frame and its score."""
        photo, clip, kind, *settings = values
        try:
            _need(photo, clip, kind)
            found = self._desk.reference(visitor(request), photo, _driving(clip, kind), self._choices(settings))
        except StillmotionError as error:
            return gr.skip(), None, sorry(error)
        word = "a good fit" if found["good"] else "a poor fit: expect distortions, or choose another clip"
        text = f"Frame {found['index']}, {found['score']:.2f} from the photo's pose (0 is the same): {word}."
        return str(found["index"]), found["picture"], say(text)

    def line(self, *values: Any) -> str:
        """The command line that does the same."""
        photo, clip, kind, *settings = values
        driving = (Path(clip).name if clip else "clip.mp4") if kind == MINE else examples()[1]
        name = Path(photo).name if photo else "photo.jpg"
        return self._choices(settings).line(name, driving, default_weights=shipped_weights.DEFAULT)

    def run_one(
        self,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how Gradio asks for it
        *values: Any,
    ) -> tuple[Any, ...]:
        """Animate one photo: the video, its download, and words for result, photo and clip."""
        photo, clip, kind, *settings = values
        try:
            _need(photo, clip, kind)
            self._desk.begin(visitor(request))
        except StillmotionError as error:
            return self._failed(error)
        try:
            progress(0.0, desc="starting")
            video, report = self._desk.animate(
                visitor(request), photo, _driving(clip, kind), self._choices(settings), progress=_ticker(progress)
            )
        except StillmotionError as error:
            return self._failed(error)
        finally:
            self._desk.visits.end(visitor(request))
        return str(video), gr.update(value=str(video), visible=True), tell(report), gr.skip(), gr.skip()

    def run_all(
        self,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        *values: Any,
    ) -> tuple[Any, ...]:
        """Animate several photos: a gallery, the files, and words."""
        photos, clip, kind, *settings = values
        try:
            _need(photos, clip, kind)
            self._desk.begin(visitor(request))
        except StillmotionError as error:
            return None, gr.update(visible=False), sorry(error)
        done: list[tuple[str, str]] = []
        words: list[str] = []
        try:
            for index, photo in enumerate(photos):
                tick = _ticker(progress, label=f"photo {index + 1} of {len(photos)}: ")
                try:
                    video, _ = self._desk.animate(
                        visitor(request), photo, _driving(clip, kind), self._choices(settings), progress=tick
                    )
                    done.append((str(video), Path(photo).name))
                except StillmotionError as error:
                    words.append(sorry(error, about=Path(photo).name))
                    if isinstance(error, CancelledError):
                        break
        finally:
            self._desk.visits.end(visitor(request))
        words.insert(0, say(f"{len(done)} of {len(photos)} done."))
        return done, gr.update(value=[path for path, _ in done], visible=bool(done)), "".join(words)

    def cancel(self, request: gr.Request) -> str:
        """End the visitor's job."""
        self._desk.cancel(visitor(request))
        self._desk.visits.end(visitor(request))
        return say(CANCELLED)

    def _choices(self, settings: Sequence[Any]) -> Choices:
        return Choices(**dict(zip(self._names, settings, strict=True)))

    def _failed(self, error: StillmotionError) -> tuple[Any, ...]:
        """The words go to the result, and to the photo or clip where it is their fault."""
        if isinstance(error, CancelledError):  # it may come before or after what `cancel` says: both say the same
            return None, gr.update(visible=False), say(CANCELLED), gr.skip(), gr.skip()
        words = sorry(error)
        about_photo = words if isinstance(error, ImageError) else gr.skip()
        about_clip = words if isinstance(error, VideoError | MotionError) else gr.skip()
        return None, gr.update(visible=False), words, about_photo, about_clip


def visitor(request: gr.Request) -> str:
    """Who asks: one open page, or one client."""
    return str(getattr(request, "session_hash", None) or "api")


def nudged(crop: str, step: tuple[int, int, int]) -> str:
    """A box `x,y,w,h` moved or scaled about its centre by a step, in whole pixels."""
    x, y, w, h = (float(part) for part in crop.split(","))
    right, down, grow = step
    factor = 1 + STEP * grow
    x, y = x + STEP * right * w + (w - w * factor) / 2, y + STEP * down * h + (h - h * factor) / 2
    return ",".join(str(round(value)) for value in (x, y, w * factor, h * factor))


def _driving(clip: str | None, kind: str) -> str:
    return str(clip) if kind == MINE else examples()[1]


def _need(photo: object, clip: object, kind: str) -> None:
    if not photo:
        raise ImageError("there is no photo yet", hint="drop one above, or use the example")
    if kind == MINE and not clip:
        raise VideoError("there is no clip yet", hint="drop one above, or take the example motion")


def _ticker(progress: gr.Progress, label: str = "") -> Callable[[int, int | None, float], object]:
    def tick(done: int, total: int | None, speed: float) -> object:
        return progress((done, total), desc=f"{label}frame {done}, {speed:.0f} a second", unit="frames")

    return tick
