"""Follow whoever is found from frame to frame, and cut the tracks that make a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import pstdev
from typing import Literal

from stillmotion.core.errors import ConfigError
from stillmotion.data.preparation.boxes import Box, Shape, grown


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a track goes on, and when it becomes a clip. The defaults are the published ones of VoxCeleb.

    Attributes:
        overlap: A track ends when the box's intersection over union with its *first* box falls below this.
        gap: Frames in a row in which nothing may be found without ending the track.
        least_frames: Shorter tracks are dropped.
        most_frames: Longer tracks are cut.
        least_side: Tracks whose crop, before the margin, has a longer side below this many pixels are dropped.
        margin: See `boxes.grown`.
        shape: See `boxes.Shape`.
        outside: What happens where the crop leaves the frame: `drop` the track, as published, or
            `slide` the crop into the frame if it fits there.
        follow: `track`; or `first`, one track with the first box and all frames, as UvA-Nemo was cut.
    """

    overlap: float = 0.25
    gap: int = 0
    least_frames: int = 64
    most_frames: int = 1024
    least_side: int = 256
    margin: float = 0.1
    shape: Shape = "square"
    outside: Literal["drop", "slide"] = "drop"
    follow: Literal["track", "first"] = "track"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: A number is out of its range.
        """
        wrong = {
            "overlap": not 0 < self.overlap <= 1,
            "gap": self.gap < 0,
            "least_frames": self.least_frames < 1,
            "most_frames": self.most_frames < self.least_frames,
            "least_side": self.least_side < 1,
            "margin": not 0 <= self.margin <= 2,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(
                    f"{name.replace('_', ' ')} {getattr(self, name)} makes no sense",
                    hint="overlap is above 0 and up to 1, margin 0 to 2, and a clip has at least one frame",
                )


@dataclass
class Track:
    """Somebody from one frame to another.

    Attributes:
        start: First frame.
        stop: One past the last frame in which they were found.
        first: Their box there.
        union: The smallest box around all their boxes.
    """

    start: int
    stop: int
    first: Box
    union: Box
    _centres: list[tuple[float, float]] = field(default_factory=list, repr=False)

    @classmethod
    def begin(cls, index: int, box: Box) -> Track:
        """A track of one frame."""
        return cls(index, index + 1, box, box, [box.centre])

    def add(self, index: int, box: Box) -> None:
        """Go on to a frame."""
        self.stop = index + 1
        self.union = self.union.with_(box)
        self._centres.append(box.centre)

    @property
    def wander(self) -> float:
        """How freely they move in their crop: deviation of the box's centre over the crop's longer side."""
        spread = sum(pstdev(values) ** 2 for values in zip(*self._centres, strict=True)) ** 0.5
        return spread / max(self.union.longer_side, 1.0)


def follow(found: Iterable[Sequence[Box]], rule: Rule) -> Iterator[Track]:
    """The tracks in a video, in the order in which they end, short ones included.

    Every frame's boxes are given to the running tracks, the best overlap with a track's first box
    first; a box that belongs to none begins a track of its own. So a face that has drifted too far
    ends one track and begins the next.

    Args:
        found: Boxes of each frame, in time order.
        rule: When a track goes on.

    Source:
        The published script follows one annotated face. Following all of them, and `gap`, are ours.
    """
    if rule.follow == "first":
        yield from _hold_first(found)
        return
    running: list[Track] = []
    for index, boxes in enumerate(found):
        free = _assign(index, boxes, running, rule)
        ended = [t for t in running if index + 1 - t.stop > rule.gap]
        full = [t for t in running if t.stop - t.start >= rule.most_frames]
        yield from (track for track in running if track in ended or track in full)
        running = [track for track in running if track not in ended and track not in full]
        running += [Track.begin(index, box) for box in free]
    yield from running


def _assign(index: int, boxes: Sequence[Box], running: Sequence[Track], rule: Rule) -> list[Box]:
    """Let tracks go on with the boxes that are theirs; what is left over comes back."""
    pairs = [(track.first.overlap(box), t, b) for t, track in enumerate(running) for b, box in enumerate(boxes)]
    taken_tracks: set[int] = set()
    taken_boxes: set[int] = set()
    for overlap, t, b in sorted(pairs, key=lambda pair: -pair[0]):
        if overlap >= rule.overlap and t not in taken_tracks and b not in taken_boxes:
            running[t].add(index, boxes[b])
            taken_tracks.add(t)
            taken_boxes.add(b)
    return [box for b, box in enumerate(boxes) if b not in taken_boxes and box.area > 0]


def _hold_first(found: Iterable[Sequence[Box]]) -> Iterator[Track]:
    """One track over all frames with the largest box of the first frame that has any."""
    track: Track | None = None
    count = 0
    for boxes in found:
        count += 1
        if track is None and boxes:
            track = Track.begin(0, max(boxes, key=lambda box: box.area))
    if track is not None:
        track.stop = count
        yield track


@dataclass(frozen=True)
class Cut:
    """A clip that shall be cut out.

    Attributes:
        start: First frame.
        stop: One past the last.
        box: The crop, pixels of the frame.
        wander: See `Track.wander`; None where it is unknown.
    """

    start: int
    stop: int
    box: Box
    wander: float | None = None


def cuts(tracks: Iterable[Track], rule: Rule, *, size: tuple[int, int]) -> tuple[list[Cut], Counter[str]]:
    """The tracks that make clips, and why the others do not.

    Args:
        tracks: From `follow`.
        rule: What makes a clip.
        size: `(h, w)` of the frames.

    Returns:
        The cuts in the order of their first frames, and how many tracks were `too short`, `too
        small`, or had a crop `outside the frame`.
    """
    kept, dropped = [], Counter[str]()
    for track in sorted(tracks, key=lambda t: (t.start, t.stop, t.union.left)):
        for start in range(track.start, track.stop, rule.most_frames):
            stop = min(start + rule.most_frames, track.stop)
            box = grown(track.union, rule.margin, shape=rule.shape)
            box = box.slid_into(size) if rule.outside == "slide" else box
            if stop - start < rule.least_frames:
                dropped["too short"] += 1
            elif track.union.longer_side < rule.least_side:
                dropped["too small"] += 1
            elif not box.is_within(size):
                dropped["outside the frame"] += 1
            else:
                kept.append(Cut(start, stop, box.rounded().slid_into(size), round(track.wander, 4)))
    return kept, dropped
