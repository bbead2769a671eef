"""What the page says, as HTML that a screen reader announces."""

from __future__ import annotations

import html
from typing import Any

from stillmotion.core.errors import StillmotionError


def say(text: str) -> str:
    """A line of information; nothing for an empty one."""
    return f'<div class="said" role="status">{html.escape(text)}</div>' if text else ""


def sorry(error: StillmotionError, *, about: str = "") -> str:
    """An error and its hint."""
    head = f"{about}: {error.message}" if about else error.message
    return f'<div class="said error" role="alert"><b>{html.escape(head)}</b><br>{html.escape(error.hint)}</div>'


def tell(report: dict[str, Any]) -> str:
    """The account of a run, as `session.report` has it."""
    parts = [f"{report['frames']} frames in {report['seconds']:.1f} seconds, {report['speed']:.0f} a second."]
    if report["mismatch"] is not None:
        parts.append(f"Reference frame {report['reference']}, {report['mismatch']:.2f} from the photo's pose.")
    parts.append(f"Sound: {report['audio']}. Marked as generated: {report['provenance']}.")
    return say(" ".join(parts)) + "".join(say(f"Note: {warning}") for warning in report["warnings"])
