"""What the page says, as HTML that a screen reader announces."""

from __future__ import annotations

import html
from typing import Any

from stillmotion.core.errors import NoFaceError, StillmotionError

NO_FACE = (
    "take one in which a face is larger and seen from the front; or set its crop to none for the whole picture, "
    "or to x,y,w,h for a box of your own"
)
"""What to do on a page; the error's own hint names options of the command line."""


def say(text: str) -> str:
    """A line of information; nothing for an empty one."""
    return f'<div class="said" role="status">{html.escape(text)}</div>' if text else ""


def sorry(error: StillmotionError, *, about: str = "") -> str:
    """An error and its hint."""
    head = f"{about}: {error.message}" if about else _begun(error.message)
    hint = NO_FACE if isinstance(error, NoFaceError) else error.hint
    return f'<div class="said error" role="alert"><b>{html.escape(head)}</b><br>{html.escape(_begun(hint))}</div>'


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def tell(report: dict[str, Any]) -> str:
    """The account of a run, as `session.report` has it."""
    parts = [f"{report['frames']} frames in {report['seconds']:.1f} seconds, {report['speed']:.0f} a second."]
    if report["mismatch"] is not None:
        parts.append(f"Reference frame {report['reference']}, {report['mismatch']:.2f} from the photo's pose.")
    parts.append(f"Sound: {report['audio']}. Marked as generated: {report['provenance']}.")
    return say(" ".join(parts)) + "".join(say(f"Note: {warning}") for warning in report["warnings"])
