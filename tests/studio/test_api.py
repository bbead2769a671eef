"""The studio as a program sees it: the documented call, its errors, its limits, and what is left behind."""

from __future__ import annotations

import http.client
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("gradio", reason="the studio needs the extra studio")

import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import stillmotion.weights
from stillmotion.provenance.checking import verify
from stillmotion.studio.desk import examples
from tests.scene import Scene, pictures
from tests.studio.conftest import Studio

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not stillmotion.weights.shipped(), reason="this checkout ships no weights"),
]


@pytest.fixture(scope="module")
def client(studio: Studio) -> Client:
    return Client(studio.address, verbose=False)


def test_the_documented_call(client: Client, scene: Scene, tmp_path: Path) -> None:
    video, report = client.predict(
        photo=handle_file(examples()[0]),
        clip=handle_file(str(scene.clip)),
        crop_driving="none",
        label=True,
        api_name="/animate",
    )
    assert len(pictures(Path(video))) == 6
    assert report["audio"] == "copied"
    assert verify(video).state in ("valid", "marked")


def test_only_the_call_is_public(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/animate"}
    assert "Animate a photo with a clip" in named["/animate"]["description"]


def test_errors_come_in_words_with_their_hint(client: Client, scene: Scene) -> None:
    with pytest.raises(AppError, match=r"no face found in the source.*use --crop none"):
        client.predict(photo=handle_file(str(scene.picture)), clip=None, api_name="/animate")
    with pytest.raises(AppError, match="'soon' is no frame"):
        client.predict(photo=handle_file(examples()[0]), clip=None, reference="soon", api_name="/animate")
    with pytest.raises(AppError, match="there are no weights called"):
        client.predict(photo=handle_file(examples()[0]), clip=None, weights="../..", api_name="/animate")


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:9/x.jpg", "../../etc/passwd"])
def test_no_path_or_address_of_a_client_is_opened(studio: Studio, path: str) -> None:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    data = [file, None, "relative", "first", "", "auto", "auto", False, False, False, False, "nothing"]
    with httpx.Client(base_url=studio.address) as http_client:
        event = http_client.post("gradio_api/call/animate", json={"data": data}).json()["event_id"]
        answer = http_client.get(f"gradio_api/call/animate/{event}", timeout=60).text
    assert "event: error" in answer
    assert "root:" not in answer


def test_a_header_that_announces_too_much_is_refused_at_once(studio: Studio) -> None:
    connection = http.client.HTTPConnection(urlsplit(studio.address).netloc, timeout=10)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Length", str(4 << 30))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "at most 5 MB" in answer.read().decode()


def test_other_sites_and_other_names_are_refused(studio: Studio) -> None:
    assert httpx.get(studio.address, headers={"Host": "evil.example"}).status_code == 421
    assert (
        httpx.post(f"{studio.address}gradio_api/upload", headers={"Origin": "http://evil.example"}).status_code == 403
    )
    assert "default-src 'self'" in httpx.get(studio.address).headers["content-security-policy"]


def test_a_killed_worker_is_said_and_replaced(studio: Studio, client: Client) -> None:
    job = client.submit(photo=handle_file(examples()[0]), clip=None, api_name="/animate")
    deadline = time.monotonic() + 60
    while not list(studio.folder.glob("visit-*/*.partial.mp4")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(studio.worker, signal.SIGKILL)
    with pytest.raises(AppError, match="the process that does the work has stopped"):
        job.result(timeout=60)
    with pytest.raises(AppError, match="'soon' is no frame"):
        client.predict(photo=handle_file(examples()[0]), clip=None, reference="soon", api_name="/animate")


def test_twenty_at_once_are_queued_or_told_and_who_runs_keeps_the_rate(studio: Studio, client: Client) -> None:
    """One runs, three wait, the others hear that there is no room; nobody hangs and the server stays up."""
    data = [None, None, "relative", "first", "", "auto", "auto", False, False, False, False, "nothing"]

    def speed(job: Any) -> float:
        return float(job.result(timeout=200)[1]["speed"])

    def begin() -> Any:
        job = client.submit(photo=handle_file(examples()[0]), clip=None, api_name="/animate")
        deadline = time.monotonic() + 100
        while not list(studio.folder.glob("visit-*/*.partial.mp4")) and time.monotonic() < deadline:
            time.sleep(0.01)
        return job

    def call(http_client: httpx.Client) -> tuple[int, str]:
        answer = http_client.post("gradio_api/call/animate", json={"data": data})
        if answer.status_code != 200:
            return answer.status_code, answer.text
        return 200, http_client.get(f"gradio_api/call/animate/{answer.json()['event_id']}").text

    rates = []
    with httpx.Client(base_url=studio.address, timeout=200) as http_client, ThreadPoolExecutor(19) as pool:
        for _ in range(3):
            calm, running = speed(begin()), begin()
            answers = list(pool.map(call, [http_client] * 19))
            rates.append((calm, speed(running)))
            if rates[-1][1] >= 0.5 * calm:
                break
        told = [text for status, text in answers if status != 200]
        waited = [text for status, text in answers if status == 200]
        assert len(told) >= 10
        assert all("Queue is full" in text for text in told)
        assert all("event: error" in text for text in waited), "those who waited got their own answer"
        assert http_client.get("/").status_code == 200
    assert any(busy >= 0.5 * calm for calm, busy in rates), f"calm and busy rates: {rates}"
