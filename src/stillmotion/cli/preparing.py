"""What the verbs of `stillmotion prepare` share: options, and how a run is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from stillmotion.cli.options import Output, parse_rate
from stillmotion.cli.screen import progress_bar

if TYPE_CHECKING:
    from stillmotion.data.preparation.entries import Listing
    from stillmotion.data.preparation.finders import Provider

Videos = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEOS")]
SetName = Literal["voxceleb", "nemo", "bair", "taichi", "fashion", "mgif"]


@dataclass(kw_only=True)
class Preparing:
    """What to read, what to write, and how to share the work."""

    videos: Videos
    """Folder of videos, folders of frames, GIFs or strips; train and test inside, or neither."""
    output: Output
    """Folder of the set; an interrupted run goes on where it was."""
    set: SetName | None = None
    """Read the folder as this published set: its names, people and split."""
    annotations: Path | None = None
    """CSV of clips as published (video_id,start,end,bbox,...); for voxceleb also its folder of text files."""
    identity: Literal["name", "folder"] = "name"
    """Whose a video is: its name up to the first #, or its folder."""
    size: int = 256
    """Side of the clips in pixels."""
    shape: Literal["square", "stretched"] = "square"
    """Cut squares, or stretch the box as it is, as the published VoxCeleb crops are."""
    format: Literal["mp4", "png"] = "mp4"
    """A file a clip, or a folder of pictures a clip."""
    fps: str | None = None
    """Read videos at this rate, such as 25, or 1 for sparse frames (default: their own)."""
    least_frames: int | None = None
    """Shorter clips are dropped (default: the set's or the verb's)."""
    most_frames: int = 1024
    """Longer clips are cut."""
    least_side: int | None = None
    """Crops whose longer side has fewer pixels, before the margin, are dropped (default: the set's or the verb's)."""
    test_share: float = 0.2
    """Share of the people held out, where nothing says who."""
    seed: int = 0
    """Seed of that choice."""
    leaks: Literal["keep", "drop"] = "keep"
    """What happens to training clips of people who are also in the test part: they are always reported."""
    workers: int | None = None
    """Processes (default: one per core)."""
    ray: bool = False
    """Share the work over the Ray cluster that RAY_ADDRESS names, or one made on this machine."""
    json: bool = False
    """Print the report as JSON on stdout."""

    def listing(self) -> Listing:
        """What there is to prepare.

        Raises:
            ConfigError: The set needs annotations and got none.
            DataError: There is nothing, or it cannot be read.
        """
        from stillmotion.data.preparation.annotations import read_annotations
        from stillmotion.data.preparation.entries import list_annotated, list_folder
        from stillmotion.data.preparation.published import read_set

        videos = self.videos.absolute()
        if self.set is not None:
            return read_set(self.set, videos, self.annotations)
        if self.annotations is None:
            return list_folder(videos, identity=self.identity)
        rows, wrong = read_annotations(self.annotations)
        listing = list_annotated(videos, rows)
        listing.notes += wrong
        return listing

    def prepare(self, finder: Provider | None, **rule: Any) -> int:
        """Do the work and say what came of it.

        Args:
            finder: Who is looked for.
            **rule: Fields of `Rule`; the set's own and the user's come before them.

        Returns:
            Exit status: 1 where not one clip for training was made.

        Raises:
            StillmotionError: See `data.preparation.run.prepare`.
        """
        from stillmotion.data.preparation.jobs import Plan
        from stillmotion.data.preparation.published import PUBLISHED, RULES
        from stillmotion.data.preparation.run import prepare
        from stillmotion.data.preparation.tracking import Rule

        rule |= RULES.get(self.set or "", {})
        rule |= {"shape": self.shape, "most_frames": self.most_frames}
        rule |= {
            name: getattr(self, name) for name in ("least_frames", "least_side") if getattr(self, name) is not None
        }
        plan = Plan(
            videos=self.videos.absolute(),
            output=self.output.absolute(),
            size=self.size,
            rule=Rule(**rule),
            finder=finder,
            kind=self.format,
            rate=parse_rate(self.fps),
        )
        listing = self.listing()
        with progress_bar("preparing", unit="videos") as bar:

            def show(done: int, total: int) -> None:
                bar(done, total, 0.0)

            summary = prepare(
                listing,
                plan,
                workers=self.workers,
                engine="ray" if self.ray else "processes",
                test_share=self.test_share,
                seed=self.seed,
                leaks=self.leaks,
                published=PUBLISHED.get(self.set or ""),
                progress=show,
            )
        print(json.dumps(summary.as_dict(), indent=2) if self.json else summary.text())
        return 0 if summary.ok else 1


@dataclass(kw_only=True)
class Following(Preparing):
    """How somebody is followed through a video."""

    overlap: float = 0.25
    """A track ends when its box overlaps with its first one by less (intersection over union)."""
    gap: int = 0
    """Frames in a row in which nobody may be found without ending the track."""
    margin: float = 0.1
    """Margin on each side, as a share of the box."""
    outside: Literal["drop", "slide"] = "drop"
    """Where a crop leaves the picture: drop the track, as published, or slide the crop inside."""

    def follow(self, finder: Provider | None, *, least_frames: int) -> int:
        """Prepare with these rules.

        Args:
            finder: Who is looked for.
            least_frames: Default of the verb.

        Raises:
            StillmotionError: See `Preparing.prepare`.
        """
        ours = {name: getattr(self, name) for name in ("overlap", "gap", "margin", "outside")}
        return self.prepare(finder, least_frames=least_frames, **ours)
