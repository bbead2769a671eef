"""One clip of one candidate, frame after frame, turned into scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from stillmotion.core.errors import ConfigError, DataError
from stillmotion.core.frame import Frame, to_frames
from stillmotion.evaluate import distances
from stillmotion.evaluate.lpips import Lpips
from stillmotion.evaluate.providers import OURS, Detector, Embedder, open_detector, open_embedder
from stillmotion.evaluate.reconstruct import Measure, picture_measures
from stillmotion.evaluate.scores import Score
from stillmotion.evaluate.steadiness import Step, warping_error

COLUMNS = {
    "l1_paper": Score("L1 paper", 4, "mean absolute difference before rounding, over all frames, frame 0 among them"),
    "l1_exact": Score("L1 exact", 4, "the same in the 8 bits that are written, without frame 0, which was given"),
    "akd_paper": Score("AKD paper", 3, "mean of |dx| and |dy| of detected points, pixels; misses passed over"),
    "akd_exact": Score("AKD exact", 3, "mean Euclidean distance of points detected in both, pixels; read MKR with it"),
    "mkr_paper": Score("MKR paper", 4, "share of a true frame's points that are missing, mean over frames"),
    "mkr_exact": Score("MKR exact", 4, "share of all true points that are missing"),
    "aed_paper": Score("AED paper", 4, "squared distance of embeddings of whole frames"),
    "aed_exact": Score("AED exact", 4, "Euclidean distance of embeddings of whole frames"),
    "psnr": Score("PSNR", 2, "dB, mean over frames, at most 100", up=True),
    "ssim": Score("SSIM", 4, "structural similarity", up=True),
    "ms_ssim": Score("MS-SSIM", 4, "the same over five scales", up=True),
    "lpips": Score("LPIPS", 4, "learned perceptual distance, SqueezeNet, version 0.1"),
    "frechet": Score("Fréchet", 3, "distance between the features of all frames, each side one Gaussian"),
    "found": Score("found", 3, "share of the frames in which the detector finds anything", up=True),
    "jitter": Score("jitter px", 3, "second difference of detected points in time; what is right has some too"),
    "warping": Score(
        "warping error", 6, "squared change along the motion of the true clip; what is right has some too"
    ),
}
"""All scores, in the order of the table."""
POINT_SCORES = ("akd_paper", "akd_exact", "mkr_paper", "mkr_exact", "found", "jitter")
"""Those that need a detector."""


@dataclass(frozen=True, eq=False)
class Instruments:
    """What looks at the frames; None is not measured.

    Attributes:
        measures: Picture metrics by name, `l1` among them.
        detector: Finds points.
        embedder: For AED.
        features: For the Fréchet distance.
    """

    measures: Mapping[str, Measure]
    detector: Detector | None = None
    embedder: Embedder | None = None
    features: Embedder | None = None


def open_instruments(
    size: tuple[int, int],
    *,
    detector: str = OURS,
    embedder: Path | None = None,
    features: Path | None = None,
    lpips: tuple[Path | None, Path | None] = (None, None),
) -> tuple[Instruments, dict[str, str]]:
    """Instruments from what somebody names, and why each score without one is not measured.

    Args:
        size: Of the frames, `(h, w)`.
        detector: See `providers.open_detector`.
        embedder: See `providers.open_embedder`.
        features: The same, for the Fréchet distance.
        lpips: Files of trunk and heads.

    Raises:
        ConfigError: An unknown detector, or one of LPIPS's files without the other.
        MissingExtraError: The detector is not installed.
        WeightsError: A file cannot be used.
    """
    unmeasured: dict[str, str] = {}
    if (lpips[0] is None) != (lpips[1] is None):
        raise ConfigError("LPIPS needs two files", hint="give --lpips-trunk and --lpips-heads, or neither")
    network = Lpips(trunk=lpips[0], heads=lpips[1]) if lpips[0] is not None and lpips[1] is not None else None
    measures = picture_measures(size, network, unmeasured=unmeasured)
    finder = open_detector(detector)
    if finder is None:
        unmeasured |= dict.fromkeys(POINT_SCORES, "no detector")
    if embedder is None:
        unmeasured |= dict.fromkeys(("aed_paper", "aed_exact"), "no embedder given: --embedder")
    if features is None:
        unmeasured["frechet"] = "no feature network given: --features"
    vectors = open_embedder(embedder) if embedder is not None else None
    seen = open_embedder(features) if features is not None else None
    return Instruments(measures, finder, vectors, seen), {n: unmeasured[n] for n in COLUMNS if n in unmeasured}


@dataclass(eq=False)
class Watch:
    """What the instruments see in one clip, in order."""

    instruments: Instruments
    points: list[np.ndarray | None] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    warped: list[float] = field(default_factory=list)
    last: Frame | None = None

    def look(self, frames: np.ndarray, steps: Sequence[Step | None]) -> None:
        """See the next frames `uint8 (n, h, w, 3)`.

        Args:
            frames: Of this clip.
            steps: Of the true clip, into each of these frames; None where there is none.
        """
        tools = self.instruments
        for frame, step in zip(frames, steps, strict=True):
            if tools.detector is not None:
                # A still answer is looked at once: a detector is by far the slowest of all.
                is_still = self.last is not None and np.array_equal(frame, self.last)
                self.points.append(self.points[-1] if is_still else tools.detector.find(frame))
            if step is not None and self.last is not None:
                self.warped.append(warping_error(self.last, frame, step))
            self.last = frame
        if tools.embedder is not None:
            self.vectors += list(tools.embedder.embed(frames))
        if tools.features is not None:
            self.features += list(tools.features.embed(frames).astype(np.float32))

    def values(self) -> dict[str, np.ndarray]:
        """What can be said without comparing: whether anything is found, jitter, warping error."""
        out = {"warping": np.array([error for error in self.warped if np.isfinite(error)])}
        if self.points:
            seen = np.array([points is not None for points in self.points])
            out |= {"found": seen.astype(np.float64), "jitter": _jitter(stack_points(self.points))}
        return {name: values for name, values in out.items() if len(values)}


def stack_points(points: Sequence[np.ndarray | None], count: int = 1) -> np.ndarray:
    """Points of all frames, `float (t, k, 2)`, not a number where nothing was found.

    Args:
        points: Of each frame.
        count: k where nothing was ever found.

    Raises:
        DataError: A detector that gives another number of points from frame to frame.
    """
    shapes = {found.shape for found in points if found is not None}
    if len(shapes) > 1:
        raise DataError(f"the detector gives points of {sorted(shapes)}", hint="use one with a fixed number of points")
    out = np.full((len(points), *(shapes.pop() if shapes else (count, 2))), np.nan)
    for row, found in zip(out, points, strict=True):
        if found is not None:
            row[:] = found
    return out


def _jitter(points: np.ndarray) -> np.ndarray:
    """Length of the second difference in time of each point in three frames that have it, pixels."""
    second = np.diff(points, n=2, axis=0)
    second = second[np.isfinite(second).all(-1)]
    return np.asarray(np.linalg.norm(second, axis=-1))


@dataclass(eq=False)
class Tally:
    """One candidate on one clip."""

    instruments: Instruments
    watch: Watch = field(init=False)
    pictures: dict[str, list[float]] = field(default_factory=dict)
    rounded: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(self.instruments)

    def add(self, planes: np.ndarray, truth: np.ndarray, *, target: np.ndarray, steps: Sequence[Step | None]) -> None:
        """Score the next frames.

        Args:
            planes: The answer, `float32 (n, 3, h, w)` in [0, 1].
            truth: `uint8 (n, h, w, 3)`.
            target: The same as planes, `float32 (n, 3, h, w)`.
            steps: See `Watch.look`.
        """
        ours, theirs = torch.from_numpy(planes), torch.from_numpy(target)
        for name, measure in self.instruments.measures.items():
            self.pictures.setdefault(name, []).extend(measure(ours, theirs).tolist())
        frames = to_frames(planes)
        gap = np.abs(frames.astype(np.int16) - truth).mean((1, 2, 3)) / 255
        self.rounded += gap.tolist()
        self.watch.look(frames, steps)

    def values(self, truth: Watch, *, missing: dict[str, str]) -> dict[str, np.ndarray]:
        """Every value of every score: of frames, of points, or of pairs of frames.

        Args:
            truth: What the same instruments saw in the true clip.
            missing: Where it is told why a score has no value.
        """
        pictures = {name: np.array(found) for name, found in self.pictures.items()}
        out = {"l1_paper": pictures.pop("l1"), "l1_exact": np.array(self.rounded[1:]), **pictures}
        if self.instruments.detector is not None:
            out |= self._point_values(truth, self.instruments.detector, missing=missing)
        if self.instruments.embedder is not None:
            pair = np.stack(self.watch.vectors), np.stack(truth.vectors)
            out |= {"aed_paper": distances.aed_paper(*pair), "aed_exact": distances.aed_exact(*pair)}
        out |= self.watch.values()
        return {name: out[name] for name in COLUMNS if name in out and len(out[name])}

    def _point_values(self, truth: Watch, detector: Detector, *, missing: dict[str, str]) -> dict[str, np.ndarray]:
        wanted = stack_points(truth.points)
        found = stack_points(self.watch.points, wanted.shape[1])
        if not np.isfinite(wanted).any():
            why = f"{detector.name} finds nothing in any true frame"
            missing |= dict.fromkeys(("akd_paper", "akd_exact", "mkr_paper", "mkr_exact"), why)
            return {}
        if not np.isfinite(found).any():
            missing |= dict.fromkeys(
                ("akd_paper", "akd_exact"), f"{detector.name} finds nothing in any frame of the answer"
            )
        out = {"akd_exact": distances.akd_exact(found, wanted), "mkr_exact": distances.mkr_exact(found, wanted)}
        out["mkr_paper"] = distances.mkr_paper(found, wanted)
        try:
            out["akd_paper"] = distances.akd_paper(found, wanted, kind=detector.kind)
        except DataError as error:
            missing["akd_paper"] = error.message
        return out
