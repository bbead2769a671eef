"""The studio on a server: the page is mounted, its children are started and ended."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI

from stillmotion.server.limits import Limits
from stillmotion.studio.desk import Desk, examples


def mount(app: FastAPI, folder: Path, limits: Limits) -> Desk:
    """Put the studio at the root of a server.

    Args:
        app: The server; whatever else it serves must be there already.
        folder: For visitors' files; removed by the caller.
        limits: On uploads and jobs.

    Returns:
        What is to be closed in the end.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # where Gradio puts uploads; read when a page is built
    import gradio as gr

    from stillmotion.studio.page import CSS, build

    desk = Desk(folder, limits)
    consent = files("stillmotion.server").joinpath("consent.js").read_text(encoding="utf-8")
    gr.mount_gradio_app(
        app,
        build(desk, limits),
        path="/",
        allowed_paths=[str(Path(examples()[0]).parent)],
        max_file_size=f"{limits.megabytes}mb",
        css=CSS,
        head=f"<script>{consent}</script>",
        footer_links=[],
        ssr_mode=False,
        pwa=False,
    )
    return desk
