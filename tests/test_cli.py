"""The facesep command against the library it wraps, and every way it can be used wrongly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from facesep import FaceSep, provenance
from facesep.cli import main
from facesep.cli.parser import build_parser
from facesep.codes import ATTRIBUTES, Codes
from facesep.config import preset
from facesep.demo.examples import FOLDER
from facesep.errors import PhotoWarning
from facesep.images import load_image
from facesep.nets.size import parameters
from facesep.video import video_info, write_video

ANNA, BEN, CARA = (str(FOLDER / f"london_{name}.jpg") for name in ("016", "036", "099"))
COMMANDS = tuple(next(one.choices for one in build_parser()._actions if one.dest == "command"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    sep = FaceSep(preset("tiny"))
    torch.nn.init.constant_(sep.decoder.field.density.bias, 1.0)  # dense enough for heads that are seen
    sep.save_pretrained(folder)
    return folder


@pytest.fixture
def sep(checkpoint, tmp_path, monkeypatch) -> FaceSep:
    """The model that commands use here, in an empty current folder."""
    monkeypatch.setenv("FACESEP_CHECKPOINT", str(checkpoint))
    monkeypatch.chdir(tmp_path)
    return FaceSep.from_pretrained(checkpoint)


def same(a: Codes, b: Codes) -> bool:
    return all(torch.equal(x, y) for (_, x), (_, y) in zip(a.items(), b.items(), strict=True))


def fails(capsys, *arguments: str) -> str:
    """Runs a command that must fail with exit code 1 and one line on stderr, and returns the message."""
    capsys.readouterr()
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("facesep: error: ") and err.count("\n") == 1 and err.endswith("\n")
    return err


# -- usage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    out, _ = capsys.readouterr()
    assert "examples:\n  facesep " + " ".join(command) in out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out, _ = capsys.readouterr()
    assert all(f"\n    {name} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments", [[], ["paint"], ["transfer", "a.jpg"], ["orbit", "a.jpg", "--yaw", "far"], ["mix", "a.jpg"]]
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: facesep" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys, contextlib\n"
        "from facesep.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--version'])\n"
        "print({'torch', 'numpy', 'PIL', 'gradio'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[1] == "set()"


def test_the_module_is_the_command(sep, checkpoint, tmp_path):
    command = [sys.executable, "-m", "facesep.cli", "render", ANNA, "--aligned", "--checkpoint"]
    run = subprocess.run([*command, str(checkpoint)], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "london_016-render.png\n", "")
    again = subprocess.run([*command, str(checkpoint)], capture_output=True, text=True, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("facesep: error: london_016-render.png exists")


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    """A process of its own, for what happens to its streams."""
    command = [sys.executable, "-m", "facesep.cli", *arguments]
    options.setdefault("env", {**os.environ, "PYTHONUNBUFFERED": ""})  # argparse would hide what fails
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300, **options)


@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["verify", ANNA]])
def test_a_reader_that_leaves_is_no_error(sep, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        done = run(*arguments, stdout=stdout)
    assert (done.returncode, done.stderr) == (3 if "verify" in arguments else 0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["render", ANNA, "--aligned", "-o", "face.png"]])
def test_a_full_disk_is_one_line(sep, arguments):
    with open("/dev/full", "w") as stdout:
        done = run(*arguments, stdout=stdout)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("facesep: error: cannot print") and "No space left" in done.stderr
    assert "render" not in arguments or ("face.png" in done.stderr and Path("face.png").exists())


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_stream_does_not_end_up_in_a_file(sep, closed):
    done = run(
        "orbit", ANNA, "--aligned", "--frames", "2", "-o", "a.mp4", stdout=subprocess.PIPE,
        preexec_fn=lambda: os.close(closed),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if closed == 1 else "a.mp4\n")
    assert video_info("a.mp4").frames == 2


def test_names_that_the_terminal_cannot_show(sep):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = ["render", ANNA, "--aligned", "-o", "\u7167\u7247.png"]
    done = run(*command, stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u7167\\u7247.png\n", "")
    assert Path("\u7167\u7247.png").exists()
    done = run(*command, stdout=subprocess.PIPE, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("facesep: error: \\u7167\\u7247.png exists")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has other signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_leave_nothing_behind(sep, tmp_path, name):
    command = [sys.executable, "-m", "facesep.cli", "orbit", ANNA, "--aligned", "--frames", "18000"]
    number = signal.Signals[name]
    process = subprocess.Popen(
        [*command, "-o", "out.mp4"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup and & leave some of them ignored
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".facesep-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob(".facesep-*")), "nothing was written"
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_empty_variable_is_the_bundled_checkpoint(sep, monkeypatch):
    monkeypatch.setenv("FACESEP_CHECKPOINT", "")
    assert main(["render", ANNA, "-o", "face.png", "--no-detail"]) == 0
    assert Image.open("face.png").size == (FaceSep.from_pretrained().image_size,) * 2


def test_interrupt_is_exit_code_130(sep, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FaceSep, "from_pretrained", interrupted)
    assert main(["render", ANNA]) == 130
    assert capsys.readouterr().err == "facesep: interrupted\n"


# -- encode -----------------------------------------------------------------------------------------


def test_encode_needs_to_be_asked_for_the_identity(sep, tmp_path, capsys):
    assert "--include-identity" in fails(capsys, "encode", ANNA, "--aligned")
    assert list(tmp_path.iterdir()) == []


def test_encode_writes_what_the_library_gives(sep, capsys):
    assert main(["encode", ANNA, "--aligned", "--include-identity"]) == 0
    assert capsys.readouterr().out == "london_016.safetensors\n"
    assert same(Codes.load("london_016.safetensors"), sep.encode(ANNA, aligned=True))


def test_fitting_moves_photos_and_leaves_codes(sep, capsys):
    assert main(["encode", ANNA, "--fit", "2", "--include-identity"]) == 0
    written = Codes.load("london_016.safetensors")
    assert same(written, sep.encode(ANNA, fit=2)) and not same(written, sep.encode(ANNA))
    main(["encode", ANNA, "--include-identity", "--overwrite"])
    capsys.readouterr()
    assert main(["render", "london_016.safetensors", "--fit", "2", "-o", "a.png"]) == 0
    assert "london_016.safetensors: holds codes, which --fit leaves as they are" in capsys.readouterr().err
    assert main(["render", "london_016.safetensors", "-o", "b.png"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert "fit must be a whole number" in fails(capsys, "render", ANNA, "--fit", "-3", "-o", "c.png")


def test_encode_of_several_photos(sep, capsys):
    command = ["encode", ANNA, BEN, "--aligned", "--include-identity", "--output"]
    assert "folder" in fails(capsys, *command, "one.safetensors")
    assert main([*command, "codes/"]) == 0
    for photo in (ANNA, BEN):
        assert same(Codes.load(f"codes/{Path(photo).stem}.safetensors"), sep.encode(photo, aligned=True))
    assert "one by one" in fails(capsys, "encode", ANNA, ANNA, "--aligned", "--include-identity")


def test_one_bad_photo_does_not_stop_the_others(sep, tmp_path, capsys):
    Path("bad.jpg").write_bytes(Path(ANNA).read_bytes()[:3000])
    command = ["encode", ANNA, "bad.jpg", "nobody.jpg", BEN, "--include-identity", "--output", "codes/"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == "codes/london_016.safetensors\ncodes/london_036.safetensors\n"
    assert err.splitlines()[-1] == "facesep: error: 2 of 4 photos could not be used (2 written)"
    assert err.startswith("facesep: error: bad.jpg: ") and "\nfacesep: error: nobody.jpg: " in err
    for photo in (ANNA, BEN):
        assert same(Codes.load(f"codes/{Path(photo).stem}.safetensors"), sep.encode(photo))

    Path("bad.jpg").write_bytes(Path(CARA).read_bytes())
    assert main([*command, "--skip-existing"]) == 1
    out, err = capsys.readouterr()
    assert out == "codes/bad.safetensors\n"
    assert "note: codes/london_016.safetensors exists already" in err and "1 of 4 photos" in err
    assert main(["encode", ANNA, "bad.jpg", "--include-identity", "-o", "codes/"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("exists") == 2


def test_a_failed_run_leaves_no_empty_folder(sep, tmp_path, capsys):
    fails(capsys, "encode", "nobody.jpg", "--include-identity", "-o", "new/deep/")
    fails(capsys, "encode", ANNA, "--checkpoint", "nowhere", "--include-identity", "-o", "new/deep/")
    assert main(["encode", "a.jpg", "b.jpg", "--include-identity", "-o", "new/"]) == 1
    assert list(tmp_path.iterdir()) == []
    Path("mine").mkdir()
    main(["encode", "a.jpg", "b.jpg", "--include-identity", "-o", "mine/"])
    assert list(tmp_path.iterdir()) == [Path("mine").resolve()]


# -- pictures ---------------------------------------------------------------------------------------


def test_render_of_a_photo_and_of_its_codes(sep, capsys):
    codes = sep.encode(ANNA, aligned=True)
    codes.save("anna.safetensors", include_identity=True)
    assert main(["render", ANNA, "--aligned", "--yaw", "20", "--pitch", "-5", "-o", "photo.png"]) == 0
    assert main(["render", "anna.safetensors", "--yaw", "20", "--pitch", "-5", "-o", "codes.png"]) == 0
    expected = provenance.encode(sep.render(codes, yaw=20, pitch=-5))
    assert Path("photo.png").read_bytes() == Path("codes.png").read_bytes() == expected
    assert main(["render", "anna.safetensors", "--roll", "10"]) == 0
    assert Path("anna-render.png").read_bytes() == provenance.encode(sep.render(codes, roll=10))


def test_transfer(sep, capsys):
    command = ["transfer", ANNA, BEN, "--aligned", "--attributes", "hair,expression", "--strength", "0.5"]
    assert main([*command, "--codes", "new.safetensors", "--include-identity"]) == 0
    assert capsys.readouterr().out == "london_016-from-london_036.png\nnew.safetensors\n"
    anna, ben = sep.encode(ANNA, aligned=True), sep.encode(BEN, aligned=True)
    expected = sep.transfer(anna, ben, ["expression", "hair"], 0.5)
    assert same(Codes.load("new.safetensors"), expected)
    picture = Path("london_016-from-london_036.png").read_bytes()
    assert picture == provenance.encode(sep.render(expected))
    assert picture != provenance.encode(sep.render(anna))


def test_attributes_add_up(sep, capsys):
    anna, ben = sep.encode(ANNA, aligned=True), sep.encode(BEN, aligned=True)
    command = ["transfer", ANNA, BEN, "--aligned", "--codes", "new.safetensors", "--include-identity"]
    assert main([*command, "-a", "hair", "-a", "expression"]) == 0
    assert same(Codes.load("new.safetensors"), anna.replace(hair=ben.hair, expression=ben.expression))
    assert main([*command, "-a", "hair=0.5,texture", "-a", "shape=1", "-s", "0.8", "--overwrite"]) == 0
    expected = anna.swap(ben, {"hair": 0.5, "shape": 1}).swap(ben, "texture", 0.8)
    assert same(Codes.load("new.safetensors"), expected)
    for wrong in ("hair=much", "hair=9", "hair=0.5,hair", "=0.5", "hair="):
        assert "hair" in fails(capsys, *command, "--overwrite", "-a", wrong)


def test_transfer_takes_the_expression_unless_told_otherwise(sep):
    assert main(["transfer", ANNA, BEN, "--aligned", "-o", "new.png"]) == 0
    anna, ben = sep.encode(ANNA, aligned=True), sep.encode(BEN, aligned=True)
    expected = provenance.encode(sep.render(anna.replace(expression=ben.expression)))
    assert Path("new.png").read_bytes() == expected


def test_codes_of_a_result_need_to_be_asked_for(sep, tmp_path, capsys):
    command = ["transfer", ANNA, BEN, "--aligned", "--codes", "new.safetensors"]
    assert "--include-identity" in fails(capsys, *command)
    assert list(tmp_path.iterdir()) == []


def test_mix(sep):
    command = ["mix", ANNA, f"hair,texture={BEN}", f"illumination={CARA}", "--aligned"]
    assert main([*command, "--codes", "new.safetensors", "--include-identity"]) == 0
    anna, ben, cara = (sep.encode(photo, aligned=True) for photo in (ANNA, BEN, CARA))
    expected = anna.replace(hair=ben.hair, texture=ben.texture, illumination=cara.illumination)
    assert same(Codes.load("new.safetensors"), expected)
    assert Path("london_016-mix.png").read_bytes() == provenance.encode(sep.render(expected))


def test_edit(sep, capsys):
    assert main(["moves", "--json"]) == 0
    named = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert named == [one.name for one in sep.moves()]
    command = ["edit", ANNA, "--aligned", f"{named[0]}=1.5", f"{named[-1].lower()}=-2"]
    assert main(command) == 0
    edited = sep.edit(sep.encode(ANNA, aligned=True), {named[0]: 1.5, named[-1]: -2})
    assert Path("london_016-edit.png").read_bytes() == provenance.encode(sep.render(edited))
    assert "choose from" in fails(capsys, "edit", ANNA, "nose=1", "-o", "a.png")
    for wrong in ("smile", "smile=much", "="):
        assert "name=number" in fails(capsys, "edit", ANNA, wrong, "-o", "a.png")
    assert "from -6 to 6" in fails(capsys, "edit", ANNA, f"{named[0]}=9", "-o", "a.png")


def test_transfer_takes_all(sep):
    assert main(["transfer", ANNA, BEN, "--aligned", "-a", "all", "-s", "0.5", "-o", "new.png"]) == 0
    anna, ben = (sep.encode(photo, aligned=True) for photo in (ANNA, BEN))
    half = anna.swap(ben, ATTRIBUTES, 0.5)
    assert Path("new.png").read_bytes() == provenance.encode(sep.render(half))


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_other_formats_are_marked_too(sep, suffix, capsys):
    assert main(["render", ANNA, "--aligned", "-o", f"face.{suffix}"]) == 0
    assert main(["verify", f"face.{suffix}"]) == 0


# -- video ------------------------------------------------------------------------------------------


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


def test_orbit(sep, monkeypatch, capsys):
    command = ["orbit", ANNA, "--aligned", "--frames", "6", "--fps", "12"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("london_016-orbit.mp4\n", "")
    seen = video_info("london_016-orbit.mp4")
    assert (seen.frames, seen.fps, seen.width) == (6, 12.0, sep.image_size)
    assert main(["verify", "london_016-orbit.mp4"]) == 0

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main([*command, "--overwrite"]) == 0
    assert "\rrendering 3/6" in terminal.text and terminal.text.endswith("\rrendering 6/6\n")
    terminal.text = ""
    assert main([*command, "--overwrite", "--quiet"]) == 0
    assert terminal.text == ""


def test_drive(sep, photos, capsys):
    pictures = [load_image(photo).resize((320, 320)) for photo in photos[:2]]
    write_video(pictures, "talk.mp4", 10)
    assert main(["drive", ANNA, "talk.mp4", "--aligned", "-a", "rotation", "--relative"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("london_016-from-talk.mp4\n", "")
    seen = video_info("london_016-from-talk.mp4")
    assert (seen.frames, seen.fps, seen.width) == (2, 10.0, sep.image_size)
    assert main(["verify", "london_016-from-talk.mp4"]) == 0
    assert "choose one of them" in fails(capsys, "drive", ANNA, "talk.mp4", "-o", "a.mp4", "-a", "hair")
    assert "cannot read" in fails(capsys, "drive", ANNA, BEN, "-o", "a.mp4")
    assert "fps" in fails(capsys, "drive", ANNA, "talk.mp4", "-o", "a.mp4", "--fps", "0")


# -- files that exist -------------------------------------------------------------------------------


def test_a_result_replaces_nothing_unless_told_to(sep, capsys):
    Path("face.png").write_bytes(b"mine")
    assert "--overwrite" in fails(capsys, "render", ANNA, "--aligned", "-o", "face.png")
    assert Path("face.png").read_bytes() == b"mine"
    assert main(["render", ANNA, "--aligned", "-o", "face.png", "--overwrite"]) == 0
    assert Image.open("face.png").size == (sep.image_size,) * 2


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_input_is_never_replaced(sep, link, capsys):
    Path("anna.jpg").write_bytes(Path(ANNA).read_bytes())
    output = "anna.jpg"
    if link is not None:
        output = "other.jpg"
        link("anna.jpg", output)
    command = ["transfer", "anna.jpg", BEN, "--aligned", "--overwrite", "-o"]
    assert "never replaced" in fails(capsys, *command, output)
    assert "never replaced" in fails(capsys, "mix", BEN, "hair=anna.jpg", *command[3:], output)
    assert Path("anna.jpg").read_bytes() == Path(ANNA).read_bytes()


# -- wrong input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["render", "nobody.jpg"], "nobody.jpg"),
        (["render", "text.png"], "not a picture"),
        (["render", "wide.png", "--aligned"], "square"),
        (["render", "torn.safetensors"], "torn.safetensors"),
        (["render", "other.safetensors"], "not written by"),
        (["render", ANNA, "--aligned", "--yaw", "95"], "yaw"),
        (["render", ANNA, "--aligned", "-o", "face.gif"], ".png or .jpg"),
        (["render", ANNA, "--aligned", "-o", "nowhere/face.png"], "nowhere"),
        (["render", ANNA, "--aligned", "--device", "quantum"], "quantum"),
        (["render", ANNA, "--checkpoint", "nowhere"], "nowhere"),
        (["render", ANNA, "--checkpoint", "text.png"], "is a file"),
        (["transfer", ANNA, BEN, "--aligned", "-a", "nose"], "'nose'"),
        (["transfer", ANNA, BEN, "--aligned", "-a", ""], "choose from shape"),
        (["transfer", ANNA, BEN, "--aligned", "-s", "9"], "strength"),
        (["mix", ANNA, BEN, "--aligned"], "attribute=donor"),
        (["mix", ANNA, "hair="], "attribute=donor"),
        (["mix", ANNA, f"hair={BEN}", f"hair={CARA}"], "twice"),
        (["render", ANNA, "--aligned", "--face", "1"], "leave --face N out"),
        (["transfer", ANNA, BEN, "--include-identity"], "does nothing without --codes"),
        (["orbit", ANNA, "--aligned", "--frames", "1"], "frames"),
        (["orbit", ANNA, "--aligned", "--fps", "0"], "fps"),
        (["orbit", ANNA, "--aligned", "-o", "film.avi"], ".mp4"),
        (["encode", "two.safetensors", "--include-identity"], "codes already"),
        (["info", "nobody/nothing/here"], "nobody/nothing/here"),
        (["info", "--preset", "giant"], "giant"),
        (["info", "here", "--preset", "tiny"], "not both"),
        (["verify", "text.png"], "not a picture"),
        (["verify", "nobody.png"], "nobody.png"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_1(sep, arguments, message, tmp_path, capsys):
    Path("text.png").write_text("hello")
    Path("torn.safetensors").write_bytes(b"\x00" * 20)
    Image.new("RGB", (30, 20)).save("wide.png")
    save_file({"a": torch.zeros(1)}, "other.safetensors")
    before = sorted(tmp_path.iterdir())
    assert message in fails(capsys, *arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_codes_of_several_faces_must_be_chosen_from(sep, capsys):
    codes = Codes.stack([sep.encode(photo, aligned=True) for photo in (ANNA, BEN)])
    codes.save("two.safetensors", include_identity=True)
    assert "2 faces: choose one with --face" in fails(capsys, "render", "two.safetensors")
    assert "--donor-face" in fails(capsys, "transfer", ANNA, "two.safetensors", "--aligned")
    assert "no face 2" in fails(capsys, "render", "two.safetensors", "--face", "2")
    assert main(["render", "two.safetensors", "--face", "1", "-o", "ben.png"]) == 0
    assert Path("ben.png").read_bytes() == provenance.encode(sep.render(codes[1]))


# -- faces in photos --------------------------------------------------------------------------------


def test_photos_are_aligned_unless_they_are(sep):
    assert main(["render", ANNA, "-o", "face.png"]) == 0
    assert Path("face.png").read_bytes() == provenance.encode(sep.render(sep.portrait(ANNA)))
    assert main(["render", ANNA, "-o", "plain.png", "--no-detail"]) == 0
    assert Path("plain.png").read_bytes() == provenance.encode(sep.render(sep.encode(ANNA)))
    assert main(["render", ANNA, "-o", "crop.png", "--aligned"]) == 0
    assert Path("crop.png").read_bytes() != Path("face.png").read_bytes()


def test_a_photo_without_a_face(sep, capsys):
    Image.new("RGB", (300, 300), "white").save("white.png")
    assert "white.png: no face was found" in fails(capsys, "render", "white.png")
    assert "white.png: no face was found" in fails(capsys, "transfer", ANNA, "white.png")


def test_lying_photos_are_turned_when_asked(sep, capsys):
    Image.open(ANNA).rotate(90, expand=True).save("lying.png")
    assert "--upright" in fails(capsys, "render", "lying.png")
    assert main(["render", "lying.png", "--upright", "-o", "new.png"]) == 0
    assert "lying.png: The photo was turned by 90 degrees clockwise." in capsys.readouterr().err
    with pytest.warns(PhotoWarning, match="was turned"):
        expected = sep.render(sep.portrait("lying.png", upright=True))
    assert Path("new.png").read_bytes() == provenance.encode(expected)


def test_one_of_several_faces_is_chosen(sep, capsys):
    sheet = Image.new("RGB", (1024, 512))
    for index, photo in enumerate((ANNA, CARA)):
        sheet.paste(Image.open(photo), (512 * index, 0))
    sheet.save("two.png")
    message = fails(capsys, "render", "two.png")
    assert "two.png shows 2 faces (0: " in message and "; 1: " in message and message.endswith("--face N\n")
    assert "--donor-face N" in fails(capsys, "transfer", ANNA, "two.png")
    assert "--donor-face hair=N" in fails(capsys, "mix", ANNA, "hair=two.png")
    assert "no face 2" in fails(capsys, "render", "two.png", "--face", "2")
    assert main(["transfer", "two.png", "two.png", "--face", "0", "--donor-face", "1", "-o", "new.png"]) == 0
    expected = sep.transfer(sep.portrait("two.png", face=0), sep.portrait("two.png", face=1), "expression")
    assert Path("new.png").read_bytes() == provenance.encode(sep.render(expected))


def test_notes_about_a_photo_are_on_stderr(sep, capsys):
    Image.open(ANNA).resize((150, 150)).save("small.png")
    torch.manual_seed(0)
    small = FaceSep(preset("small"))
    small.save_pretrained("mini")
    command = ["encode", "small.png", "--include-identity", "--checkpoint", "mini", "--overwrite"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out == "small.safetensors\n"
    assert err.startswith("facesep: note: small.png: The face is small") and err.count("\n") == 1
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (warning,) = found.pop("warnings")
    assert found == {"photo": "small.png", "output": "small.safetensors"}
    assert warning["photo"] == "small.png" and warning["text"].startswith("The face is small")
    command = ["transfer", ANNA, "small.png", "--checkpoint", "mini", "-q", "--json", "-o", "new.png"]
    assert main([*command, "--codes", "new.safetensors", "--include-identity"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "photo": ANNA,
        "output": "new.png",
        "codes": "new.safetensors",
        "warnings": [warning],
    }


def test_json_for_what_goes_wrong(sep, capsys):
    assert main(["render", "nobody.jpg", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] in err and err.count("\n") == 1
    assert main(["encode", "nobody.jpg", ANNA, "--aligned", "--include-identity", "--json", "-o", "c/"]) == 1
    first, second, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["photo"] == "nobody.jpg" and "cannot read" in first["error"]
    assert second == {"photo": ANNA, "output": "c/london_016.safetensors", "warnings": []}
    assert last == {"error": "1 of 2 photos could not be used (1 written)"}
    assert main(["verify", ANNA, "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == ANNA and found["made_by_facesep"] is False


# -- info and verify --------------------------------------------------------------------------------


def test_info_about_the_installation(sep, capsys):
    assert main(["info"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("facesep ") and f"torch {torch.__version__}" in out and "bundled checkpoint" in out


def test_info_about_a_checkpoint(sep, checkpoint, capsys):
    assert main(["info", str(checkpoint)]) == 0
    out, _ = capsys.readouterr()
    for name, module in (("encoder", sep.encoder), ("decoder", sep.decoder)):
        assert f"{name}: {parameters(module) / 1e6:.2f} M parameters" in out
        path = checkpoint / name / "model.safetensors"
        assert f"{path.stat().st_size:,d}  " in out and f"{name}/model.safetensors" in out
    assert '"image_size": 32' in out


def test_info_for_programs(sep, checkpoint, capsys, tmp_path):
    def told(*arguments):
        assert main(["info", "--json", *map(str, arguments)]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        return json.loads(line)

    assert told()["torch"] == torch.__version__ and told()["bundled"]["kind"] == "checkpoint"
    found = told(checkpoint)
    assert found["decoder"]["parameters"] == parameters(sep.decoder)
    assert found["decoder"]["config"]["image_size"] == 32
    sizes = {one["name"]: one["bytes"] for one in found["files"]}
    path = checkpoint / "encoder" / "model.safetensors"
    assert sizes["encoder/model.safetensors"] == path.stat().st_size
    width, height = Image.open(ANNA).size
    assert told(ANNA) == {"kind": "picture", "file": str(ANNA), "width": width, "height": height}
    sep.encode(ANNA).save(tmp_path / "anna.safetensors", include_identity=True)
    assert told(tmp_path / "anna.safetensors")["faces"] == 1
    assert told("--preset", "tiny")["both"]["parameters"] > 0


def test_info_finds_a_changed_checkpoint(sep, checkpoint, tmp_path, capsys):
    import shutil

    copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    with open(copy / "decoder" / "model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    assert "decoder/model.safetensors" in fails(capsys, "info", str(copy))


def test_info_about_a_preset(capsys):
    assert main(["info", "--preset", "tiny"]) == 0
    out, _ = capsys.readouterr()
    sep = FaceSep(preset("tiny"))
    total = parameters(sep.encoder) + parameters(sep.decoder)
    assert f"both: {total / 1e6:.2f} M parameters" in out and "multiply-adds" in out


def test_info_about_files(sep, capsys):
    sep.encode(ANNA, aligned=True).save("anna.safetensors", include_identity=True)
    save_file({"a": torch.zeros(1)}, "other.safetensors")
    assert main(["info", "anna.safetensors"]) == 0
    assert "codes of 1 face (" in capsys.readouterr().out
    assert main(["info", "other.safetensors"]) == 0
    assert "not a weight file that facesep knows" in capsys.readouterr().out
    assert main(["info", ANNA]) == 0
    assert f"{ANNA}: a picture of 512 x 512 pixels; facesep verify" in capsys.readouterr().out
    Path("notes.txt").write_text("hello")
    assert "notes.txt is damaged or no weight file" in fails(capsys, "info", "notes.txt")


def test_a_photo_that_ends_too_early(sep, capsys):
    for length in (3000, 20000):
        Path("short.jpg").write_bytes(Path(ANNA).read_bytes()[:length])
        message = fails(capsys, "render", "short.jpg")
        assert "incomplete (it ends too early)" in message and "bytes" not in message


def test_a_checkpoint_from_the_hub(sep, hub, capsys):
    from fakehub import TOKEN

    sep.push_to_hub("ada/faces", token=TOKEN)
    assert main(["render", ANNA, "--aligned", "--checkpoint", "ada/faces@main"]) == 0
    expected = provenance.encode(sep.render(sep.encode(ANNA, aligned=True)))
    assert Path("london_016-render.png").read_bytes() == expected
    assert main(["info", "ada/faces"]) == 0
    assert "decoder/model.safetensors" in capsys.readouterr().out
    assert "no revision 'v9'" in fails(capsys, "info", "ada/faces@v9")


def test_verify_tells_results_from_photos(sep, capsys):
    assert main(["render", ANNA, "--aligned", "-o", "face.png"]) == 0
    assert main(["verify", "face.png"]) == 0
    assert main(["verify", ANNA]) == 3
    out, _ = capsys.readouterr()
    assert "made by facesep" in out and "proves nothing" in out


def test_demo_says_what_it_needs(sep, monkeypatch, capsys):
    monkeypatch.setattr("facesep.cli.page.find_spec", lambda name: None)
    assert 'pip install "facesep[demo]"' in fails(capsys, "demo")


def test_a_taken_port_is_one_line(sep, capsys):
    pytest.importorskip("gradio")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"port {port}: choose another --port" in fails(capsys, "demo", "--port", port)
    for wrong in ("0", "-1", "65536"):
        assert "--port must be a whole number from 1 to 65535" in fails(capsys, "demo", "--port", wrong)


ODD = st.sampled_from(
    ["-1", "0", "2", "0.5", "x", "1e9", "nan", "-inf", "", "9" * 30, "\u7167", "a\0b", "x" * 5000]
)
OPTIONS = (
    "--face", "--fit", "--yaw", "--pitch", "--roll", "--refine-steps", "--refine-seed", "--output",
    "--device", "--checkpoint", "--refiner",
)  # fmt: skip
OWN = {
    "encode": (),
    "render": (),
    "transfer": ("--attributes", "--strength", "--donor-face", "--codes"),
    "mix": ("--codes",),
    "orbit": ("--frames", "--fps"),
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_options_of_every_value_end_in_a_promised_way(sep, tmp_path, capsys, data):
    if not Path("a.safetensors").exists():
        sep.encode(ANNA, aligned=True).save("a.safetensors", include_identity=True)
    command = data.draw(st.sampled_from(list(OWN)))
    given = {"transfer": ["a.safetensors"] * 2, "mix": ["a.safetensors", "hair=a.safetensors"]}
    arguments = [command, *given.get(command, ["a.safetensors"]), "--overwrite", "--include-identity"]
    if command == "orbit":
        arguments = [*arguments[:-1], "--frames", "2"]
    for option in data.draw(st.lists(st.sampled_from(OPTIONS + OWN[command]), max_size=3, unique=True)):
        arguments.append(f"{option}={data.draw(ODD)}")
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code in (0, 1, 2)
    assert code != 1 or (out == "" and [line for line in err.splitlines() if "note:" not in line][1:] == [])


def test_every_attribute_is_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["transfer", "--help"])
    out, _ = capsys.readouterr()
    assert all(name in out for name in ATTRIBUTES)


def test_the_look_of_a_result_is_chosen(sep, capsys):
    for number, (options, size, mode) in enumerate(
        [
            (["--size", "96"], (96, 96), "RGB"),
            (["--size", "64", "--background", "transparent"], (64, 64), "RGBA"),
            (["--background", "keep"], Image.open(ANNA).size, "RGB"),
            (["--no-detail"], (sep.image_size, sep.image_size), "RGB"),
        ]
    ):
        path = f"{number}.png"
        assert main(["render", ANNA, "-o", path, *options]) == 0
        with Image.open(path) as image:
            assert (image.size, image.mode) == (size, mode)
    assert main(["render", ANNA, "-o", "navy.png", "--size", "64", "--background", "#204060"]) == 0
    red, _, blue = Image.open("navy.png").getpixel((1, 1))
    assert abs(red - 32) < 8 and abs(blue - 96) < 8
    assert "size must be" in fails(capsys, "render", ANNA, "--size", "5000")
    assert "background must be" in fails(capsys, "render", ANNA, "--background", "nothing")
    assert "JPEG has no transparency" in fails(
        capsys, "render", ANNA, "-o", "a.jpg", "--background", "transparent"
    )
