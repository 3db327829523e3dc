"""The running page, driven by gradio's own client and by plain requests."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import provenance
from facesep.codes import ATTRIBUTES, Codes
from facesep.demo import actions
from facesep.demo.limits import CONSENT, MAX_PICTURES, MAX_VIDEOS, QUEUE
from facesep.demo.page import sentence
from facesep.moves import GROUPS, move
from facesep.video import SOUND_RATE, read_sound, video_info, write_video

gradio_client = pytest.importorskip("gradio_client")
import httpx  # noqa: E402 comes with gradio
from gradio_client import Client, handle_file  # noqa: E402
from serving import Server, as_shown, connect, refused, serve, wait_for  # noqa: E402

ENDPOINTS = ("transfer", "mix", "render", "orbit", "drive", "sliders", "edit", "encode", "verify")


@pytest.fixture(scope="module")
def server(sep, tmp_path_factory) -> Iterator[Server]:
    yield from serve(sep, tmp_path_factory.mktemp("gradio"))


@pytest.fixture
def client(server) -> Iterator[Client]:
    client = connect(server)
    yield client
    client.close()


# -- what programs get ------------------------------------------------------------------------------


def test_endpoints_are_named_and_typed(client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {f"/{name}" for name in ENDPOINTS}
    parameters = {one["parameter_name"]: one for one in named["/transfer"]["parameters"]}
    assert list(parameters) == [
        "source",
        "donor",
        "attributes",
        "strength",
        "source_face",
        "donor_face",
        "consent",
        "refine",
        "fit",
        "plain",
        "background",
        "size",
    ]
    assert parameters["attributes"]["type"]["items"]["enum"] == list(ATTRIBUTES)
    assert parameters["strength"]["parameter_default"] == 1.0
    assert parameters["consent"]["type"] == {"type": "boolean"}
    assert parameters["consent"]["parameter_default"] is False
    for name, endpoint in named.items():
        assert "consent" in endpoint["description"]
        first, *others = (one["type"] for one in endpoint["returns"])
        assert name in ("/sliders", "/verify") or "path" in str(first)
        assert others == ([] if name == "/verify" else [{"type": "array", "items": {"type": "string"}}])


def test_transfer_gives_the_file_that_the_library_would(client, sep, photos):
    source, donor = (handle_file(str(path)) for path in photos[:2])
    result, _ = client.predict(source, donor, ["expression", "hair"], 0.5, consent=True, api_name="/transfer")
    base, other = sep.portrait(photos[0]), sep.portrait(photos[1])
    expected = provenance.encode(as_shown(sep, base.swap(other, ["expression", "hair"], 0.5)))
    assert Path(result).suffix == ".png" and Path(result).read_bytes() == expected
    assert provenance.verify(result).made_by_facesep


def test_render_turns_the_head(client, sep, photos):
    photo = handle_file(str(photos[0]))
    result, _ = client.predict(photo, yaw=25, pitch=-5, consent=True, api_name="/render")
    expected = provenance.encode(as_shown(sep, sep.portrait(photos[0]), yaw=25, pitch=-5))
    assert Path(result).read_bytes() == expected
    as_in_the_photo, _ = client.predict(photo, consent=True, api_name="/render")
    assert Path(as_in_the_photo).read_bytes() == provenance.encode(as_shown(sep, sep.portrait(photos[0])))


def test_results_stand_on_what_is_asked_for(client, sep, photos):
    photo, face = handle_file(str(photos[0])), sep.portrait(photos[0])
    for options in ({"background": "keep"}, {"background": "transparent", "size": 256}, {"size": 1024}):
        result, _ = client.predict(photo, consent=True, api_name="/render", **options)
        size = {} if options.get("background") == "keep" else {"size": 512}
        assert Path(result).read_bytes() == provenance.encode(sep.render(face, **size | options))
    for wrong in ({"size": 2000}, {"size": 300.5}, {"background": "wall"}):
        assert next(iter(wrong)) in refused(client, photo, consent=True, api_name="/render", **wrong).lower()


def test_warnings_are_given_beside_the_result(client, sep, photos, tmp_path):
    with Image.open(photos[0]) as photo:
        photo.rotate(35, expand=True, fillcolor="white").save(tmp_path / "tilted.png")
    upright, tilted = handle_file(str(photos[1])), handle_file(str(tmp_path / "tilted.png"))
    notes = list(sep.align(tmp_path / "tilted.png").warnings)
    assert any("tilted" in note for note in notes)
    _, said = client.predict(tilted, consent=True, api_name="/render")
    assert said == notes
    _, said = client.predict(upright, tilted, ["hair"], consent=True, api_name="/transfer")
    assert said == [f"donor: {note}" for note in notes]
    assert client.predict(upright, consent=True, api_name="/sliders")[1] == []


def test_orbit_is_a_video_with_progress(client, photos):
    photo = handle_file(str(photos[0]))
    job = client.submit(photo, frames=60, fps=24, consent=True, api_name="/orbit")
    seen = set()
    while not job.done():
        seen |= {(unit.index, unit.length) for unit in job.status().progress_data or []}
        time.sleep(0.002)
    result, _ = job.result()
    assert (video_info(result).frames, video_info(result).fps) == (60, 24)
    assert provenance.verify(result).made_by_facesep
    assert seen and {length for _, length in seen} == {60}


def test_one_of_several_faces_is_chosen(client, group, photos, sep, tmp_path):
    path = tmp_path / "group.png"
    path.write_bytes(group)
    two, one = handle_file(str(path)), handle_file(str(photos[2]))
    message = refused(client, two, one, ["hair"], consent=True)
    assert "2 faces" in message and "0: " in message and "1: " in message and "source_face" in message
    assert "donor_face" in refused(client, one, two, ["hair"], consent=True)
    result, _ = client.predict(two, one, ["hair"], source_face=1, consent=True, api_name="/transfer")
    base, donor = sep.portrait(path, face=1), sep.portrait(photos[2])
    assert Path(result).read_bytes() == provenance.encode(as_shown(sep, base.swap(donor, ["hair"])))
    assert "no face 2" in refused(client, two, face=2, consent=True, api_name="/render")


def test_mix_takes_from_several_photos(client, sep, photos):
    base, hair, light = (handle_file(str(path)) for path in photos[:3])
    result, _ = client.predict(base, hair=hair, illumination=light, consent=True, api_name="/mix")
    codes = [sep.portrait(path) for path in photos[:3]]
    expected = codes[0].mix(hair=codes[1], illumination=codes[2])
    assert Path(result).read_bytes() == provenance.encode(as_shown(sep, expected))
    assert "1 to 4" in refused(client, base, consent=True, api_name="/mix")
    five = dict.fromkeys(ATTRIBUTES[:5], hair)
    assert "1 to 4" in refused(client, base, consent=True, api_name="/mix", **five)


def test_edit_moves_from_where_the_face_stands(client, sep, photos):
    photo = handle_file(str(photos[0]))
    sliders, _ = client.predict(photo, consent=True, api_name="/sliders")
    assert len(sliders) == sum(GROUPS.values()) and all(-3 <= one["value"] <= 3 for one in sliders)
    name = sliders[0]["name"]
    codes, found = sep.portrait(photos[0]), sep.moves()
    assert [one["name"] for one in sliders] == [one.name for one in found]
    for amount in (0, 2):
        result, _ = client.predict(photo, {name: amount}, consent=True, api_name="/edit")
        assert Path(result).read_bytes() == provenance.encode(as_shown(sep, move(codes, {found[0]: amount})))
    assert "no move" in refused(client, photo, {"Nose": 1}, consent=True, api_name="/edit")


def test_a_video_moves_a_face(client, photos):
    one, two = (handle_file(str(path)) for path in photos[:2])
    made, _ = client.predict(one, frames=4, fps=12, plain=True, consent=True, api_name="/orbit")
    turning = handle_file(made)
    # The tiny model's renders are no faces; the message says what was looked for.
    assert "frames" in refused(client, two, turning, consent=True, api_name="/drive")
    assert CONSENT in refused(client, two, turning, api_name="/drive")


def test_a_driven_face_keeps_time_and_sound(client, photos, tmp_path):
    one, two = photos[:2]
    with Image.open(one) as face:
        frames = [face.convert("RGB")] * 4
    sound = (9000 * np.sin(np.arange(SOUND_RATE) / 20)).astype(np.int16)
    path = write_video(frames, tmp_path / "slow.mp4", 4, sound=np.stack([sound, sound]))
    for wanted in (True, False):
        result, _ = client.predict(
            handle_file(str(two)), handle_file(str(path)), sound=wanted, consent=True, api_name="/drive"
        )
        assert video_info(result).seconds == pytest.approx(1.0, abs=1 / 15)
        heard = read_sound(result, 1.0)
        assert (heard is not None) == wanted
    assert provenance.verify(result).made_by_facesep


def test_codes_are_given_when_they_may_be_kept(client, sep, photos):
    photo = handle_file(str(photos[0]))
    assert "biometric" in refused(client, photo, consent=True, api_name="/encode")
    path, _ = client.predict(photo, include_identity=True, consent=True, api_name="/encode")
    assert torch.equal(Codes.load(path).vector(), sep.encode(photos[0]).vector())


def test_verify_reads_what_the_page_made(client, photos):
    photo = handle_file(str(photos[0]))
    picture, _ = client.predict(photo, consent=True, api_name="/render")
    video, _ = client.predict(photo, frames=8, consent=True, api_name="/orbit")
    for result in (picture, video):
        found = client.predict(handle_file(result), api_name="/verify")
        assert found["made_by_facesep"] is True and "label" in found["how"] and found["version"]
    found = client.predict(photo, api_name="/verify")
    assert found["made_by_facesep"] is False and "proves nothing" in found["text"]


# -- what is refused --------------------------------------------------------------------------------


def test_nothing_works_without_consent(client, server, photos):
    photo = handle_file(str(photos[0]))
    assert CONSENT in refused(client, photo, photo, ["hair"])
    assert CONSENT in refused(client, photo, api_name="/render")
    assert CONSENT in refused(client, photo, consent=False, api_name="/orbit")
    assert CONSENT in refused(client, photo, hair=photo, api_name="/mix")
    assert CONSENT in refused(client, photo, api_name="/sliders")
    assert CONSENT in refused(client, photo, {"Smile": 1}, api_name="/edit")
    assert CONSENT in refused(client, photo, include_identity=True, api_name="/encode")
    assert not [left for left in server.files() if left.name == photos[0].name]


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
    path.write_bytes(b"\0" * (32 * 2**20 + 1))
    with pytest.raises(Exception, match="(?i)size|large|413"):
        client.predict(handle_file(str(path)), consent=True, api_name="/render")


@pytest.mark.parametrize("meta", [True, False])
def test_other_files_of_the_server_are_out_of_reach(server, meta, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    payload = {"path": str(secret)} | ({"meta": {"_type": "gradio.FileData"}} if meta else {})
    answer = server.call("render", [payload, 0, 0, None, True], visitor=f"thief{meta}")
    assert answer["success"] is False
    assert secret.exists()
    assert httpx.get(f"{server.url}gradio_api/file={secret}").status_code in (403, 404)


def test_the_queue_cannot_be_passed_by(server):
    for name in ENDPOINTS:
        answer = httpx.post(f"{server.url}gradio_api/run/{name}", json={"data": []})
        assert answer.status_code == 404 and "queue" in answer.text


def test_unexpected_errors_tell_nothing(client, photos, monkeypatch, caplog, capfd):
    def broken(*_, **__):
        raise RuntimeError("something private")

    monkeypatch.setattr(actions, "picture", broken)
    with caplog.at_level(logging.DEBUG, "facesep"):
        text = refused(client, handle_file(str(photos[0])), consent=True, api_name="/render")
    assert "Something went wrong" in text and "private" not in text
    assert "RuntimeError in test_page.py" in caplog.text and "private" not in caplog.text
    assert "private" not in "".join(capfd.readouterr())


def test_sentences():
    assert sentence("no face\n was found: try") == "No face was found: try."
    assert sentence("<b>Done</b>!") == "&lt;b&gt;Done&lt;/b&gt;!"


# -- what is kept -----------------------------------------------------------------------------------


@pytest.mark.slow  # gradio looks every 15 seconds whether a visitor is still there
def test_uploads_go_at_once_and_results_with_the_visitor(server, photos):
    visitor = connect(server)
    source, donor = (handle_file(str(path)) for path in photos[:2])
    assert wait_for(lambda: server.files() == []), server.files()  # those of earlier visitors are gone
    visitor.predict(source, donor, ["hair"], consent=True, api_name="/transfer")
    assert [path.name for path in server.files()] == ["facesep.png"]
    visitor.close()
    assert wait_for(lambda: server.files() == [])


def test_settings_that_the_promises_depend_on(server):
    config = httpx.get(f"{server.url}config").json()
    assert config["run_history"] is False and config["analytics_enabled"] is False
    assert config["show_error"] is False and config["max_file_size"] == 32 * 2**20
    assert config["connect_heartbeat"] is True  # tells the server that a visitor has left
    public = [one for one in config["dependencies"] if one["api_visibility"] == "public"]
    assert sorted(one["api_name"] for one in public) == sorted(ENDPOINTS)
    assert httpx.get(f"{server.url}gradio_api/runs").status_code == 404
    assert httpx.get(f"{server.url}monitoring").status_code in (403, 404)
    assert "http" not in httpx.get(f"{server.url}theme.css").text.replace("http://www.w3.org", "")


def test_the_queue_has_an_end(server):
    assert server.page._queue.max_size == QUEUE
    queued = [fn for fn in server.page.fns.values() if fn.queue and fn.name != "leave"]
    limits = {(fn.concurrency_id, fn.concurrency_limit) for fn in queued}
    assert limits == {("pictures", MAX_PICTURES), ("videos", MAX_VIDEOS)}
    assert server.page.max_threads > MAX_PICTURES + MAX_VIDEOS  # so that a stop is always heard


def test_the_server_talks_to_nobody(server, client, photos):
    client.predict(handle_file(str(photos[0])), consent=True, api_name="/render")
    assert server.connected and set(server.connected) <= {"127.0.0.1", "::1", "localhost", "0.0.0.0"}
