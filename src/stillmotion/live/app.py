"""The live page on a server: its files, its photos, its connections; and the door for other servers."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, Response

from stillmotion.core.errors import ConfigError, StillmotionError
from stillmotion.live import wire
from stillmotion.live.peer import Peer
from stillmotion.live.stage import Entrance, Stage
from stillmotion.live.worker import serve
from stillmotion.session.live import Settings

CONNECTING = 20.0
"""Seconds that a browser has to connect once its offer was answered."""
_NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")


async def connect(stage: Stage, visitor: str, sdp: str, settings: dict[str, Any]) -> str:
    """Seat a browser and answer its offer.

    Raises:
        ConfigError: All seats are taken, or the offer makes no sense.
        StillmotionError: It cannot begin.
    """
    peer = Peer(asyncio.get_running_loop())
    await stage.sit(visitor, peer, Entrance(Settings().changed(**settings)))
    try:
        answer = await peer.answer(sdp)
    except Exception as error:  # whatever aiortc makes of an offer that is none
        await stage.leave(visitor)
        raise ConfigError(
            "this is no offer of a camera's picture", hint="reload the page", seen=type(error).__name__
        ) from error
    stage.keep(_until_gone(stage, visitor, peer))
    return answer


async def _until_gone(stage: Stage, visitor: str, peer: Peer) -> None:
    """Free the seat when the browser has gone, or never came."""
    try:
        await asyncio.wait_for(peer.connected.wait(), CONNECTING)
    except TimeoutError:
        await peer.close()
    await peer.gone.wait()
    await stage.lost(visitor, peer)


async def _answered(work: Callable[[], Awaitable[Response]]) -> Response:
    """Errors are answered in words, never raised."""
    try:
        return await work()
    except StillmotionError as error:
        said = {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
        return JSONResponse(said, status_code=400)


def mount(app: FastAPI, stage: Stage) -> None:
    """Put the live page at `/live/`, and beside it what other servers ask; for errors see `_answered`."""
    _mount_page(app, stage.backstage.place)

    @app.post("/live/offer")
    async def offer(request: Request) -> Response:
        async def work() -> Response:
            try:
                message = await request.json()
                sdp, settings = str(message["sdp"]), dict(message.get("settings") or {})
            except (ValueError, KeyError, TypeError):
                raise ConfigError("this is no offer", hint="reload the page") from None
            return JSONResponse({"sdp": await connect(stage, _visitor(request), sdp, settings)})

        return await _answered(work)

    @app.post("/live/photo")
    async def photo(request: Request) -> Response:
        async def work() -> Response:
            await stage.photo(_visitor(request), await request.body())
            return JSONResponse({})

        return await _answered(work)

    @app.get("/live/source")
    async def source(request: Request) -> Response:
        async def work() -> Response:
            still = await asyncio.to_thread(stage.still, _visitor(request))
            return Response(still, media_type="image/png", headers={"cache-control": "no-store"})

        return await _answered(work)

    @app.post("/live/leave")
    async def leave(request: Request) -> Response:
        async def work() -> Response:
            await stage.leave(request.query_params.get("visitor") or _visitor(request))
            return JSONResponse({})

        return await _answered(work)

    _mount_worker(app, stage)


def _mount_page(app: FastAPI, place: str) -> None:
    whole = _text("page.html").replace("<!--consent-->", f"<script>{_consent()}</script>")
    whole = whole.replace("<!--where-->", html.escape(place))

    @app.get("/live")
    @app.get("/live/")
    async def page() -> Response:
        return HTMLResponse(whole)

    @app.get("/live/page.js")
    async def script() -> Response:
        return Response(_text("page.js"), media_type="text/javascript")


def _mount_worker(app: FastAPI, stage: Stage) -> None:
    """What a page's server on another machine asks of this one; see `wire`."""

    @app.get(wire.SPEC)
    async def spec() -> Response:
        return JSONResponse(asdict(stage.backstage.spec))

    @app.post(wire.CUT)
    async def cut(request: Request) -> Response:
        async def work() -> Response:
            visitor = _visitor(request)
            try:
                pixels = await stage.cut(visitor, await request.body())
            finally:
                stage.visits.leave(visitor)
            return Response(pixels.tobytes(), media_type="application/octet-stream")

        return await _answered(work)

    @app.websocket(wire.PATH)
    async def work(socket: WebSocket) -> None:
        await serve(socket, stage)


def _visitor(request: Request) -> str:
    name = request.headers.get(wire.VISITOR, "")
    if not _NAME.fullmatch(name):
        raise ConfigError("the request does not say whose it is", hint="reload the page")
    return name


def _text(name: str) -> str:
    return files("stillmotion.live").joinpath(name).read_text(encoding="utf-8")


def _consent() -> str:
    return files("stillmotion.server").joinpath("consent.js").read_text(encoding="utf-8")
