"""Promises of the page to its visitors, kept under hostile files, wrong requests and many visitors."""

from __future__ import annotations

import concurrent.futures
import io
import itertools
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import hostile
import pytest
from PIL import Image, ImageFile

from facesep import provenance
from facesep.demo import actions, jobs
from facesep.demo.page import Page, Visit
from facesep.demo.sessions import Sessions
from facesep.errors import ConfigError, VideoError
from facesep.images import MAX_PIXELS, load_image
from facesep.moves import GROUPS
from facesep.video import video_info

gradio_client = pytest.importorskip("gradio_client")
from gradio_client import Client, handle_file  # noqa: E402
from serving import Server, as_shown, connect, refused, serve, wait_for  # noqa: E402


@pytest.fixture(scope="module")
def server(sep, tmp_path_factory) -> Iterator[Server]:
    yield from serve(sep, tmp_path_factory.mktemp("gradio"))


@pytest.fixture
def client(server) -> Iterator[Client]:
    client = connect(server)
    yield client
    client.close()


# -- hostile files ----------------------------------------------------------------------------------


def test_the_corpus_cannot_hurt_the_page(client, server, photos, tmp_path, monkeypatch):
    load = ImageFile.ImageFile.load

    def bounded(self):
        assert self.width * self.height <= MAX_PIXELS, "a bomb was decoded"
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", bounded)
    for name, data in (hostile.refused() | hostile.odd()).items():
        path = tmp_path / name
        path.write_bytes(data)
        text = refused(client, handle_file(str(path)), consent=True, api_name="/render")
        assert "Something went wrong" not in text and "raised an exception" not in text, (name, text)
        assert "Traceback" not in text and str(server.folder) not in text and "<script" not in text
        assert not [left for left in server.files() if left.name == path.name]
    client.predict(handle_file(str(photos[0])), consent=True, api_name="/render")  # still there


def test_videos_that_are_none_are_refused(client, server, photos, tmp_path):
    photo = handle_file(str(photos[0]))
    for name, data in (
        ("a.mp4", b"hello"),
        ("b.webm", b"\x1aE\xdf\xa3" + bytes(99)),
        ("c.txt", b"#EXTM3U\nx"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        text = refused(client, photo, handle_file(str(path)), consent=True, api_name="/drive")
        assert "video" in text and "Traceback" not in text and str(server.folder) not in text
        text = refused(client, handle_file(str(path)), api_name="/verify")
        assert "Something went wrong" not in text
        assert not [left for left in server.files() if left.name == path.name]


def test_metadata_of_a_photo_stays_out_of_results(client, sep, photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: what is seen is the picture turned clockwise
    exif[0x010F] = "Secret camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0)})
    path = tmp_path / "gps.png"
    load_image(photos[0]).rotate(90, expand=True).save(path, exif=exif)
    with Image.open(path) as image:
        assert image.getexif().get_ifd(0x8825)
    result = Path(client.predict(handle_file(str(path)), consent=True, api_name="/render")[0])
    assert result.read_bytes() == provenance.encode(as_shown(sep, sep.portrait(photos[0])))
    with Image.open(result) as image:
        assert not image.getexif().get_ifd(0x8825) and "Secret" not in str(image.info)


# -- visitors ---------------------------------------------------------------------------------------


def test_visitors_at_once_get_their_own_faces(server, sep, photos):
    expected = [provenance.encode(as_shown(sep, sep.portrait(path))) for path in photos]

    def visit(number: int) -> bool:
        client = connect(server)
        try:
            photo = handle_file(str(photos[number]))
            results = [client.predict(photo, consent=True, api_name="/render")[0] for _ in range(3)]
            return all(Path(one).read_bytes() == expected[number] for one in results)
        finally:
            client.close()

    assert len(set(expected)) == len(photos)
    with concurrent.futures.ThreadPoolExecutor(len(photos)) as pool:
        assert all(pool.map(visit, range(len(photos))))


@pytest.mark.slow  # gradio looks every 15 seconds whether a visitor is still there
def test_nothing_of_a_visit_is_left(server, photos, tmp_path, caplog, capfd):
    others = set(Path(tempfile.gettempdir()).iterdir())
    photo = tmp_path / "anna-private-name.png"
    buffer = io.BytesIO()
    Image.open(photos[0]).save(buffer, "PNG")
    photo.write_bytes(buffer.getvalue())
    visitor = connect(server)
    file = handle_file(str(photo))
    video, _ = visitor.predict(file, frames=4, plain=True, consent=True, api_name="/orbit")
    visitor.predict(file, include_identity=True, consent=True, api_name="/encode")
    visitor.predict(file, hair=file, consent=True, api_name="/mix")
    visitor.predict(file, {_slider(visitor, file): 1.0}, consent=True, api_name="/edit")
    refused(visitor, file, handle_file(video), consent=True, api_name="/drive")  # shows no face
    visitor.predict(file, api_name="/verify")
    assert not [path for path in server.files() if path.read_bytes() == buffer.getvalue()]
    assert server.files()
    visitor.close()
    assert wait_for(lambda: server.files() == [])
    said = caplog.text + "".join(capfd.readouterr())
    assert "private-name" not in said
    new = set(Path(tempfile.gettempdir()).iterdir()) - others
    assert not [path for path in new if "private-name" in str(path) or path.suffix in (".png", ".mp4")]


def _slider(client: Client, file: dict) -> str:
    sliders, _ = client.predict(file, consent=True, api_name="/sliders")
    assert len(sliders) == sum(GROUPS.values())
    return sliders[-1]["name"]


@pytest.fixture
def visit(sep, tmp_path) -> Visit:
    return Page(sep, Sessions(tmp_path), tmp_path).visit(SimpleNamespace(session_hash="anna"))


def film(visit: Visit, photo: Path) -> str:
    codes = visit.sep.portrait(photo)
    return jobs.film(visit, actions.orbit(visit.sep, codes, frames=50), 50, 24)


def at_frame(monkeypatch, number: int, action: Callable[[], None]) -> list[int]:
    """Does something when a frame is made; gives the list of frames that were announced."""
    counted: list[int] = []

    def progress(self, state, **_):
        counted.append(state[0])
        if state[0] == number:
            action()

    monkeypatch.setattr(gr.Progress, "__call__", progress)
    return counted


def test_a_visitor_can_stop_what_runs(visit, photos, monkeypatch):
    counted = at_frame(monkeypatch, 2, visit.session.stopped.set)
    with pytest.raises(ConfigError, match="stopped"):
        film(visit, photos[0])
    assert counted == [0, 1, 2]
    assert not [path for path in visit.session.folder.rglob("*") if path.is_file()]


def test_a_job_has_an_end(visit, photos, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_SECONDS", -1)
    with pytest.raises(ConfigError, match="shorter video"):
        film(visit, photos[0])


def test_a_job_ends_when_its_visitor_leaves(visit, photos, tmp_path, monkeypatch):
    at_frame(monkeypatch, 2, lambda: visit.page.sessions.forget("anna"))
    with pytest.raises((ConfigError, VideoError)):
        film(visit, photos[0])
    with pytest.raises(ConfigError, match="has ended"):
        visit.session.write("face.png", b"late")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_job_gives_a_marked_video(visit, photos):
    path = film(visit, photos[0])
    assert (video_info(path).frames, video_info(path).fps) == (50, 24)
    assert provenance.verify(path).made_by_facesep


@pytest.mark.slow
def test_twenty_visitors_at_once(server, sep, photos):
    expected = [provenance.encode(as_shown(sep, sep.portrait(path), yaw=10)) for path in photos]
    clients = [connect(server) for _ in range(20)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told: set[str] = set()
    try:
        calls = [
            client.submit(handle_file(str(photo)), yaw=10, consent=True, api_name="/render")
            for client, photo in zip(clients, itertools.cycle(photos))  # noqa: B905 photos go round
        ]
        while not all(job.done() for job in calls):
            told |= {unit.desc for job in calls for unit in job.status().progress_data or []}
            time.sleep(0.02)
        results = [Path(job.result()[0]).read_bytes() for job in calls]
    finally:
        for client in clients:
            client.close()
    assert results == [expected[number % len(photos)] for number in range(20)]
    assert any(text.startswith("Waiting: ") for text in told)  # visitors are told their place
    # Pixels of 20 photos, and what 20 threads keep of their work: 40 MB a visitor at the most.
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 20 * 40  # MB


@pytest.mark.slow
def test_a_picture_does_not_wait_for_a_video(server, sep, photos):
    """While a video is made, a picture of somebody else is ready long before it."""
    long, quick = connect(server), connect(server)
    photo = handle_file(str(photos[0]))
    try:
        job = long.submit(photo, frames=120, consent=True, api_name="/orbit")
        assert wait_for(lambda: job.status().progress_data)
        for _ in range(3):
            quick.predict(photo, consent=True, api_name="/render")
        assert not job.done()
        assert video_info(job.result()[0]).frames == 120
    finally:
        long.close()
        quick.close()


@pytest.mark.slow
def test_many_calls_of_one_visitor_are_all_answered(server, photos):
    client = connect(server)
    photo = handle_file(str(photos[0]))
    try:
        calls = [client.submit(photo, yaw=number, consent=True, api_name="/render") for number in range(45)]
        assert len({Path(job.result()[0]).read_bytes() for job in calls}) == 45
    finally:
        client.close()


# -- wrong requests ---------------------------------------------------------------------------------

VALUES = (
    *(None, True, False, 0, -1, 1e308, 2**70, 0.5, "", "x", "../../etc/passwd", "\0", "hair", "é" * 2000),
    *([], {}, [[]], [None], ["hair"], ["hair", 3], {"path": "/etc/passwd"}, {"path": None}, {"Smile": 1}),
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "https://example.org/x.png", "meta": {"_type": "gradio.FileData"}},
    {"__type__": "update", "value": 3},
)
"""What no page would send."""


def test_nonsense_gets_an_answer_and_tells_nothing(server, client, photos):
    chance = random.Random(0)
    counts = {"transfer": 7, "mix": 10, "render": 5, "orbit": 7, "drive": 5, "sliders": 3}
    counts |= {"edit": 4, "encode": 4, "verify": 1}
    for round_ in range(3):
        for name, count in counts.items():
            data = [chance.choice(VALUES) for _ in range(count)]
            if chance.random() < 0.2:
                data = data[: count // 2]
            answer = server.call(name, data, visitor=f"fuzz{round_}{name}")
            assert answer["success"] is False, (name, data)
            said = str(answer["output"])
            assert not [
                word for word in ("Traceback", "root:", str(server.folder), "site-packages") if word in said
            ]
    client.predict(handle_file(str(photos[0])), consent=True, api_name="/render")
