"""The published annotation files: which part of which video is a clip.

    video_id,start,end,bbox,fps,width,height,partition[,person_id]
    0_laIeN-Q44,3232,3353,494-69-885-461,25.0,1280,720,test,id10283

`bbox` is left-top-right-bottom in pixels of a frame of `width` x `height`; `start` and `end` count
frames at `fps`, the end not included. A copy of the video may have another size and rate.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stillmotion.core.errors import DataError
from stillmotion.data.preparation.boxes import Box
from stillmotion.data.preparation.tracking import Cut
from stillmotion.video.target import replacing

COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height", "partition")
PERSON = "person_id"
PARTITIONS = ("train", "test", "")
_BOX = re.compile(r"(-?\d+(?:\.\d+)?)-(-?\d+(?:\.\d+)?)-(-?\d+(?:\.\d+)?)-(-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Annotation:
    """One clip, as published.

    Attributes:
        video: Name of the video, without a suffix.
        start: First frame, counted at `fps`.
        stop: One past the last.
        box: Pixels of a frame of `size`.
        fps: Frames per second that `start` and `stop` count.
        size: `(h, w)` that the box counts.
        partition: `train`, `test`, or empty.
        person: Who it is; empty where the file does not say.
    """

    video: str
    start: int
    stop: int
    box: Box
    fps: Fraction
    size: tuple[int, int]
    partition: str
    person: str = ""

    @property
    def identity(self) -> str:
        """The person, or the video where no person is named."""
        return self.person or self.video

    def cut_of(self, *, size: tuple[int, int], fps: Fraction) -> Cut:
        """The same clip in a copy of the video.

        Args:
            size: `(h, w)` of the copy's frames.
            fps: Its rate: frame i belongs to the clip if i · self.fps lies from start · fps up to stop · fps.
        """
        first = -(-self.start * fps // self.fps)
        stop = -(-self.stop * fps // self.fps)
        box = self.box.scaled(size[1] / self.size[1], size[0] / self.size[0])
        return Cut(int(first), int(stop), box.rounded())


def read_annotations(path: Path) -> tuple[list[Annotation], list[str]]:
    """The clips of an annotation file.

    Args:
        path: CSV with the columns above, in any order; others are passed over.

    Returns:
        The clips in the file's order, each once, and one line on every row that makes no sense or
        stands there twice.

    Raises:
        DataError: No such file, columns are missing, or not one row makes sense.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"annotations {path} cannot be read: {error}", hint="give a CSV file in UTF-8") from error
    rows = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise DataError(
            f"annotations {path} have no column {', '.join(missing)}",
            hint=f"the first line names the columns: {','.join(COLUMNS)}",
            path=str(path),
        )
    kept: dict[Annotation, None] = {}
    wrong = []
    for number, row in enumerate(rows, start=2):
        try:
            annotation = _annotation(row)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            wrong.append(f"line {number}: {error}")
            continue
        if annotation in kept:
            wrong.append(f"line {number}: the same clip as on an earlier line")
        kept[annotation] = None
    if not kept:
        hint = wrong[0] if wrong else "it has a first line and nothing else"
        raise DataError(f"annotations {path} hold no clip", hint=hint, path=str(path))
    return list(kept), wrong


def _annotation(row: dict[str, str]) -> Annotation:
    if any(row[name] is None for name in COLUMNS):
        raise ValueError("it has fewer columns than the first line")
    match = _BOX.fullmatch(row["bbox"].strip())
    if match is None:
        raise ValueError(f"bbox {row['bbox']!r} is not left-top-right-bottom")
    box = Box(*map(float, match.groups()))
    start, stop = int(row["start"]), int(row["end"])
    fps, size = Fraction(row["fps"]), (int(float(row["height"])), int(float(row["width"])))
    if not row["video_id"].strip():
        raise ValueError("no video_id")
    if not 0 <= start < stop:
        raise ValueError(f"frames {start} to {stop} are none")
    if not box.area:
        raise ValueError(f"bbox {row['bbox']} has no pixels")
    if fps <= 0 or min(size) < 1:
        raise ValueError(f"{row['fps']} frames per second of {row['width']}x{row['height']} pixels make no sense")
    person, partition = (row.get(PERSON) or "").strip(), row["partition"].strip().lower()
    if partition not in PARTITIONS:
        raise ValueError(f"partition {row['partition']!r} is neither train nor test nor empty")
    return Annotation(row["video_id"].strip(), start, stop, box, fps, size, partition, person)


def write_annotations(path: Path, annotations: Iterable[Annotation]) -> None:
    """Write clips in the published format, so that the set can be cut again from the same videos.

    Raises:
        OutputError: The file cannot be written.
    """
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, PERSON])
        for one in annotations:
            writer.writerow(_row(one))


def _row(one: Annotation) -> Sequence[object]:
    box = "-".join(f"{edge:g}" for edge in (one.box.left, one.box.top, one.box.right, one.box.bottom))
    rate = int(one.fps) if one.fps.denominator == 1 else one.fps
    return [one.video, one.start, one.stop, box, rate, one.size[1], one.size[0], one.partition, one.person]
