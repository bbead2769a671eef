"""The page itself, in Gradio: what is asked for, what is shown, and in which order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported: nothing is sent anywhere

import gradio as gr
from gradio.data_classes import FileData, ImageData

from stillmotion import weights as shipped_weights
from stillmotion.core.errors import ImageError, StillmotionError
from stillmotion.server.limits import Limits
from stillmotion.studio.choices import Choices
from stillmotion.studio.desk import Desk, examples
from stillmotion.studio.handlers import EXAMPLE, MINE, STEPS, Handlers, visitor
from stillmotion.studio.words import say

_BARE = {"show_label": False, "buttons": ["fullscreen"]}

_ANIMATING = {"api_visibility": "private", "concurrency_id": "animate", "concurrency_limit": 1}

WORKING = "Working. Cancel ends it at once; closing the page does too."

CSS = """
.said {padding: .6em .9em; border-radius: 8px; background: var(--background-fill-secondary); line-height: 1.45}
.said.error {background: #fdecea; color: #611a15; border-left: 4px solid #c62828}
.dark .said.error {background: #3b1715; color: #ffd7d3}
.nudges button {min-width: 2.6em !important; padding: .35em .5em !important}
.nudges {gap: .3em !important; flex-wrap: wrap !important}
#results .grid-container {grid-template-columns: repeat(auto-fill, minmax(200px, 300px)) !important}
.html-container {padding: 0 !important}
footer {display: none !important}
"""


def build(desk: Desk, limits: Limits) -> gr.Blocks:
    """The page with both of its tabs and its API.

    Args:
        desk: Does the work.
        limits: Shown to the visitor.
    """
    with gr.Blocks(title="stillmotion studio", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(
            "# stillmotion studio\n"
            "One photo moves as a clip does. Everything stays on this machine. "
            "[Live, with your camera](/live/)"
        )
        with gr.Tabs():
            with gr.Tab("One photo"):
                _one_photo(desk, limits)
            with gr.Tab("Several photos, one clip"):
                _several_photos(desk)
        gr.api(_api(desk), api_name="animate", concurrency_id="animate", concurrency_limit=1)
        page.unload(_leaver(desk))
    page.queue(max_size=limits.waiting)
    _open_nothing_here(page)
    return page


def _one_photo(desk: Desk, limits: Limits) -> None:
    seen_photo, seen_clip = gr.State({}), gr.State({})
    with gr.Row():
        with gr.Column(min_width=300):
            photo = gr.Image(label="1 · Photo", type="filepath", sources=["upload", "clipboard"], height=320)
            example = gr.Button("Use the example")
            photo_said = gr.HTML(say("Drop a photo with a face, or take the example."))
        with gr.Column(min_width=300):
            source = gr.Radio([MINE, EXAMPLE], value=MINE, label="2 · Motion comes from")
            clip = gr.Video(label="Clip", sources=["upload"], height=240)
            about = {
                MINE: say(f"Up to {limits.seconds:g} seconds and {limits.megabytes} MB. Its sound is kept."),
                EXAMPLE: say("A recorded motion that comes with stillmotion: no clip is needed."),
            }
            clip_said = gr.HTML(about[MINE])
        with gr.Column(min_width=300):
            with gr.Row():
                run = gr.Button("3 · Animate", variant="primary")
                cancel = gr.Button("Cancel", min_width=90, scale=0)
            result = gr.Video(label="Result", interactive=False, height=320, autoplay=True, loop=True)
            said = gr.HTML(say("The result appears here, with sound."))
            download = gr.DownloadButton("Download the video", visible=False)
    fields = _options(desk)
    with gr.Accordion("What is cut out, and from which frame it starts", open=True), gr.Row():
        crop_source, photo_picture, photo_nudges = _crop_panel("photo")
        crop_driving, clip_picture, clip_nudges = _crop_panel("clip")
        with gr.Column(min_width=280):
            reference = gr.Textbox(
                "first",
                label="Reference frame",
                info="The rest pose in the clip: first, auto (closest to the photo's pose) or a number from 0",
            )
            find = gr.Button("Find the closest frame")
            reference_picture = gr.Image(label="Reference frame", interactive=False, height=200, **_BARE)
            reference_said = gr.HTML()
    line = gr.Code(label="The same on the command line", language="shell", interactive=False, lines=1)

    weights = fields["weights"]
    asked = [photo, clip, source, reference, crop_source, crop_driving, *fields.values()]
    handlers = Handlers(desk, ["reference", "crop_source", "crop_driving", *fields])
    private = {"api_visibility": "private", "show_progress": "minimal"}
    looking = {**private, "concurrency_id": "look", "concurrency_limit": 1}
    for part, crop, picture, seen, words in (
        (photo, crop_source, photo_picture, seen_photo, photo_said),
        (clip, crop_driving, clip_picture, seen_clip, clip_said),
    ):
        what = "photo" if part is photo else "clip"
        gr.on(
            [part.change, crop.submit, crop.blur, weights.change],
            handlers.looker(what),
            [part, crop, weights],
            [picture, seen, words],
            **looking,
        )
        for name, button in (photo_nudges if part is photo else clip_nudges).items():
            moved = button.click(handlers.nudger(name), [crop, seen], crop, **private)
            moved.then(handlers.looker(what), [part, crop, weights], [picture, seen, words], **looking)
    source.change(lambda kind: (gr.update(visible=kind == MINE), about[kind]), source, [clip, clip_said], **private)
    example.click(lambda: (examples()[0], EXAMPLE), None, [photo, source], **private)
    find.click(handlers.find_reference, asked, [reference, reference_picture, reference_said], **looking)
    gr.on([part.change for part in asked], handlers.line, asked, line, **private, queue=False)
    outputs = [result, download, said, photo_said, clip_said]
    started = run.click(lambda: say(WORKING), None, said, queue=False, **private)
    running = started.then(handlers.run_one, asked, outputs, **_ANIMATING, show_progress_on=[result])
    cancel.click(handlers.cancel, None, said, cancels=[running], queue=False, api_visibility="private")


def _options(desk: Desk) -> dict[str, Any]:
    """The settings that both tabs have, by the name of their field in `Choices`."""
    with gr.Accordion("Options", open=False), gr.Row():
        return {
            "motion": gr.Radio(
                ["relative", "absolute"],
                value="relative",
                label="Motion",
                info="Relative keeps the photo's own pose and adds the movement; absolute copies the driver's pose",
            ),
            "weights": gr.Dropdown(desk.weights, value=shipped_weights.DEFAULT, label="Weights"),
            "show": gr.Radio(["nothing", "keypoints", "flow", "occlusion"], value="nothing", label="Overlay"),
            "smooth": gr.Checkbox(label="Smooth the motion", info="Takes jitter off"),
            "paste_back": gr.Checkbox(label="Keep the whole photo", info="Sets the result back into it"),
            "side_by_side": gr.Checkbox(label="Side by side", info="Photo and clip beside the result"),
            "label": gr.Checkbox(label="Write “AI-generated” into it"),
        }


def _crop_panel(what: str) -> tuple[Any, Any, dict[str, Any]]:
    """Text, picture and buttons for one crop."""
    with gr.Column(min_width=280):
        crop = gr.Textbox("auto", label=f"Crop of the {what}", info="auto, none (largest box) or x,y,w,h in pixels")
        picture = gr.Image(label=f"What is cut out of the {what}", interactive=False, height=200, **_BARE)
        with gr.Row(elem_classes="nudges"):
            nudges = {name: gr.Button(name, size="sm", elem_id=f"{what}-{name}") for name in STEPS}
    return crop, picture, nudges


def _several_photos(desk: Desk) -> None:
    with gr.Row():
        photos = gr.File(label="Photos", file_count="multiple", file_types=["image"], height=200)
        with gr.Column():
            source = gr.Radio([MINE, EXAMPLE], value=MINE, label="Motion comes from")
            clip = gr.Video(label="Clip", sources=["upload"], height=200)
            crop = gr.Radio(
                ["auto", "none"], value="auto", label="Crop of each photo", info="The face, or none: the largest box"
            )
    fields = {"crop_source": crop, **_options(desk)}
    with gr.Row():
        run = gr.Button("Animate all", variant="primary")
        cancel = gr.Button("Cancel", min_width=90, scale=0)
    said = gr.HTML()
    results = gr.Gallery(label="Results", height="auto", interactive=False, elem_id="results")
    files = gr.File(label="Download", file_count="multiple", interactive=False, visible=False)

    handlers = Handlers(desk, list(fields))
    source.change(lambda kind: gr.update(visible=kind == MINE), source, clip, api_visibility="private")
    asked = [photos, clip, source, *fields.values()]
    started = run.click(lambda: say(WORKING), None, said, queue=False, api_visibility="private")
    running = started.then(handlers.run_all, asked, [results, files, said], **_ANIMATING, show_progress_on=[results])
    cancel.click(handlers.cancel, None, said, cancels=[running], queue=False, api_visibility="private")


def _api(desk: Desk) -> Callable[..., Any]:
    def animate(
        photo: FileData,
        clip: FileData | None = None,
        motion: str = "relative",
        reference: str = "first",
        weights: str = "",
        crop_source: str = "auto",
        crop_driving: str = "auto",
        smooth: bool = False,
        paste_back: bool = False,
        side_by_side: bool = False,
        label: bool = False,
        show: str = "nothing",
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    ) -> tuple[FileData, dict[str, Any]]:
        """Animate a photo with a clip (None: the example motion); returns the video and the report."""
        who = visitor(request)
        chosen = Choices(
            motion=motion,
            reference=reference,
            weights=weights,
            crop_source=crop_source,
            crop_driving=crop_driving,
            smooth=smooth,
            paste_back=paste_back,
            side_by_side=side_by_side,
            label=label,
            show=show,
        )
        try:
            desk.begin(who)
            try:
                driving = _path(clip) if clip else examples()[1]
                video, report = desk.animate(who, _path(photo), driving, chosen)
            finally:
                desk.visits.end(who)
        except StillmotionError as error:
            raise gr.Error(f"{error.message} ({error.hint})", print_exception=False) from error
        return FileData(path=str(video)), report

    return animate


def _open_nothing_here(page: gr.Blocks) -> None:
    """Keep Gradio from opening what visitors bring, in this process, or fetching it from elsewhere."""

    def refuse_addresses(move: Callable[..., Any]) -> Callable[..., Any]:
        def moved(path: Any, *rest: Any, **options: Any) -> Any:
            if "://" in str(path):
                raise gr.Error("files are uploaded, never fetched from an address")
            return move(path, *rest, **options)

        return moved

    for block in page.blocks.values():
        for name in ("move_resource_to_block_cache", "async_move_resource_to_block_cache"):
            if hasattr(block, name):
                setattr(block, name, refuse_addresses(getattr(block, name)))
        if isinstance(block, gr.Image | gr.Video):
            kind = ImageData if isinstance(block, gr.Image) else FileData
            block.preprocess = lambda payload: payload.path if payload else None
            block.postprocess = lambda value, kind=kind: kind(path=str(value)) if value else None


def _path(file: Any) -> str:
    if file is None:
        raise ImageError("there is no photo", hint="send one")
    return str(file["path"] if isinstance(file, dict) else file.path)


def _leaver(desk: Desk) -> Callable[..., None]:
    def leave(request: gr.Request) -> None:
        desk.leave(visitor(request))

    return leave
