"""`stillmotion live`: the page with the camera, or a camera without a page."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from stillmotion.cli.options import Loading
from stillmotion.core.errors import ConfigError

if TYPE_CHECKING:
    from stillmotion.live.backstage import Backstage
    from stillmotion.session.live import Settings

NOTICE = "Only animate people who agreed to it, and say that the result is generated. Ctrl-C stops."


@dataclass(kw_only=True)
class Command(Loading):
    """Animate a photo live: on a page with your camera, or without a browser.

    With neither --camera nor --input it serves the page (and the studio beside it). Without a
    browser, the result goes to a virtual camera or a file, and the numbers to the terminal.
    """

    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="SOURCE")] = None
    """Photo to animate (default: the example); on the page another can be chosen."""
    camera: int | None = None
    """Number of a camera of this machine, from 0, in place of the page."""
    input: Path | None = None
    """Clip in place of a camera: a dry run."""
    seconds: float | None = None
    """How long the clip is played, from its start again if need be (default: once)."""
    virtual_camera: bool = False
    """Show the result in a virtual camera that other programs see."""
    backend: str | None = None
    """Backend of pyvirtualcam for it."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Video to write the result to."""
    crop: str = "auto"
    """Part of the photo that is animated: auto, none or x,y,w,h."""
    motion: Literal["relative", "absolute"] | None = None
    """Add the driver's movement to the photo's own pose, or copy the driver's pose."""
    zoom: float = 1.0
    """Scale of the driver's crop, 0.5 to 2."""
    no_mirror: bool = False
    """Do not flip the camera's picture."""
    no_auto: bool = False
    """Do not move the reference by itself to a pose closer to the photo's."""
    no_smooth: bool = False
    """Do not take jitter off."""
    label: bool = False
    """Write AI-generated into the picture."""
    worker: str | None = None
    """Address of a `stillmotion live` on another machine, as it printed it: it animates, this one shows."""
    token: Annotated[str | None, tyro.conf.arg(metavar="TOKEN")] = None
    """The worker's token, where it is not in its address (or STILLMOTION_TOKEN)."""
    host: str = "127.0.0.1"
    """Address the page listens on; another than this machine's needs the token that is printed."""
    port: int = 7860
    """Port to listen on; 0 takes a free one."""
    seats: int = 1
    """How many browsers may be live at once."""
    open: bool = False
    """Open the page in the browser."""

    def run(self) -> None:
        """Serve the page, or run without one.

        Raises:
            ConfigError: Options that do not go together.
        """
        if self.camera is not None and self.input is not None:
            raise ConfigError("--camera and --input both give a driver", hint="choose one")
        if self.camera is None and self.input is None:
            if self.virtual_camera or self.output:
                raise ConfigError(
                    "--virtual-camera and --output need a driver without a browser", hint="add --camera 0"
                )
            self._serve()
        else:
            self._run()

    def _settings(self) -> Settings:
        from stillmotion.session.live import Settings

        return Settings().changed(
            mode=self.motion,
            zoom=self.zoom,
            mirror=not self.no_mirror and self.input is None,
            auto=not self.no_auto,
            smooth=not self.no_smooth,
            label=self.label,
        )

    def _backstage(self) -> Backstage:
        """Who animates: this machine, or a worker."""
        if self.worker is not None:
            if (self.crop, self.engine) != ("auto", "auto") or self.weights or self.device or self.face_model:
                raise ConfigError(
                    "--crop, --weights, --engine, --device and --face-model are of a machine that animates itself",
                    hint="give them to the worker when you start it",
                )
            from stillmotion.live.elsewhere import Elsewhere
            from stillmotion.server.start import TOKEN_VARIABLE

            return Elsewhere(self.worker, token=self.token or os.environ.get(TOKEN_VARIABLE), source=self.source)
        from stillmotion.live.backstage import Here
        from stillmotion.methods import load

        method = load(self.weights, engine=self.engine, device=self.device)
        return Here(weights=self.weights, method=method, source=self.source, crop=self.crop, face_model=self.face_model)

    def _run(self) -> None:
        from stillmotion.live.run import run

        print(NOTICE, file=sys.stderr)
        backstage = self._backstage()
        try:
            facts = run(
                backstage,
                self._settings(),
                camera=self.camera,
                clip=self.input,
                seconds=self.seconds,
                virtual_camera=self.virtual_camera,
                backend=self.backend,
                output=self.output,
                tell=lambda facts: print(_line(facts), file=sys.stderr),
            )
        finally:
            backstage.close()
        print(json.dumps(facts) if self.json else _line(facts))

    def _serve(self) -> None:
        from stillmotion.live.app import mount as mount_live
        from stillmotion.live.stage import Stage
        from stillmotion.server.limits import Limits
        from stillmotion.server.start import new_app, private_folder, run

        limits = Limits()
        with private_folder() as folder:
            app = new_app()
            stage = Stage(folder, limits, backstage=self._backstage(), seats=self.seats)
            mount_live(app, stage)
            try:
                run(app, host=self.host, port=self.port, limits=limits, page="/live/", ready=self._announce)
            finally:
                stage.close()

    def _announce(self, address: str) -> None:
        print(f"stillmotion live: {address}", flush=True)
        print(NOTICE, flush=True)
        if self.open:
            import webbrowser

            webbrowser.open(address)


def _line(facts: dict[str, Any]) -> str:
    delays = ", ".join(f"{name} {facts[name]:.0f} ms" for name in ("p50", "p95") if facts[name] is not None)
    return (
        f"{facts['status']}: {facts['fps']:.1f} frames a second, {facts['dropped']} of {facts['seen']} dropped, "
        f"delay {delays or 'unknown'}"
    )
