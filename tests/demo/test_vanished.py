"""A file that vanishes while it is asked for is not found, and nobody reads its name in a log."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("gradio")
from starlette.responses import FileResponse

from facesep.demo import launch_options
from facesep.demo.vanished import Vanished


def answers(app, path: str = "/gradio_api/file=me.jpg") -> list[dict]:
    sent = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:  # the browser stays
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(Vanished(app)(scope, receive, send))
    return sent


def test_a_file_that_is_gone_is_not_found(tmp_path):
    path = tmp_path / "me.jpg"
    path.write_bytes(b"photo")

    async def app(scope, receive, send) -> None:
        response = FileResponse(path, stat_result=path.stat())
        path.unlink()  # between the look at the file and its opening
        await response(scope, receive, send)

    assert answers(app)[0]["status"] in (200, 404)  # no exception leaves
    path.unlink(missing_ok=True)
    assert answers(FileResponse(path))[0]["status"] == 404  # it went before the look
    path.write_bytes(b"photo")
    with pytest.raises(FileNotFoundError, match="me.jpg"):
        answers(app, "/elsewhere")


def test_what_has_begun_is_not_answered_twice():
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise FileNotFoundError

    assert [message["status"] for message in answers(app)] == [200]


def test_a_file_that_is_there_is_sent(tmp_path):
    (tmp_path / "me.jpg").write_bytes(b"photo")
    assert answers(FileResponse(tmp_path / "me.jpg"))[-1]["body"] == b"photo"


def test_the_page_is_served_that_way():
    assert Vanished in [one.cls for one in launch_options()["app_kwargs"]["middleware"]]
