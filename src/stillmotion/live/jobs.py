"""What the child process of the live page does: it opens uploaded photos.

`python -m stillmotion.live.jobs` answers requests on stdin; see `server.child`.
"""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import Any

from stillmotion.core.method import Method
from stillmotion.methods import load
from stillmotion.server.child import Progress, Verb, serve
from stillmotion.server.limits import Limits
from stillmotion.session.inputs import open_source

LIMITS = Limits()


@cache
def method(weights: str | None) -> Method:
    """A method, loaded once."""
    return load(weights)


def cut(photo: str, *, crop: str, weights: str | None, folder: str, progress: Progress) -> dict[str, Any]:
    """The part of a photo that is animated, as bare pixels in a file."""
    LIMITS.check_picture(Path(photo))
    still = open_source(photo, method(weights).spec, crop=crop)
    path = Path(folder) / f"source-{secrets.token_hex(8)}.rgb"
    path.write_bytes(still.frame.tobytes())
    return {"pixels": str(path), "crop": str(still.crop)}


VERBS: dict[str, Verb] = {"cut": cut}

if __name__ == "__main__":
    serve(VERBS, memory=LIMITS.memory)
