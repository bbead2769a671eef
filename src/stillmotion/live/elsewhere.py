"""Animating on a worker: another `stillmotion live`, on the machine with the graphics card."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path

from stillmotion.core.errors import ConfigError, EngineError, ImageError
from stillmotion.core.frame import Frame
from stillmotion.live import wire
from stillmotion.live.link import Link
from stillmotion.server.worker import error_from
from stillmotion.session.inputs import example_photo, pixels_from_bytes
from stillmotion.session.live import Calibration, Settings
from stillmotion.session.pump import Sink

PATIENCE = 30.0
"""Seconds that a worker has for an answer; cutting its first photo takes a few."""


class Elsewhere:
    """A worker, by its address; see `backstage.Backstage`.

    Args:
        address: As the worker printed it, or `host:port`.
        token: Where it is not in the address.
        source: Photo to begin with; None takes the example.

    Raises:
        EngineError: The worker does not answer.
        ConfigError: The address is none, or the token is wrong.
        StillmotionError: The photo cannot be used.
    """

    def __init__(self, address: str, *, token: str | None = None, source: Path | None = None) -> None:
        self._address, token = wire.worker_address(address, token)
        self.place = f"Pictures go to the worker at {self._address}, and nowhere else."
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Straight to the worker, whatever proxy the environment names: the token is for nobody else.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.spec = wire.spec_from_json(json.loads(self._ask(wire.SPEC)))
        self.first = self._cut(source or example_photo())

    def cut(self, photo: Path, folder: Path) -> Frame:
        """Have the worker open the photo and find what is animated.

        Raises:
            StillmotionError: The photo cannot be used, or the worker does not answer.
        """
        return self._cut(photo)

    def perform(self, source: Frame, *, settings: Settings, calibration: Calibration | None, sink: Sink) -> Link:
        """Animate there, over a connection that is made again when it breaks."""
        address = "ws" + self._address.removeprefix("http") + wire.PATH
        headers = {**self._headers, wire.VISITOR: secrets.token_hex(16)}
        return Link(address, headers, source, settings=settings, calibration=calibration, sink=sink)

    def close(self) -> None:
        """Nothing runs here."""

    def _cut(self, photo: Path) -> Frame:
        try:
            data = photo.read_bytes()
        except OSError as error:
            raise ImageError(f"{photo} cannot be read: {error.strerror}", hint="check the path", path=photo) from error
        return pixels_from_bytes(self._ask(wire.CUT, data), self.spec.size)

    def _ask(self, path: str, data: bytes | None = None) -> bytes:
        """The worker's answer to a GET, or to a POST of data."""
        headers = {**self._headers, wire.VISITOR: secrets.token_hex(16)}
        request = urllib.request.Request(self._address + path, data=data, headers=headers)
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                found: bytes = answer.read(wire.MOST_BYTES)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read(10_000)) from None
        except OSError as error:
            raise EngineError(
                f"the worker at {self._address} does not answer",
                hint="start `stillmotion live --host 0.0.0.0` there, and check address, port and firewall",
            ) from error

    def _refusal(self, status: int, body: bytes) -> Exception:
        if status in (401, 403):
            return ConfigError(
                f"the worker at {self._address} wants its token", hint="give the whole address that it printed"
            )
        try:
            said = json.loads(body)
            return error_from(str(said["kind"]), str(said["error"]), str(said["hint"]))
        except (ValueError, KeyError, TypeError):
            return EngineError(
                f"{self._address} answers {status}, as no worker does",
                hint="check the address; stillmotion must be the same version at both ends",
            )
