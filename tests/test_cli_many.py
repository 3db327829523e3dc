"""The facesep command on many photos, in pipes, and in every format: sessions as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facesep import provenance
from facesep.cli import main
from facesep.cli.files import photos_in
from facesep.codes import Codes
from facesep.demo.examples import FOLDER
from facesep.images import load_image
from facesep.video import write_video

ANNA, BEN, CARA = (str(FOLDER / f"london_{name}.jpg") for name in ("016", "036", "099"))


@pytest.fixture
def room(sep, tmp_path, monkeypatch) -> Path:
    """A folder with three photos (canonical crops) in ``photos``, and a small checkpoint."""
    sep.save_pretrained(tmp_path / "model")
    monkeypatch.setenv("FACESEP_CHECKPOINT", str(tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name, photo in zip(("a.jpg", "b.png", "c.webp"), (ANNA, BEN, CARA), strict=True):
        load_image(photo).resize((64, 64)).save(Path("photos") / name, quality=95)
    Path("photos/notes.txt").write_text("not a photo")
    return tmp_path


def works(capsys, line: str) -> tuple[list[str], str]:
    """Runs a command line that must succeed; gives the lines on stdout, and stderr."""
    capsys.readouterr()
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    return out.splitlines(), err


def fails(capsys, line: str) -> str:
    capsys.readouterr()
    before = sorted(Path().rglob("*"))
    assert main(line.split()) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("facesep: error: ") and err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return err


# -- many photos ------------------------------------------------------------------------------------


def test_a_folder_of_photos(room, sep, capsys):
    out, err = works(capsys, f"transfer photos/ {BEN} --aligned --no-detail -o out/")
    assert out == [f"out/{name}-from-london_036.png" for name in "abc"]
    assert err == "facesep: 3 written of 3\n"
    wanted = sep.transfer(
        sep.encode("photos/b.png", aligned=True), sep.encode(BEN, aligned=True), "expression"
    )
    assert Path(out[1]).read_bytes() == provenance.encode(sep.render(wanted))
    Path(out[1]).unlink()
    out, err = works(capsys, f"transfer photos/ {BEN} --aligned --no-detail -o out/ --skip-existing --json")
    assert [json.loads(line) for line in out] == [
        {"photo": "photos/b.png", "output": "out/b-from-london_036.png", "warnings": []}
    ]
    assert err.count("exists already") == 2 and err.endswith("facesep: 1 written, 2 passed over of 3\n")
    assert works(capsys, f"transfer photos/ {BEN} --aligned -o out/ --skip-existing -q") == ([], "")


def test_photos_and_folders_together(room, capsys):
    out, _ = works(capsys, "mix photos/a.jpg photos/c.webp hair=photos/b.png --aligned -o out/ --format jpg")
    assert out == ["out/a-mix.jpg", "out/c-mix.jpg"]
    assert Image.open(out[0]).format == "JPEG"
    out, _ = works(capsys, "encode photos --aligned --include-identity -o codes/")
    assert out == ["codes/a.safetensors", "codes/b.safetensors", "codes/c.safetensors"]
    out, _ = works(capsys, "render codes/ -o again/ --yaw 10")
    assert len(out) == 3
    out, _ = works(
        capsys, "transfer photos/ photos/a.jpg --aligned -o new/ --codes new/ --include-identity --json"
    )
    assert isinstance(Codes.load("new/c-from-a.safetensors"), Codes) and "new/c-from-a.safetensors" in out[2]


def test_one_bad_photo_does_not_stop_the_others(room, capsys):
    Path("photos/b.png").write_bytes(b"torn")
    assert main(["render", "photos/", "--aligned", "-o", "out/", "--json"]) == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("output") for line in lines] == ["out/a-render.png", None, "out/c-render.png", None]
    assert lines[1]["photo"] == "photos/b.png" and "not a picture" in lines[1]["error"]
    assert lines[3] == {"error": "1 of 3 photos could not be used (2 written)"}
    assert err.splitlines()[-1] == "facesep: error: 1 of 3 photos could not be used (2 written)"


def test_workers_write_what_one_process_writes(room, capfd):
    works(capfd, "render photos/ --aligned -o one/")
    Path("photos/b.png").write_bytes(b"torn")
    assert main(["render", "photos/", "--aligned", "-o", "two/", "--workers", "2"]) == 1
    out, err = capfd.readouterr()
    assert out == "two/a-render.png\ntwo/c-render.png\n"
    first, last = err.splitlines()
    assert "photos/b.png: " in first and last.endswith("1 of 3 photos could not be used (2 written)")
    for name in ("a", "c"):
        assert Path(f"one/{name}-render.png").read_bytes() == Path(f"two/{name}-render.png").read_bytes()


def test_hidden_files_and_other_files_are_no_photos(room):
    Path("photos/.thumb.jpg").write_bytes(b"")
    assert photos_in(["photos/", "-"], codes=False) == [
        f"photos/{name}" for name in ("a.jpg", "b.png", "c.webp")
    ] + ["-"]


# -- formats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.webp", "x/%02d.png", "x/%d.jpg"])
def test_orbits_in_every_format_are_marked(room, capsys, name):
    out, err = works(capsys, f"orbit photos/a.jpg --aligned --frames 4 --fps 20 -o {name}")
    assert out == [name.partition("/")[0]] and err == ""
    out, err = works(capsys, f"verify --json {out[0]}")
    assert len(out) == (4 if "%" in name else 1)
    assert all(json.loads(line)["made_by_facesep"] for line in out)


def test_a_folder_takes_results_in_a_chosen_format(room, capsys):
    out, _ = works(capsys, "orbit photos/a.jpg --aligned --frames 3 -o out/ --format gif")
    assert out == ["out/a-orbit.gif"]
    out, _ = works(capsys, "orbit photos/ --aligned --frames 3 -o out/ --format frames")
    assert out == ["out/a-orbit", "out/b-orbit", "out/c-orbit"]
    assert sorted(os.listdir("out/c-orbit")) == ["00001.png", "00002.png", "00003.png"]
    _, err = works(capsys, "orbit photos/ --aligned --frames 3 -o out/ --format frames --skip-existing")
    assert err.endswith("3 passed over of 3\n")
    works(capsys, "orbit photos/a.jpg --aligned --frames 3 -o clear.webp --background transparent")
    with Image.open("clear.webp") as file:
        assert (file.n_frames, file.mode) == (3, "RGBA")


def test_drive_writes_animations(room, capsys):
    write_video([load_image(photo).resize((320, 320)) for photo in (ANNA, BEN)], "talk.mp4", 10)
    out, _ = works(capsys, "drive photos/a.jpg talk.mp4 --aligned -o face.gif")
    with Image.open(out[0]) as file:
        assert file.n_frames == 2
    assert "--background keep" in fails(capsys, f"drive {ANNA} talk.mp4 --background keep")


def test_verify_of_many_files(room, capsys):
    works(capsys, "render photos/ --aligned -o out/deep/ -q")
    assert works(capsys, "verify out")[1] == "facesep: 3 of 3 files are marked\n"
    assert main(["verify", "out", "photos/a.jpg"]) == 3
    out, err = capsys.readouterr()
    assert out.count("made by facesep") == 3 and "no mark" in out and "3 of 4 files" in err
    Path("out/torn.png").write_bytes(b"torn")
    assert main(["verify", "--json", "out", "photos"]) == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert sum(line.get("made_by_facesep", False) for line in lines) == 3
    assert [line["file"] for line in lines if "file" in line and "error" in line] == ["out/torn.png"]
    Path("empty").mkdir()
    assert "no picture" in fails(capsys, "verify empty")


# -- what does not fit together ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("orbit photos/a.jpg -o turn.jpg", ".mp4, .gif"),
        ("orbit photos/a.jpg -o turn", "says no format"),
        ("orbit photos/a.jpg -o turn.gif --fps 60", "fps of GIF"),
        ("orbit photos/a.jpg -o turn.mp4 --background transparent", "MP4 has no transparency"),
        ("orbit photos/a.jpg -o turn.gif --background transparent", "GIF has no transparency"),
        ("orbit photos/a.jpg -o photos/%d.png", "not empty"),
        ("orbit photos/a.jpg --background keep", "white or a colour"),
        ("render photos/a.jpg -o face.jpg --background transparent", "JPEG has no transparency"),
        ("render photos/ --format jpg --background transparent", "JPEG has no transparency"),
        ("render photos/a.jpg -o face.png --format png", "leave --format out"),
        ("render photos/ -o face.png", "need a folder"),
        ("render photos/ -o -", "do not fit into standard output"),
        ("render photos/a.jpg -o - --json", "leave --json out"),
        ("render - - -o out/", "give - once"),
        ("transfer - - -o out.png", "give - once"),
        ("orbit photos/a.jpg -o - --format frames", "choose another --format"),
        ("render photos/a.jpg --workers 0", "--workers"),
        ("render photos/a.jpg --size 5", "size"),
        ("render photos/a.jpg --background keep --size 64", "leave --size out"),
        ("render photos/a.jpg --background keep --no-detail", "--no-detail"),
        ("render photos/a.jpg --background keep --aligned", "--aligned"),
        ("render photos/a.jpg --background mauve-ish", "background"),
        ("mix photos/a.jpg hair=photos/b.png --donor-face texture=1", "has no donor"),
        ("mix photos/a.jpg hair=photos/b.png --donor-face one", "is not a number"),
        (
            "transfer photos/ photos/a.jpg --codes new.safetensors --include-identity",
            "--codes new.safetensors/",
        ),
        ("render nothing/ -o out/", "nothing"),
        ("encode photos/a.jpg photos/a.jpg --include-identity -o codes/", "one by one"),
    ],
)
def test_what_does_not_fit_together_is_said_before_anything_is_done(room, capsys, monkeypatch, line, message):
    monkeypatch.setattr("facesep.cli.jobs.load", lambda options: pytest.fail("work has begun"))
    if "nothing/" in line:
        monkeypatch.undo()
    monkeypatch.chdir(room)
    assert message in fails(capsys, line)


# -- pipes ------------------------------------------------------------------------------------------


def piped(line: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "facesep.cli", *line.split()]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=300)


def test_from_standard_input_to_standard_output(room, sep):
    done = piped("render - --aligned --yaw 10 -o - --format webp", Path("photos/a.jpg").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    wanted = sep.render(sep.encode("photos/a.jpg", aligned=True), yaw=10)
    assert done.stdout == provenance.encode(wanted, "webp")
    again = piped("verify --json -", done.stdout)
    assert again.returncode == 0 and json.loads(again.stdout)["file"] == "-"


def test_films_in_pipes(room):
    done = piped("orbit - --aligned --frames 3 -o -", Path("photos/a.jpg").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout[4:8] == b"ftyp"
    empty = piped("render - --aligned -o -")
    assert (empty.returncode, empty.stdout) == (1, b"") and b"is empty" in empty.stderr


def test_a_terminal_gets_no_pictures(room, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "is a terminal" in fails(capsys, "render photos/a.jpg -o -")
