"""The live page on a server: its files, its photos, its connections, and how many of them there may be."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from stillmotion.core.errors import ConfigError, StillmotionError
from stillmotion.core.frame import Frame
from stillmotion.core.method import Method
from stillmotion.live.peer import Peer
from stillmotion.methods import load
from stillmotion.server.limits import Limits
from stillmotion.server.visits import Visits
from stillmotion.server.worker import Worker
from stillmotion.session.inputs import CropChoice, example_photo, open_source, pixels_from_bytes
from stillmotion.session.live import LiveSession, Settings

CONNECTING = 20.0
"""Seconds that a browser has to connect once its offer was answered."""
_NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Stage:
    """What the live page needs: the method, the photos, and the seats.

    Args:
        folder: For uploaded photos.
        limits: On them.
        weights: Name of shipped weights or path of a bundle, as the command line gave it.
        method: The same, loaded; None loads it.
        source: Photo to begin with; None takes the example.
        crop: Its crop.
        seats: Browsers that may be live at once.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        *,
        weights: str | None = None,
        method: Method | None = None,
        source: Path | None = None,
        crop: CropChoice = "auto",
        seats: int = 1,
    ) -> None:
        self.seats, self.limits, self.weights = seats, limits, weights
        self.visits = Visits(folder)
        self.peers: dict[str, Peer] = {}
        self.sources: dict[str, Frame] = {}
        self.method: Method = method or load(weights)
        self.first = open_source(source or example_photo(), self.method.spec, crop=crop).frame
        self._waiting: list[str] = []
        self._worker = Worker("stillmotion.live.jobs", seconds=60.0)
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """End the child."""
        self._worker.close()

    async def photo(self, visitor: str, data: bytes) -> dict[str, Any]:
        """Take an uploaded photo as the visitor's source, at once where they are live.

        Raises:
            StillmotionError: It cannot be used.
        """
        folder = self.visits.folder(visitor)
        file = folder / f"photo-{secrets.token_hex(8)}"
        file.write_bytes(data)
        try:
            done = await asyncio.to_thread(
                self._worker.ask, "cut", photo=str(file), crop="auto", weights=self.weights, folder=str(folder)
            )
            pixels = Path(done["pixels"])
            self.sources[visitor] = pixels_from_bytes(pixels.read_bytes(), self.method.spec.size)
            pixels.unlink()
        finally:
            file.unlink(missing_ok=True)
        if visitor in self.peers:
            await asyncio.to_thread(self.peers[visitor].session.swap, self.sources[visitor])
        return {"crop": done["crop"]}

    async def connect(self, visitor: str, sdp: str, settings: dict[str, Any]) -> str:
        """Seat a browser and answer its offer.

        Raises:
            ConfigError: All seats are taken, or the offer makes no sense.
        """
        async with self._turn:
            if visitor in self.peers:  # it comes back: its old connection is dead or dying
                await self.leave(visitor, forget=False)
            if len(self.peers) >= self.seats:
                raise ConfigError(
                    f"all seats are taken: {self._place(visitor)} waiting before you",
                    hint="this page asks again by itself",
                )
            self._waiting = [name for name in self._waiting if name != visitor]
            source = self.sources.get(visitor, self.first)
            session = await asyncio.to_thread(LiveSession, self.method, source, settings=Settings().changed(**settings))
            peer = Peer(session, asyncio.get_running_loop())
            self.peers[visitor] = peer
        try:
            answer = await peer.answer(sdp)
        except Exception as error:  # whatever aiortc makes of an offer that is none
            await self.leave(visitor)
            raise ConfigError(
                "this is no offer of a camera's picture", hint="reload the page", seen=type(error).__name__
            ) from error
        peer.keep(self._until_gone(visitor, peer))
        return answer

    async def leave(self, visitor: str, *, forget: bool = True) -> None:
        """Free the visitor's seat and, with `forget`, remove their photo."""
        peer = self.peers.pop(visitor, None)
        if peer is not None:
            await peer.close()
        if forget:
            self.sources.pop(visitor, None)
            self.visits.leave(visitor)

    def _place(self, visitor: str) -> int:
        if visitor not in self._waiting:
            self._waiting = [*self._waiting, visitor][-self.limits.waiting :]
        return self._waiting.index(visitor)

    async def _until_gone(self, visitor: str, peer: Peer) -> None:
        """Free the seat when the browser has gone, or never came."""
        try:
            await asyncio.wait_for(peer.connected.wait(), CONNECTING)
        except TimeoutError:
            await peer.close()
        await peer.gone.wait()
        if self.peers.get(visitor) is peer:
            await self.leave(visitor, forget=False)


def mount(app: FastAPI, stage: Stage) -> None:
    """Put the live page at `/live/`; errors are answered in words, never raised."""

    async def answered(work: Callable[[], Awaitable[Any]]) -> Response:
        try:
            return JSONResponse(await work())
        except StillmotionError as error:
            return JSONResponse({"error": error.message, "hint": error.hint}, status_code=400)

    @app.get("/live")
    @app.get("/live/")
    async def page() -> Response:
        return HTMLResponse(_text("page.html").replace("<!--consent-->", f"<script>{_consent()}</script>"))

    @app.get("/live/page.js")
    async def script() -> Response:
        return Response(_text("page.js"), media_type="text/javascript")

    @app.post("/live/offer")
    async def offer(request: Request) -> Response:
        async def work() -> Any:
            try:
                message = await request.json()
                sdp, settings = str(message["sdp"]), dict(message.get("settings") or {})
            except (ValueError, KeyError, TypeError):
                raise ConfigError("this is no offer", hint="reload the page") from None
            return {"sdp": await stage.connect(_visitor(request), sdp, settings)}

        return await answered(work)

    @app.post("/live/photo")
    async def photo(request: Request) -> Response:
        async def work() -> Any:
            return await stage.photo(_visitor(request), await request.body())

        return await answered(work)

    @app.post("/live/leave")
    async def leave(request: Request) -> Response:
        async def work() -> Any:
            name = request.query_params.get("visitor") or _visitor(request)
            await stage.leave(name)
            return {}

        return await answered(work)


def _visitor(request: Request) -> str:
    name = request.headers.get("x-visitor", "")
    if not _NAME.fullmatch(name):
        raise ConfigError("the request does not say whose it is", hint="reload the page")
    return name


def _text(name: str) -> str:
    return files("stillmotion.live").joinpath(name).read_text(encoding="utf-8")


def _consent() -> str:
    return files("stillmotion.server").joinpath("consent.js").read_text(encoding="utf-8")
