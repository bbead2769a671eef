"""The parts behind the page that need no server: the guard, the limits, the line, the worker."""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the pages need the extra studio")

import httpx
from fastapi.testclient import TestClient

from stillmotion.cli.animate import Command
from stillmotion.cli.options import parse
from stillmotion.core.errors import ConfigError, EngineError, ImageError, VideoError
from stillmotion.server.guard import Guard
from stillmotion.server.limits import Limits
from stillmotion.server.start import make_token, new_app, run
from stillmotion.server.worker import CancelledError, Worker
from stillmotion.studio.choices import Choices
from stillmotion.studio.desk import Desk, examples
from tests.scene import Scene


def in_a_loop_of_its_own(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in another thread: a browser driven by other tests keeps this one's loop running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def ask(
    guard: Guard, path: str = "/", query: str = "", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str]]:
    """Status and headers of one GET."""
    sent: list[Any] = []
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "me:1", **headers}.items()]
    scope = {"type": "http", "path": path, "query_string": query.encode(), "headers": pairs, "method": "GET"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    in_a_loop_of_its_own(guard(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_a_server_that_others_can_reach_asks_for_its_token() -> None:
    token = make_token("0.0.0.0")
    assert token is not None
    assert make_token("127.0.0.1") is None
    guard = Guard(hello, token=token, most=1000)
    assert ask(guard)[0] == 401
    assert ask(guard, query="token=wrong")[0] == 401
    status, headers = ask(guard, path="/live/", query=f"token={token}&a=b")
    assert (status, headers["location"]) == (303, "/live/?a=b")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert ask(guard, cookie=headers["set-cookie"].split(";")[0])[0] == 200
    assert ask(guard, authorization=f"Bearer {token}")[0] == 200
    assert ask(guard, authorization="Bearer wrong")[0] == 401
    assert ask(guard, authorization=f"Bearer {token}", origin="http://evil.example")[0] == 403
    assert ask(guard, authorization=f"Bearer {token}", origin="http://me:1")[0] == 200
    assert ask(guard, authorization=f"Bearer {token}", origin="null")[0] == 403


def test_a_body_that_grows_too_large_is_cut_off() -> None:
    async def greedy(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["body"]:
            continue
        await hello(scope, receive, send)

    assert ask(Guard(greedy, token=None, most=10), host="localhost:1")[0] == 200
    assert ask(Guard(greedy, token=None, most=10), host="localhost:1", body=b"x" * 6)[0] == 413
    assert ask(Guard(greedy, token=None, most=10), host="localhost:1", content_length=str(4 << 30))[0] == 413


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:1"):
        run(hello, host="192.0.2.1", port=1, limits=Limits())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:99999: ports go from 0 to 65535"):
        run(hello, host="127.0.0.1", port=99999, limits=Limits())  # type: ignore[arg-type]


def test_ctrl_c_ends_a_server_without_an_error_and_the_bare_address_leads_to_its_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[httpx.Response] = []

    def visited(server: Any, sockets: list[socket.socket]) -> None:
        with TestClient(server.config.app, base_url="http://127.0.0.1", follow_redirects=False) as visitor:
            seen.append(visitor.get("/"))
        sockets[0].close()
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", visited)
    run(new_app(), host="127.0.0.1", port=0, limits=Limits(), page="/live/", ready=lambda address: None)
    assert (seen[0].status_code, seen[0].headers["location"]) == (307, "/live/")


def test_limits_on_what_is_uploaded(scene: Scene) -> None:
    Limits().check_picture(scene.picture)
    Limits().check_clip(scene.clip)
    with pytest.raises(ImageError, match="megapixels"):
        Limits(megapixels=0.001).check_picture(scene.picture)
    with pytest.raises(VideoError, match="the clip is 64 × 48 pixels"):
        Limits(megapixels=0.001).check_clip(scene.clip)
    with pytest.raises(VideoError, match="the clip lasts 0 seconds"):
        Limits(seconds=0.1).check_clip(scene.clip)
    with pytest.raises(VideoError, match="more than 7200 frames"):
        Limits().check_progress(7201)


def test_the_line_does_the_same_as_the_choices() -> None:
    choices = Choices(
        motion="absolute", reference="12", crop_source="-3,4,50,50", label=True, paste_back=True, show="flow"
    )
    words = shlex.split(choices.line("my photo.jpg", "clip.mp4"))
    assert words[:2] == ["stillmotion", "animate"]
    command = parse(Command, verb="animate", words=words[2:])
    asked = {name: getattr(command, name) for name in choices.options() if name != "crop_driving"}
    assert asked == {name: value for name, value in choices.options().items() if name != "crop_driving"}
    assert Choices().line("a.jpg", "b.mp4") == "stillmotion animate a.jpg b.mp4 -o out.mp4"
    with pytest.raises(ConfigError, match="'x' is no frame"):
        Choices(reference="x").options()


def test_a_child_that_cannot_start_or_is_too_slow_is_said() -> None:
    with pytest.raises(EngineError, match="has stopped"):
        Worker("stillmotion.no_such_module", seconds=20).ask("look")
    slow = Worker("stillmotion.studio.jobs", seconds=0.0)
    with pytest.raises(EngineError, match="more than 0 seconds"):
        slow.ask("look_at_photo")
    slow.close()
    with pytest.raises(EngineError, match="shutting down"):
        slow.ask("look_at_photo")


def test_files_go_when_the_visit_ends(tmp_path: Path, scene: Scene) -> None:
    desk = Desk(tmp_path, Limits())
    visits, inside = desk.visits, tmp_path / "abc" / "photo.png"
    inside.parent.mkdir()
    inside.write_bytes(scene.picture.read_bytes())
    assert visits.bring("me", str(inside)) == visits.bring("you", str(inside)) == inside
    made = visits.folder("me")
    (made / "out.mp4").write_bytes(b"x")
    desk.leave("me")
    assert not made.exists()
    assert inside.exists(), "somebody else uploaded the same picture"
    desk.leave("you")
    assert not inside.parent.exists()
    with pytest.raises(ImageError, match="was not uploaded here"):
        visits.bring("me", str(scene.picture))


def test_one_job_a_visitor(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits())
    desk.begin("me")
    with pytest.raises(ConfigError, match="you have a job running already"):
        desk.begin("me")
    desk.visits.end("me")
    desk.begin("me")
    desk.cancel("me")
    with pytest.raises(CancelledError):
        desk.animate("me", *examples(), Choices())
