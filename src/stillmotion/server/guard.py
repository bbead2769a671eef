"""Who may talk to the server: this machine alone, or whoever holds the token; never another site's page."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "stillmotion"

_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'self'; form-action 'self'"
)
"""What a browser may load for our pages: only what comes from here. Gradio needs inline scripts."""

_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """ASGI middleware in front of everything.

    - Bound to this machine, only its own names are answered (so no other site can point a name of
      its own here), and no token is needed.
    - Bound to another address, every request needs the token: as `Authorization: Bearer`, or once
      in the address, `?token=`, which is then kept in a cookie.
    - A request that says it comes from another site's page is refused.
    - A body that is, or says it is, larger than the limit is refused.

    Args:
        app: What is guarded.
        token: Secret that opens the door; None for a server bound to this machine.
        most: Largest body, bytes.
    """

    def __init__(self, app: Application, *, token: str | None, most: int) -> None:
        self._app, self._token, self._most = app, token, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
        elif self._token is None or self._knows(headers):
            await self._pass(scope, receive, send)
        elif scope["type"] == "http" and self._is_token(parse_qs(scope["query_string"].decode()).get("token", [""])[0]):
            await self._welcome(scope, send)
        else:
            await _refuse(scope, send, 401, "this server asks for its token: open the address that it printed")

    def _refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._token is None and urlsplit(f"//{host}").hostname not in LOOPBACK:
            return 421, "this server answers to its own machine only"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "this request comes from another site's page"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "the length of the body makes no sense"
        if int(length) > self._most:
            return 413, f"too large: at most {self._most // 1_000_000} MB are taken"
        return None

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(text.encode(), self._token.encode())

    def _knows(self, headers: dict[str, str]) -> bool:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    async def _welcome(self, scope: Message, send: Send) -> None:
        """Keep the token in a cookie that scripts and other sites cannot use, and out of the address."""
        rest = {k: v for k, v in parse_qs(scope["query_string"].decode()).items() if k != "token"}
        place = scope["path"] + (f"?{urlencode(rest, doseq=True)}" if rest else "")
        cookie = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"location", place.encode()), (b"set-cookie", cookie.encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        taken, is_started = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            if taken > self._most:
                raise _TooLargeError
            return message

        async def headed(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            await self._app(scope, counted, headed)
        except _TooLargeError:
            if not is_started:
                await _refuse(scope, send, 413, f"too large: at most {self._most // 1_000_000} MB are taken")


class _TooLargeError(Exception):
    """A body grew past the limit."""


async def _refuse(scope: Message, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})
