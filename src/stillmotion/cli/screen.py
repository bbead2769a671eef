"""What a run shows: a progress bar while it runs, a line and its warnings when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from stillmotion.session.meter import Progress as Callback
    from stillmotion.session.report import Report


@contextmanager
def progress_bar(label: str, *, unit: str = "frames") -> Iterator[Callback]:
    """A bar on stderr with speed and time left; nothing where stderr is no terminal.

    Args:
        label: What is being done.
        unit: What is counted.

    Yields:
        What to call after each frame.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.fields[known]} " + unit + "{task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
    )
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None, known="?", speed="")

        def update(done: int, total: int | None, speed: float) -> None:
            said = f" · {speed:.1f} a second" if speed else ""
            bar.update(task, completed=done, total=total, known=total or "?", speed=said)

        yield update


def show_report(report: Report, *, as_json: bool) -> None:
    """Warnings on stderr, then the report on stdout, as a line or as JSON."""
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(report.to_json())
        return
    sound = "" if report.audio.startswith("none") else f", sound {report.audio}"
    print(
        f"wrote {report.output}: {report.frames} frames at {float(report.fps):g} fps{sound} "
        f"({report.seconds:.1f} s, {report.speed:.1f} frames a second, {report.weights} in {report.engine})"
    )
    for name, opening in (("mouth", report.mouth), ("eyes", report.eyes)):
        if opening is not None:
            spread = f"{opening.least:.2f} to {opening.most:.2f}, mostly {opening.median:.2f}"
            print(f"{name} open {spread} (gap over width)")
