"""Starting the server: where it listens, who holds the token, and what is removed in the end."""

from __future__ import annotations

import os
import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from stillmotion.core.errors import ConfigError
from stillmotion.server.guard import LOOPBACK, Guard
from stillmotion.server.limits import MEGA, Limits


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user can read, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="stillmotion-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def new_app() -> FastAPI:
    """A bare server: no pages of its own, no documentation that loads scripts from elsewhere."""
    return FastAPI(title="stillmotion", docs_url=None, redoc_url=None, openapi_url=None)


TOKEN_VARIABLE = "STILLMOTION_TOKEN"
"""Environment variable with a token of the user's own: for a server that is started anew now and then."""
SHORTEST_TOKEN = 20
WEBSOCKET_MESSAGE = 8_000_000
"""Largest message on a WebSocket, bytes."""


def make_token(host: str) -> str | None:
    """The secret of a server that listens on `host`: the user's, or a fresh one; None for this machine alone.

    Raises:
        ConfigError: The user's can be guessed, or does not fit into a header.
    """
    if host in LOOPBACK:
        return None
    own = os.environ.get(TOKEN_VARIABLE)
    if own is None:
        return secrets.token_urlsafe(24)
    if len(own) < SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9_-]+", own):
        raise ConfigError(
            f"the token in {TOKEN_VARIABLE} is too weak",
            hint=f"at least {SHORTEST_TOKEN} letters and digits: openssl rand -hex 24 makes one",
        )
    return own


def run(
    app: FastAPI, *, host: str, port: int, limits: Limits, page: str = "/", ready: Callable[[str], object] = print
) -> None:
    """Serve until Ctrl-C.

    Args:
        app: What to serve; a guard is put in front of it.
        host: Address to listen on; another than this machine's own needs the token that is printed.
        port: Port; 0 takes a free one.
        limits: Their `megabytes` limit every request.
        page: Path of the page to name.
        ready: Called with the address to open, once the port is taken.

    Raises:
        ConfigError: The address or port cannot be had.
    """
    token = make_token(host)
    listener = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listener.getsockname()[1]}{page}" + (f"?token={token}" if token else "")
    guarded = Guard(app, token=token, most=limits.megabytes * MEGA)
    # Pages keep connections open: without a limit they would keep the server from stopping.
    config = uvicorn.Config(
        guarded, log_level="warning", access_log=False, timeout_graceful_shutdown=2, ws_max_size=WEBSOCKET_MESSAGE
    )
    if page != "/":  # who opens the bare address finds the page as well
        app.add_api_route("/", lambda: RedirectResponse(page), include_in_schema=False)
    ready(address)
    with suppress(KeyboardInterrupt):  # the way to stop a server, and no failure
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "ports go from 0 to 65535"
        raise ConfigError(
            f"cannot listen on {host}:{port}: {reason}", hint="choose another --port, or an address of yours"
        ) from error
    listener.listen(64)
    return listener
