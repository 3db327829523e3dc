"""Uploads are deleted once everybody who sent them has been served, and never before."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("gradio")
from facesep.demo import uploads  # noqa: E402
from facesep.demo.limits import KEEP_SECONDS  # noqa: E402
from facesep.demo.uploads import Arrivals, take  # noqa: E402
from facesep.errors import ImageError  # noqa: E402


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, which only the test moves on, and nothing that waits from elsewhere."""
    now = [1000.0]
    monkeypatch.setattr(uploads, "_WAITING", uploads._Waiting(lambda: now[0]))
    return now


def store(root: Path, data: bytes = b"photo") -> Path:
    """Writes an upload where gradio would: equal files in one place."""
    path = root / data.hex() / "photo.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def send(body: bytes, route: str = "/gradio_api/upload", method: str = "POST", parts: int = 1) -> bytes:
    """Lets the middleware see a request whose answer is ``body``, in parts; returns what the sender gets."""
    got = bytearray()

    async def app(scope, receive, send):
        step = -(-len(body) // parts) or 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for start in range(0, step * parts, step):
            more = start + step < step * parts
            chunk = body[start : start + step]
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def sender(message):
        got.extend(message.get("body", b""))

    scope = {"type": "http", "method": method, "path": route}
    asyncio.run(Arrivals(app)(scope, None, sender))
    return bytes(got)


def arrive(path: Path, **options) -> None:
    answer = json.dumps([str(path)]).encode()
    assert send(answer, **options) == answer


@pytest.mark.parametrize("parts", [1, 3])
def test_equal_photos_of_two_visitors_are_read_by_both(tmp_path, clock, parts):
    path = store(tmp_path)
    arrive(path, parts=parts)
    arrive(path, parts=parts)
    assert take(tmp_path, {"path": str(path)}) == [b"photo"]
    assert path.exists()
    assert take(tmp_path, {"path": str(path)}) == [b"photo"]
    assert not path.exists() and not path.parent.exists()
    with pytest.raises(ImageError, match="no longer"):
        take(tmp_path, {"path": str(path)})


def test_one_photo_given_twice_in_one_request_counts_once(tmp_path, clock):
    path = store(tmp_path)
    arrive(path)
    payload = {"path": str(path)}
    assert take(tmp_path, payload, payload) == [b"photo", b"photo"]
    assert not path.exists()


def test_an_upload_that_nobody_asked_for_counts_only_for_a_while(tmp_path, clock):
    path = store(tmp_path)
    arrive(path)
    clock[0] += KEEP_SECONDS + 1
    arrive(path)
    take(tmp_path, {"path": str(path)})
    assert not path.exists()


def test_nothing_is_deleted_while_an_equal_upload_comes_in(tmp_path, clock):
    path = store(tmp_path)
    arrive(path)
    uploads._WAITING.begin()
    take(tmp_path, {"path": str(path)})
    assert path.exists()
    uploads._WAITING.end([path])
    assert path.exists()
    take(tmp_path, {"path": str(path)})
    assert not path.exists()


def test_it_goes_when_what_came_in_was_something_else(tmp_path, clock):
    path, other = store(tmp_path), store(tmp_path, b"other")
    arrive(path)
    uploads._WAITING.begin()
    take(tmp_path, {"path": str(path)})
    uploads._WAITING.end([other])
    assert not path.exists() and other.exists()


@pytest.mark.parametrize("body", [b"", b"too large", b'{"detail": "too large"}', b"[1, null]"])
def test_answers_that_name_no_file_are_passed_on(tmp_path, clock, body):
    path = store(tmp_path)
    assert send(body) == body
    take(tmp_path, {"path": str(path)})  # nothing is thought to be coming in any more
    assert not path.exists()


def test_an_upload_that_breaks_off_is_not_waited_for(tmp_path, clock):
    async def app(scope, receive, send):
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(Arrivals(app)({"type": "http", "method": "POST", "path": "/upload"}, None, None))
    path = store(tmp_path)
    take(tmp_path, {"path": str(path)})
    assert not path.exists()


def test_what_gradio_unpacked_from_a_call_goes_with_it(tmp_path, clock):
    path = store(tmp_path)
    unpacked, sent, other = (tmp_path / name / "file.jpg" for name in ("one", "two", "three"))
    for one, data in ((unpacked, b"photo"), (sent, b"photo"), (other, b"other")):
        one.parent.mkdir()
        one.write_bytes(data)
    arrive(path)
    arrive(sent)  # somebody's own upload has this name
    take(tmp_path, {"path": str(path)})
    assert not unpacked.exists() and sent.exists() and other.exists()


def test_folders_of_other_visits_may_vanish_meanwhile(tmp_path, clock, monkeypatch):
    path, other = store(tmp_path), store(tmp_path, b"other")
    arrive(path)
    looked = []

    def vanished(look):
        def wrapped(folder="."):
            if Path(folder) == other.parent:
                looked.append(folder)
                raise FileNotFoundError(folder)
            return look(folder)

        return wrapped

    monkeypatch.setattr(os, "scandir", vanished(os.scandir))
    monkeypatch.setattr(os, "listdir", vanished(os.listdir))
    assert take(tmp_path, {"path": str(path)}) == [b"photo"]
    assert looked


def test_other_requests_are_not_counted(tmp_path, clock):
    path = store(tmp_path)
    arrive(path, route="/gradio_api/queue/join")
    arrive(path, method="GET")
    arrive(path)
    take(tmp_path, {"path": str(path)})
    assert not path.exists()
