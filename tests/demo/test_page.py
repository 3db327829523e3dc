"""The running page, driven by gradio's own client and by plain requests."""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facesep import provenance
from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.limits import CONSENT, QUEUE
from facesep.video import video_info

gradio_client = pytest.importorskip("gradio_client")
import httpx  # noqa: E402 comes with gradio
from gradio_client import Client, handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402


@dataclass
class Server:
    """The page on a free port of this machine."""

    url: str
    folder: Path
    connected: list[str]
    page: Any

    def files(self) -> list[Path]:
        """All files that visitors or results left."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def server(sep, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        from facesep.demo import launch_options
        from facesep.demo.ui import build_page

        connected, connect = [], socket.socket.connect

        def recorded(self, address):
            connected.append(str(address[0]))
            return connect(self, address)

        patch.setattr(socket.socket, "connect", recorded)
        page = build_page(sep)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield Server(url, folder, connected, page)
        page.close()


@pytest.fixture
def client(server) -> Iterator[Client]:
    client = Client(server.url, verbose=False, httpx_kwargs={"timeout": 120})
    yield client
    client.close()


def refused(client: Client, *arguments, api_name: str = "/transfer", **options) -> str:
    with pytest.raises(AppError) as caught:
        client.predict(*arguments, api_name=api_name, **options)
    return str(caught.value)


def wait_for(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


# -- what programs get ------------------------------------------------------------------------------


def test_endpoints_are_named_and_typed(client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/transfer", "/render", "/orbit"}
    parameters = {one["parameter_name"]: one for one in named["/transfer"]["parameters"]}
    assert list(parameters) == [
        "source",
        "donor",
        "attributes",
        "strength",
        "source_face",
        "donor_face",
        "consent",
    ]
    assert parameters["attributes"]["type"]["items"]["enum"] == list(ATTRIBUTES)
    assert parameters["strength"]["parameter_default"] == 1.0
    assert parameters["consent"]["type"] == {"type": "boolean"}
    assert parameters["consent"]["parameter_default"] is False
    for endpoint in named.values():
        assert "path" in str(endpoint["returns"][0]["type"]) and "consent" in endpoint["description"]


def test_transfer_gives_the_file_that_the_library_would(client, sep, photos):
    source, donor = (handle_file(str(path)) for path in photos[:2])
    result = client.predict(source, donor, ["expression", "hair"], 0.5, consent=True, api_name="/transfer")
    base, other = sep.encode(photos[0]), sep.encode(photos[1])
    expected = provenance.encode(sep.render(base.swap(other, ["expression", "hair"], 0.5)))
    assert Path(result).suffix == ".png" and Path(result).read_bytes() == expected
    assert provenance.verify(result).made_by_facesep


def test_render_turns_the_head(client, sep, photos):
    photo = handle_file(str(photos[0]))
    result = client.predict(photo, yaw=25, pitch=-5, consent=True, api_name="/render")
    expected = provenance.encode(sep.render(sep.encode(photos[0]), yaw=25, pitch=-5))
    assert Path(result).read_bytes() == expected
    as_in_the_photo = client.predict(photo, consent=True, api_name="/render")
    assert Path(as_in_the_photo).read_bytes() == provenance.encode(sep.render(sep.encode(photos[0])))


def test_orbit_is_a_video_with_progress(client, photos):
    photo = handle_file(str(photos[0]))
    job = client.submit(photo, frames=12, fps=24, consent=True, api_name="/orbit")
    seen = set()
    while not job.done():
        seen |= {(unit.index, unit.length) for unit in job.status().progress_data or []}
        time.sleep(0.002)
    result = job.result()
    assert (video_info(result).frames, video_info(result).fps) == (12, 24)
    assert provenance.verify(result).made_by_facesep
    assert seen and {length for _, length in seen} == {12}


def test_one_of_several_faces_is_chosen(client, group, photos, sep, tmp_path):
    path = tmp_path / "group.png"
    path.write_bytes(group)
    two, one = handle_file(str(path)), handle_file(str(photos[2]))
    message = refused(client, two, one, ["hair"], consent=True)
    assert "2 faces" in message and "0: " in message and "1: " in message and "source_face" in message
    assert "donor_face" in refused(client, one, two, ["hair"], consent=True)
    result = client.predict(two, one, ["hair"], source_face=1, consent=True, api_name="/transfer")
    base, donor = sep.encode(path, face=1), sep.encode(photos[2])
    assert Path(result).read_bytes() == provenance.encode(sep.render(base.swap(donor, ["hair"])))
    assert "no face 2" in refused(client, two, face=2, consent=True, api_name="/render")


# -- what is refused --------------------------------------------------------------------------------


def test_nothing_works_without_consent(client, photos):
    photo = handle_file(str(photos[0]))
    assert CONSENT in refused(client, photo, photo, ["hair"])
    assert CONSENT in refused(client, photo, api_name="/render")
    assert CONSENT in refused(client, photo, consent=False, api_name="/orbit")


def bomb() -> bytes:
    """A small PNG file that says it has 100 million pixels."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("text.png", b"hello", "not a picture"),
        ("empty.jpg", b"", "empty"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        ("bomb.png", None, "megapixels"),
        ("<b>name</b>.jpg", b"\xff\xd8\xff\xe0broken", "damaged"),
    ],
)
def test_bad_photos_are_named_in_a_sentence(client, server, tmp_path, name, data, message):
    path = tmp_path / name.replace("/", "")
    path.write_bytes(bomb() if data is None else data)
    text = refused(client, handle_file(str(path)), consent=True, api_name="/render")
    assert (
        message in text and "Traceback" not in text and str(server.folder) not in text and "<b>" not in text
    )
    assert not [left for left in server.files() if left.name == path.name]


@pytest.mark.parametrize(
    ("api_name", "options", "message"),
    [
        ("/transfer", {"attributes": ["nose"]}, "'nose'"),
        ("/transfer", {"attributes": []}, "choose from shape"),
        ("/transfer", {"attributes": ["hair"], "strength": 2.0}, "strength"),
        ("/render", {"yaw": 89}, "yaw"),
        ("/render", {"face": 7}, "no face 7"),
        ("/orbit", {"frames": 5000}, "frames"),
        ("/orbit", {"yaw": 80}, "yaw"),
    ],
)
def test_wrong_options_are_named_in_a_sentence(client, photos, api_name, options, message):
    photo = handle_file(str(photos[0]))
    both = (photo, photo) if api_name == "/transfer" else (photo,)
    assert message in refused(client, *both, consent=True, api_name=api_name, **options).lower()


def test_large_files_are_refused(client, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(b"\0" * (12 * 2**20 + 1))
    with pytest.raises(Exception, match="(?i)size|large|413"):
        client.predict(handle_file(str(path)), consent=True, api_name="/render")


@pytest.mark.parametrize("meta", [True, False])
def test_other_files_of_the_server_are_out_of_reach(server, meta, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    config = httpx.get(f"{server.url}config").json()
    (render,) = [one for one in config["dependencies"] if one["api_name"] == "render"]
    payload = {"path": str(secret)} | ({"meta": {"_type": "gradio.FileData"}} if meta else {})
    body = {"data": [payload, 0, 0, None, True], "fn_index": render["id"], "session_hash": f"thief{meta}"}
    assert httpx.post(f"{server.url}gradio_api/queue/join", json=body).status_code == 200
    with httpx.stream("GET", f"{server.url}gradio_api/queue/data?session_hash=thief{meta}") as stream:
        lines = [line for line in stream.iter_lines() if "process_completed" in line]
    assert len(lines) == 1 and '"success":false' in lines[0].replace(" ", "")
    assert secret.exists()
    assert httpx.get(f"{server.url}gradio_api/file={secret}").status_code in (403, 404)


def test_the_queue_cannot_be_passed_by(server):
    for name in ("transfer", "render", "orbit"):
        answer = httpx.post(f"{server.url}gradio_api/run/{name}", json={"data": []})
        assert answer.status_code == 404 and "queue" in answer.text


def test_unexpected_errors_tell_nothing(client, photos, monkeypatch, caplog, capfd):
    def broken(*_, **__):
        raise RuntimeError("something private")

    monkeypatch.setattr(actions, "turn", broken)
    with caplog.at_level(logging.DEBUG, "facesep"):
        text = refused(client, handle_file(str(photos[0])), consent=True, api_name="/render")
    assert "Something went wrong" in text and "private" not in text
    assert "RuntimeError in test_page.py" in caplog.text and "private" not in caplog.text
    assert "private" not in "".join(capfd.readouterr())


# -- what is kept -----------------------------------------------------------------------------------


@pytest.mark.slow  # gradio looks every 15 seconds whether a visitor is still there
def test_uploads_go_at_once_and_results_with_the_visitor(server, photos):
    visitor = Client(server.url, verbose=False, httpx_kwargs={"timeout": 120})
    source, donor = (handle_file(str(path)) for path in photos[:2])
    assert wait_for(lambda: server.files() == [])  # those of earlier visitors are gone
    visitor.predict(source, donor, ["hair"], consent=True, api_name="/transfer")
    assert [path.name for path in server.files()] == ["facesep.png"]
    visitor.close()
    assert wait_for(lambda: server.files() == [])


def test_settings_that_the_promises_depend_on(server):
    config = httpx.get(f"{server.url}config").json()
    assert config["run_history"] is False and config["analytics_enabled"] is False
    assert config["show_error"] is False and config["max_file_size"] == 12 * 2**20
    assert config["connect_heartbeat"] is True  # tells the server that a visitor has left
    public = [one for one in config["dependencies"] if one["api_visibility"] == "public"]
    assert sorted(one["api_name"] for one in public) == ["orbit", "render", "transfer"]
    assert httpx.get(f"{server.url}gradio_api/runs").status_code == 404
    assert httpx.get(f"{server.url}monitoring").status_code in (403, 404)
    assert "http" not in httpx.get(f"{server.url}theme.css").text.replace("http://www.w3.org", "")


def test_the_queue_has_an_end(server):
    assert server.page._queue.max_size == QUEUE
    queued = [fn for fn in server.page.fns.values() if fn.queue and fn.name != "leave"]
    limits = {(fn.concurrency_id, fn.concurrency_limit) for fn in queued}
    assert limits == {("model", 1)}


def test_the_server_talks_to_nobody(server, client, photos):
    client.predict(handle_file(str(photos[0])), consent=True, api_name="/render")
    assert server.connected and set(server.connected) <= {"127.0.0.1", "::1", "localhost", "0.0.0.0"}
