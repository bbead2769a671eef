"""The progress bar of a run."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """Steps done with the current losses, on stderr; silent where stderr is no terminal.

    Args:
        start: Steps that lie behind.
        stop: Steps in all.
        show: False on all processes but one.
    """

    def __init__(self, start: int, stop: int, *, show: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=not (show and console.is_terminal),
        )
        self._task = self._progress.add_task("", total=stop, completed=start, losses="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, losses: dict[str, float]) -> None:
        """One more step."""
        text = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
        self._progress.update(self._task, advance=1, losses=text)
