"""What is kept of a visit, and that it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesep.demo.limits import MAX_PHOTOS
from facesep.demo.sessions import Sessions
from facesep.demo.uploads import take
from facesep.errors import ImageError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_visit_is_found_again_and_forgotten(tmp_path):
    sessions = Sessions(tmp_path)
    sessions.get("anna").kept["face"] = 1
    sessions.get("ben").kept["face"] = 2
    path = sessions.get("anna").write("face.png", b"anna")
    other = sessions.get("ben").write("face.png", b"ben")
    assert sessions.get("anna").kept == {"face": 1}
    sessions.forget("anna")
    assert not path.exists() and other.read_bytes() == b"ben"
    assert sessions.get("anna").kept == {} and sessions.get("ben").kept == {"face": 2}
    sessions.forget("nobody")
    sessions.forget(None)


def test_idle_visits_are_forgotten(tmp_path):
    clock = Clock()
    sessions = Sessions(tmp_path, keep_seconds=10, clock=clock)
    sessions.get("anna").write("face.png", b"anna")
    clock.now = 6
    sessions.get("ben").write("face.png", b"ben")
    clock.now = 9
    sessions.get("anna").kept["face"] = 1
    clock.now = 18
    sessions.sweep()
    assert sessions.get("anna").kept == {"face": 1}
    assert [path.read_bytes() for path in files(tmp_path)] == [b"anna"]
    clock.now = 40
    sessions.sweep()
    assert files(tmp_path) == [] and sessions.get("anna").kept == {}


def test_leftovers_of_a_killed_server_are_deleted(tmp_path):
    import os
    import time

    killed = Sessions(tmp_path, keep_seconds=100)
    old, new = killed.get("anna").write("face.png", b"anna"), killed.get("ben").write("face.png", b"ben")
    (tmp_path / "mine").mkdir()
    for folder in (old.parents[1], tmp_path / "mine"):
        os.utime(folder, (time.time() - 200,) * 2)
    Sessions(tmp_path, keep_seconds=100)
    assert not old.exists() and new.exists() and (tmp_path / "mine").exists()


def test_the_thread_sweeps(tmp_path):
    import time

    clock = Clock()
    sessions = Sessions(tmp_path, keep_seconds=10, clock=clock)
    path = sessions.get("anna").write("face.png", b"anna")
    sessions.sweep_always(every=0.01)
    clock.now = 11
    deadline = time.monotonic() + 20
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not path.exists()


def test_there_is_a_limit(tmp_path):
    clock = Clock()
    sessions = Sessions(tmp_path, capacity=2, clock=clock)
    for clock.now, name in enumerate(("anna", "ben", "anna", "cara")):
        sessions.get(name).kept["name"] = name
    assert sessions.get("anna").kept and sessions.get("cara").kept
    assert sessions.get("ben").kept == {}


def test_visits_without_a_key_share_nothing(tmp_path):
    sessions = Sessions(tmp_path)
    sessions.get(None).kept["face"] = 1
    assert sessions.get(None).kept == {} and sessions.get("").kept == {}


def test_names_cannot_be_guessed_or_chosen(tmp_path):
    sessions = Sessions(tmp_path / "root")
    paths = [sessions.get("../../outside").new_file("face.png") for _ in range(3)]
    assert len(set(paths)) == 3
    for path in paths:
        assert path.is_relative_to(tmp_path / "root") and "outside" not in str(path)
        assert len(path.parent.name) == 16 and len(path.parents[1].name) > 32


def test_an_upload_is_read_once_and_deleted(tmp_path):
    path = tmp_path / "hash" / "me.jpg"
    path.parent.mkdir()
    path.write_bytes(b"photo")
    assert take(tmp_path, {"path": str(path)}, {"path": str(path)}) == [b"photo", b"photo"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImageError, match="upload it again"):
        take(tmp_path, {"path": str(path)})


def test_an_unusable_upload_is_deleted_too(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(ImageError, match="empty"):
        take(tmp_path, {"path": str(path)})
    assert not path.exists()


@pytest.mark.parametrize("payload", [None, {}, {"path": None}, {"path": ""}, {"path": "a\0b"}, "me.jpg", 3])
def test_no_upload(payload, tmp_path):
    with pytest.raises(ImageError, match="upload one first"):
        take(tmp_path, payload)


@pytest.mark.parametrize("link", [False, True])
def test_files_elsewhere_are_neither_read_nor_deleted(link, tmp_path):
    root, secret = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    secret.write_bytes(b"secret")
    name = root / ".." / "secret"
    if link:
        name = root / "link"
        name.symlink_to(secret)
    with pytest.raises(ImageError, match="as a file"):
        take(root, {"path": str(name)})
    assert secret.read_bytes() == b"secret"
    for payload in ({"path": "https://example.org/me.jpg"}, {"url": "https://example.org/me.jpg"}):
        with pytest.raises(ImageError, match="web addresses"):
            take(root, payload)


def test_a_folder_that_holds_more_stays(tmp_path):
    (tmp_path / "hash").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "hash" / name).write_bytes(name.encode())
    assert take(tmp_path, {"path": str(tmp_path / "hash" / "a.jpg")}) == [b"a.jpg"]
    assert (tmp_path / "hash" / "b.jpg").exists()


def test_the_same_photo_is_read_once_per_visit(tmp_path):
    sessions, read = Sessions(tmp_path), []

    def reader(data: bytes) -> int:
        read.append(data)
        return len(read)

    anna = sessions.get("anna")
    assert [anna.once(b"a", reader) for _ in range(3)] == [1, 1, 1]
    assert anna.once(b"a", reader, 0) == 2 and anna.once(b"a", reader, 1) == 3  # other faces of it
    assert sessions.get("ben").once(b"a", reader) == 4  # nothing is shared between visits
    for number in range(MAX_PHOTOS):
        anna.once(bytes([number]), reader)
    assert len(anna.photos) == MAX_PHOTOS
    assert anna.once(b"a", reader) == len(read)  # it was dropped and read again


def test_a_photo_that_cannot_be_read_is_not_kept(tmp_path):
    session = Sessions(tmp_path).get("anna")

    def broken(data: bytes) -> None:
        raise ImageError("broken")

    with pytest.raises(ImageError):
        session.once(b"a", broken)
    assert not session.photos


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.MP4", ".mp4"), ("a", ""), ("a.tar.gz", ".gz"), ("a.p+hp", ""), ("a.toolong", "")]
)
def test_suffixes_of_uploads_are_plain(tmp_path, name, suffix):
    path = tmp_path / "hash" / name
    path.parent.mkdir()
    path.write_bytes(b"data")
    (upload,) = take(tmp_path, {"path": str(path)})
    assert upload.suffix == suffix
    with Sessions(tmp_path).get("anna").file(upload) as path:
        assert path.suffix == suffix and path.read_bytes() == b"data"
    assert not path.parent.exists()
