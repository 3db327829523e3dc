"""Arguments of the ``facesep`` command. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
import os

from facesep import __version__
from facesep.attributes import ATTRIBUTES

CHECKPOINT_VARIABLE = "FACESEP_CHECKPOINT"
"""Environment variable that names the checkpoint to use instead of the bundled one."""

_TOP = """examples:
  facesep transfer anna.jpg ben.jpg --attributes expression,hair --output face.png
  facesep mix anna.jpg hair=ben.jpg illumination=cara.jpg
  facesep edit anna.jpg smile=1.5
  facesep orbit anna.jpg --output orbit.mp4
  facesep drive anna.jpg talking.mp4
  facesep verify face.png
"""
_ENCODE = """examples:
  facesep encode anna.jpg --include-identity
  facesep encode photos/ --output codes/ --include-identity --skip-existing --workers 4
  facesep render anna.safetensors --yaw 20

The shape code identifies a person. It is biometric data, like a fingerprint, and so the command writes
it only with --include-identity: keep such files as carefully as the law asks, and no longer than needed.
"""
_RENDER = """examples:
  facesep render anna.jpg
  facesep render anna.jpg --yaw 25 --pitch -5 --output side.png
  facesep render anna.jpg --size 512 --background transparent
  facesep render photos/ --yaw 15 --format jpg --output turned/
  curl -s https://example.org/anna.jpg | facesep render - --output - > face.png
  facesep render anna.jpg --refiner user/refiner --refine-steps 10
"""
_TRANSFER = """examples:
  facesep transfer anna.jpg ben.jpg
  facesep transfer anna.jpg ben.jpg --attributes expression,hair --strength 0.7 --output face.png
  facesep transfer anna.jpg ben.jpg -a hair=0.5 -a expression
  facesep transfer anna.jpg ben.jpg --background keep
  facesep transfer group.jpg ben.jpg --face 2
  facesep transfer photos/ ben.jpg -o out/ --skip-existing --workers 2
  facesep transfer anna.jpg ben.jpg --codes face.safetensors --include-identity
"""
_MIX = """examples:
  facesep mix anna.jpg hair=ben.jpg illumination=cara.jpg
  facesep mix anna.jpg expression,hair=ben.jpg --yaw 15 --output mixed.png
  facesep mix anna.jpg cara.jpg hair=group.jpg --donor-face 1 --output mixed/
"""
_EDIT = """examples:
  facesep edit anna.jpg smile=1.5 "light from the right=1" --output smiling.png
  facesep edit photos/ "open the mouth=1" --background keep --output out/

A move goes by so many typical differences between two faces, -6 to 6, from where the face stands.
"facesep moves" names them all.
"""
_MOVES = """examples:
  facesep moves
  facesep moves --json
"""
_DRIVE = """examples:
  facesep drive anna.jpg talking.mp4
  facesep drive anna.jpg talking.mp4 --attributes expression --background keep --output face.gif
  facesep drive anna.jpg recording.webm --relative --seconds 5 --fps 15 --no-sound
"""
_ORBIT = """examples:
  facesep orbit anna.jpg
  facesep orbit face.safetensors --yaw 30 --frames 90 --output face.mp4
  facesep orbit anna.jpg --background transparent --output turning.webp
  facesep orbit anna.jpg --output frames/%04d.png
"""
_INFO = """examples:
  facesep info                       this installation and its bundled checkpoint
  facesep info user/repo@v1.0        a checkpoint: a folder or a Hub repository
  facesep info weights.pth           what an official weight file is
  facesep info --preset paper        size of a model
  facesep info --json                the same as a JSON object
"""
_EXPORT = """examples:
  facesep export --format onnx --output graphs/
  facesep export --checkpoint user/repo --format openvino --output graphs/
  facesep export --detail 512 --output graphs/

Writes each network as a graph of fixed size for one face, and export.json, which lists their inputs and
outputs. Crops, rays and the volume integral around them are left to the program that uses them; the graph of
--detail holds all of them: a photo's tensors, its codes and those of the result in, a picture out. facesep
itself needs no such files: FaceSep.from_pretrained(..., backend="openvino") compiles the networks when it
loads them.
"""
_VERIFY = """examples:
  facesep verify face.png && echo "made by facesep"
  facesep verify --json out/ orbit.gif

Exit code 0: each file has a mark. Exit code 3: one has none, which proves nothing: marks can be removed.
"""
_DEMO = """examples:
  facesep demo
  facesep demo --checkpoint user/repo --port 8080

Needs gradio: pip install "facesep[demo]". The addresses of gradio's own variables (GRADIO_SERVER_NAME,
GRADIO_SERVER_PORT) are honoured.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="facesep",
        description="Take a photo of a face apart into seven codes, swap them between people, and render "
        "the result from other views.",
        epilog=_TOP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"facesep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    model, view, files = _model_options(), _view_options(), _file_options()
    look = _look_options()
    refine = _refine_options()

    encode = _command(commands, "encode", "photos to codes", _ENCODE, model, files)
    encode.add_argument("photos", nargs="+", metavar="PHOTO", help=_PHOTOS_HELP)
    _output(encode, "a .safetensors file, or a folder (default: <photo>.safetensors here)")
    _identity(encode)

    render = _command(
        commands, "render", "one face, also from another view", _RENDER, model, view, look, refine, files
    )
    render.add_argument("photos", nargs="+", metavar="PHOTO", help=_FACES_HELP)
    _output(render, "a .png, .jpg or .webp file, or a folder (default: <photo>-render.png here)", PICTURES)

    transfer = _command(
        commands,
        "transfer",
        "attributes from one person to another",
        _TRANSFER,
        model,
        view,
        look,
        refine,
        files,
    )
    transfer.add_argument("photos", nargs="+", metavar="PHOTO", help=_FACES_HELP)
    transfer.add_argument("donor", metavar="DONOR", help="photo or codes of the face to take from")
    transfer.add_argument(
        "--attributes",
        "-a",
        action="append",
        metavar="NAME[=STRENGTH][,...]",
        help="what to take, which may be given several times (default: expression): "
        f"{', '.join(ATTRIBUTES)}, or all",
    )
    transfer.add_argument(
        "--strength",
        "-s",
        type=float,
        default=1.0,
        help="of attributes without one of their own: 0 keeps the face, 1 takes the donor's (default), up to "
        "1.5 exaggerates",
    )
    transfer.add_argument("--donor-face", type=int, metavar="N", help="which face of the donor's photo")
    _output(
        transfer, "a .png, .jpg or .webp file, or a folder (default: <photo>-from-<donor>.png here)", PICTURES
    )
    _codes(transfer)

    mix = _command(commands, "mix", "attributes from several people", _MIX, model, view, look, refine, files)
    mix.add_argument("photos", nargs="+", metavar="PHOTO", help=_FACES_HELP)
    mix.add_argument(
        "donors",
        nargs="+",
        action=_Split,
        metavar="ATTRIBUTE=DONOR",
        help=f"what comes from which photo or codes; attributes: {', '.join(ATTRIBUTES)}",
    )
    mix.add_argument(
        "--donor-face",
        action="append",
        metavar="[ATTRIBUTE=]N",
        help="which face of a donor's photo; may be given several times",
    )
    _output(mix, "a .png, .jpg or .webp file, or a folder (default: <photo>-mix.png here)", PICTURES)
    _codes(mix)

    edit = _command(commands, "edit", "named moves, such as a smile", _EDIT, model, view, look, refine, files)
    edit.add_argument("photos", nargs="+", metavar="PHOTO", help=_FACES_HELP)
    edit.add_argument(
        "moves", nargs="+", action=_Split, metavar="MOVE=AMOUNT", help="what to move, and how far"
    )
    _output(edit, "a .png, .jpg or .webp file, or a folder (default: <photo>-edit.png here)", PICTURES)
    _codes(edit)

    moves = _command(commands, "moves", "names of what edit moves", _MOVES)
    moves.add_argument("--checkpoint", default=_checkpoint(), help=_CHECKPOINT_HELP)
    _json(moves)

    drive = _command(
        commands, "drive", "a face that moves like the one in a video", _DRIVE, model, look, refine, files
    )
    drive.add_argument("photos", nargs="+", metavar="PHOTO", help=_FACES_HELP)
    drive.add_argument("video", metavar="VIDEO", help="a video of one face, or -")
    drive.add_argument(
        "--attributes",
        "-a",
        default="expression,rotation",
        metavar="NAME[,...]",
        help="what the video moves (default: expression,rotation)",
    )
    drive.add_argument(
        "--relative",
        action="store_true",
        help="move the face from where it is, by what changes since the first frame",
    )
    drive.add_argument(
        "--sound",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the sound of the video (default: --sound)",
    )
    drive.add_argument("--fps", type=float, help="frames per second (default: the video's, at most 30)")
    drive.add_argument("--seconds", type=float, help="how much of the video is used (default: all of it)")
    _output(drive, f"{_MOVING_HELP} (default: <photo>-from-<video>.mp4 here)", MOVING)

    orbit = _command(commands, "orbit", "a video of the turning head", _ORBIT, model, look, refine, files)
    orbit.add_argument("photos", nargs="+", metavar="PHOTO", help=_FACES_HELP)
    orbit.add_argument("--yaw", type=float, default=40.0, help="largest turn in degrees (default: 40)")
    orbit.add_argument("--pitch", type=float, default=8.0, help="largest nod in degrees (default: 8)")
    orbit.add_argument("--frames", type=int, default=60, help="frames of the loop (default: 60)")
    orbit.add_argument("--fps", type=float, default=30.0, help="frames per second (default: 30)")
    _output(orbit, f"{_MOVING_HELP} (default: <photo>-orbit.mp4 here)", MOVING)

    info = _command(commands, "info", "about facesep, a checkpoint, a weight file or a preset", _INFO)
    info.add_argument("name", nargs="?", help="a checkpoint (folder, user/repo[@revision]) or a file")
    info.add_argument("--preset", metavar="NAME", help="size of a model: paper, mini, small or tiny")
    _json(info)
    info.set_defaults(module="about")

    verify = _command(commands, "verify", "were these pictures and videos made by facesep?", _VERIFY)
    verify.add_argument(
        "files", nargs="+", metavar="FILE", help="a picture or video, a folder with all that is in it, or -"
    )
    _json(verify)
    verify.set_defaults(module="about")

    export = _command(commands, "export", "the networks as files for other runtimes", _EXPORT)
    export.add_argument("--checkpoint", default=_checkpoint(), help=_CHECKPOINT_HELP)
    export.add_argument("--format", choices=("onnx", "openvino"), default="onnx", help="default: onnx")
    export.add_argument(
        "--output", "-o", metavar="FOLDER", required=True, help="a folder that is not there yet"
    )
    export.add_argument(
        "--detail", type=int, metavar="PIXELS", help="also photo detail, as one graph for photos of this size"
    )
    _json(export)
    export.set_defaults(module="graphs")

    demo = _command(commands, "demo", "open the page in a browser", _DEMO)
    demo.add_argument("--checkpoint", default=_checkpoint(), help=_CHECKPOINT_HELP)
    demo.add_argument("--host", help="address to listen on (default: this machine alone)")
    demo.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    demo.set_defaults(module="page")
    return parser


_PHOTOS_HELP = "a photo, a folder of them, or - for standard input"
_FACES_HELP = "a photo or codes of the face, a folder of them, or - for standard input"
_MOVING_HELP = "an .mp4, .gif or .webp file, frames/%%04d.png, or a folder"
PICTURES = ("png", "jpg", "webp")
MOVING = ("mp4", "gif", "webp", "frames")


class _Split(argparse.Action):
    """What is done with photos: the words from the first one with an equals sign on that is no file."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        words = [*namespace.photos, *values]
        split = (k for k, word in enumerate(words) if k and "=" in word and not os.path.exists(word))
        first = next(split, len(words) - 1)
        namespace.photos = words[:first]
        setattr(namespace, self.dest, words[first:])


_CHECKPOINT_HELP = f"a folder or user/repo[@revision] (default: ${CHECKPOINT_VARIABLE}, or the bundled one)"


def _checkpoint() -> str | None:
    return os.environ.get(CHECKPOINT_VARIABLE) or None


def _command(commands, name: str, summary: str, epilog: str, *parents) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        parents=parents,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module="edit", codes=None, include_identity=False, format=None, fps=None, stdin=None)
    return parser


def _model_options() -> argparse.ArgumentParser:
    group = argparse.ArgumentParser(add_help=False)
    group.add_argument("--checkpoint", default=_checkpoint(), help=_CHECKPOINT_HELP)
    group.add_argument("--device", help="such as cpu or cuda (default: cuda if there is one)")
    group.add_argument(
        "--face",
        type=int,
        metavar="N",
        help="which face of the photo: 0 is the largest (default: the only or by far the largest one)",
    )
    group.add_argument(
        "--upright", action="store_true", help="turn photos that lie on their side or are upside down"
    )
    group.add_argument(
        "--aligned", action="store_true", help="the photos are canonical crops or renders already"
    )
    group.add_argument(
        "--fit",
        type=int,
        default=0,
        metavar="N",
        help="gradient steps that bring each face nearer to its photo; 20 take two to three seconds on a CPU "
        "(default: 0, a single forward pass)",
    )
    return group


def _look_options() -> argparse.ArgumentParser:
    group = argparse.ArgumentParser(add_help=False)
    group.add_argument(
        "--detail",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show the photo's own pixels; --no-detail shows the model's render (default: --detail)",
    )
    group.add_argument(
        "--finish",
        action=argparse.BooleanOptionalAction,
        help="complete what the photo does not show with the checkpoint's Finish network (default: where the "
        "checkpoint has one)",
    )
    group.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="side of the result, 16 to 1024 (default: what the photo gives)",
    )
    group.add_argument(
        "--background",
        default="white",
        metavar="WHAT",
        help="white, transparent, keep (the result stands in its photo) or a colour such as navy or "
        "'#204060' (default: white)",
    )
    return group


def _view_options() -> argparse.ArgumentParser:
    group = argparse.ArgumentParser(add_help=False)
    group.add_argument("--yaw", type=float, help="degrees; positive turns the nose to image right")
    group.add_argument("--pitch", type=float, help="degrees; positive nods")
    group.add_argument("--roll", type=float, help="degrees; positive tilts counter-clockwise")
    return group


def _refine_options() -> argparse.ArgumentParser:
    group = argparse.ArgumentParser(add_help=False)
    group.add_argument(
        "--refine",
        action="store_true",
        help="add invented detail with the checkpoint's refiner; slow (default: off)",
    )
    group.add_argument(
        "--refiner", metavar="NAME", help="refine with this folder or user/repo[@revision] instead"
    )
    group.add_argument(
        "--refine-steps", type=int, metavar="N", help="network calls for each picture; 0: estimator alone"
    )
    group.add_argument("--refine-seed", type=int, metavar="N", help="noise to start from (default: 0)")
    return group


def _file_options() -> argparse.ArgumentParser:
    group = argparse.ArgumentParser(add_help=False)
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    existing.add_argument("--skip-existing", action="store_true", help="pass over photos whose output exists")
    group.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share several photos (default: 1)"
    )
    group.add_argument("--quiet", "-q", action="store_true", help="no progress and no notes")
    _json(group)
    return group


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print each result as a JSON object on a line")


def _output(parser: argparse.ArgumentParser, help: str, formats: tuple[str, ...] = ()) -> None:
    parser.add_argument("--output", "-o", metavar="FILE", help=f"{help}; - for standard output")
    if formats:
        help = f"of results in a folder and on standard output (default: {formats[0]})"
        parser.add_argument("--format", choices=formats, help=help)


def _identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--include-identity",
        action="store_true",
        help="needed to write codes: the shape code identifies the person",
    )


def _codes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--codes", metavar="FILE", help="also write the new codes to a .safetensors file")
    _identity(parser)
