"""The reconstruction protocol: how well does a method rebuild a clip from its own first frame?

Source: Siarohin et al. 2019, section 4, and the published script: the source is frame 0, motion is
absolute, every frame drives (frame 0 too), L1 is taken before quantisation and averaged over all
frames of all videos. Mended: N videos are N videos; the published loop processes N + 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stillmotion.core.errors import ConfigError, DataError
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import Method
from stillmotion.data.clips import Subset
from stillmotion.data.decode import Fit
from stillmotion.data.folder import ClipFolder
from stillmotion.evaluate import metrics
from stillmotion.evaluate.lpips import Lpips
from stillmotion.video.target import check_folder, replacing

BATCH = 8
"""Frames rendered and scored at a time."""
NAMES = {"l1": "L1", "psnr": "PSNR", "ssim": "SSIM", "ms_ssim": "MS-SSIM", "lpips": "LPIPS"}
"""Metrics in the order of the table."""
_DIGITS = {"l1": 4, "psnr": 2, "ssim": 4, "ms_ssim": 4, "lpips": 4}


@dataclass(frozen=True)
class ClipScore:
    """Means over one clip's frames; a metric that was not measured is left out."""

    name: str
    frames: int
    method: dict[str, float]
    copying: dict[str, float]


@dataclass
class Report:
    """What `reconstruct` measured.

    Attributes:
        method, weights: What was scored.
        data, subset: What on.
        size: Frame size `(h, w)`.
        clips: One entry per clip that was scored.
        skipped: Clips that could not be read, with the reason.
        unmeasured: Metrics that were not measured, with the reason.
    """

    method: str
    weights: str
    data: str
    subset: str
    size: tuple[int, int]
    clips: list[ClipScore] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Frames scored, over all clips."""
        return sum(clip.frames for clip in self.clips)

    def mean(self, which: str = "method") -> dict[str, float]:
        """Means over all frames of all clips; `which` is `method` or `copying` (the source as it is)."""
        names = list(getattr(self.clips[0], which)) if self.clips else []
        return {
            name: sum(getattr(clip, which)[name] * clip.frames for clip in self.clips) / self.frames for name in names
        }

    def as_dict(self) -> dict[str, object]:
        """For JSON: everything, and the means."""
        means = {"method": self.mean("method"), "copying": self.mean("copying")}
        return {"protocol": "reconstruct", "frames": self.frames, "mean": means} | asdict(self)

    def text(self) -> str:
        """The table for people."""
        rows = {f"{self.method} ({self.weights})": self.mean("method"), "copying the source": self.mean("copying")}
        wide = max(map(len, rows))
        lines = [
            f"reconstruct: {len(self.clips)} clips, {self.frames} frames of {self.size[1]}x{self.size[0]}, "
            f"{self.subset} of {self.data}",
            " " * wide + "".join(f"  {title:>8}" for title in NAMES.values()),
        ]
        for title, means in rows.items():
            cells = (f"{means[name]:.{_DIGITS[name]}f}" if name in means else "-" for name in NAMES)
            lines.append(f"{title:<{wide}}" + "".join(f"  {cell:>8}" for cell in cells))
        lines += [f"{NAMES[name]}: not measured ({why})" for name, why in self.unmeasured.items()]
        lines += [f"skipped {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)


Measure = Callable[[Tensor, Tensor], Tensor]


def check_videos(videos: int | None) -> None:
    """Refuse a number of clips that leaves none.

    Raises:
        ConfigError: It is below 1.
    """
    if videos is not None and videos < 1:
        raise ConfigError(f"{videos} clips make no score", hint="--videos takes 1 or more; leave it out for all")


def reconstruct(
    method: Method,
    data: str | Path | ClipFolder,
    *,
    videos: int | None = None,
    output: str | Path | None = None,
    subset: Subset = "test",
    seed: int = 0,
    lpips: Lpips | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Rebuild every frame of clips from their first and score the result.

    Args:
        method: Any loaded method, on any engine.
        data: Folder of clips, cropped by the contract of the weights; or an open `ClipFolder` of
            the method's frame size.
        videos: How many clips, the first ones in natural order; None takes all.
        output: JSON file for the report, or None.
        subset: Which clips of a folder.
        seed: Of the split where the folder has none.
        lpips: With its weights; None leaves LPIPS unmeasured.
        progress: Called with `(clips done, clips)`.

    Returns:
        Scores of the method, and of copying the source unchanged.

    Raises:
        ConfigError: No clip is asked for.
        DataError: No clip could be scored. One that cannot be read costs only itself.
        OutputError: The report cannot be written.
    """
    check_videos(videos)
    if output is not None:
        check_folder(Path(output))
    folder = (
        data
        if isinstance(data, ClipFolder)
        else ClipFolder(data, fit=Fit.of(method.spec), subset=subset, seed=seed, memory=0)
    )
    spec = method.spec
    report = Report(spec.name, spec.weights, folder.path.name, folder.subset, spec.size)
    measures = picture_measures(spec.size, lpips, unmeasured=report.unmeasured)
    count = len(folder) if videos is None else min(videos, len(folder))
    for index in range(count):
        name = folder.clips[index].name
        try:
            report.clips.append(_score_clip(method, name, folder.stream(index), measures))
        except DataError as error:
            report.skipped[name] = error.message
        if progress is not None:
            progress(index + 1, count)
    if not report.clips:
        why = next(iter(report.skipped.values()), "there are none")
        raise DataError(
            f"no clip of {folder.path} could be scored: {why}", hint=f"stillmotion data check {folder.path}"
        )
    if output is not None:
        with replacing(Path(output)) as partial:
            partial.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    return report


def picture_measures(size: tuple[int, int], lpips: Lpips | None, *, unmeasured: dict[str, str]) -> dict[str, Measure]:
    """The picture metrics that can be measured, by name.

    Args:
        size: Of the frames, `(h, w)`.
        lpips: With its weights, or None.
        unmeasured: Where the reason goes for each of the others.
    """
    found: dict[str, Measure] = {"l1": metrics.l1, "psnr": metrics.psnr}
    side = min(size)
    for name, measure, least in (
        ("ssim", metrics.ssim, metrics.WINDOW),
        ("ms_ssim", metrics.ms_ssim, metrics.SMALLEST_MS_SSIM),
    ):
        if side >= least:
            found[name] = measure
        else:
            unmeasured[name] = f"needs {least} pixels a side, the frames have {side}"
    if lpips is None:
        unmeasured["lpips"] = "no weights given"
    else:
        found["lpips"] = lpips
    return found


def batches(frames: Iterator[Frame]) -> Iterator[np.ndarray]:
    """Stacks of at most `BATCH` frames."""
    while batch := list(islice(frames, BATCH)):
        yield np.stack(batch)


def _score_clip(method: Method, name: str, frames: Iterator[Frame], measures: dict[str, Measure]) -> ClipScore:
    first = next(frames, None)
    if first is None:
        raise DataError(f"clip {name} holds no frames", hint="remove it")
    state = method.encode([first])
    source = torch.from_numpy(to_planes(first[None]))
    ours: dict[str, list[float]] = {key: [] for key in measures}
    copied: dict[str, list[float]] = {key: [] for key in measures}
    for batch in batches(chain([first], frames)):
        target = torch.from_numpy(to_planes(batch))
        # Absolute motion: the driving keypoints as they are, no transfer.
        planes = torch.from_numpy(method.render(state, method.read(batch)).planes)
        for key, measure in measures.items():
            ours[key] += measure(planes, target).tolist()
            copied[key] += measure(source.expand_as(target), target).tolist()
    count = len(ours["l1"])
    return ClipScore(
        name,
        count,
        {key: float(np.mean(values)) for key, values in ours.items()},
        {key: float(np.mean(values)) for key, values in copied.items()},
    )
