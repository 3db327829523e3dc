"""Promises about the source that hold for every file: what may be imported, loaded and written."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = (
    "gradio",
    "diffusers",
    "facexlib",
    "lpips",
    "matplotlib",
    "torchvision",
    "accelerate",
    "skimage",
    "dlib",
    "onnx",
    "onnxruntime",
    "openvino",
)
"""Packages of extras: `import facesep` loads none of them."""
IMPORTERS = "facesep/importers/"


def sources() -> dict[str, ast.Module]:
    """The code that users run, parsed."""
    paths = [ROOT / "app.py"] + [
        p for folder in ("facesep", "train", "eval") for p in (ROOT / folder).rglob("*.py")
    ]
    trees = {p.relative_to(ROOT).as_posix(): ast.parse(p.read_text()) for p in paths if p.exists()}
    assert "facesep/codes.py" in trees
    return trees


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an attribute chain, with "?" for what is not a name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls(tree: ast.Module) -> Iterator[tuple[str, dict[str, ast.expr], int]]:
    """Name, keywords and line of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), {k.arg: k.value for k in node.keywords if k.arg}, node.lineno


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unsafe(path: str, tree: ast.Module) -> list[str]:
    """Ways to run code that came with data."""
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.partition(".")[0] in PICKLERS and not path.startswith(IMPORTERS):  # they catch its errors
                found.append(f"{path}:{node.lineno} imports {name}")
    for name, keywords, line in calls(tree):
        last = name.rpartition(".")[2]
        if name == "torch.load" and not (
            path.startswith(IMPORTERS) and is_constant(keywords.get("weights_only"), True)
        ):
            found.append(f"{path}:{line} torch.load")
        if "allow_pickle" in keywords and not is_constant(keywords["allow_pickle"], False):
            found.append(f"{path}:{line} allow_pickle")
        if "trust_remote_code" in keywords or (
            "shell" in keywords and not is_constant(keywords["shell"], False)
        ):
            found.append(f"{path}:{line} trust_remote_code or shell")
        if name in {
            "eval",
            "exec",
            "os.system",
            "os.popen",
            "torch.save",
            "yaml.load",
            "yaml.unsafe_load",
            "torch.hub.load",
        }:
            found.append(f"{path}:{line} {name}")
        if last in {"read_pickle", "extractall", "Unpickler"} or name in {"pickle.load", "pickle.loads"}:
            found.append(f"{path}:{line} {last}")
    return found


def test_nothing_unpickles_or_runs_code_from_data():
    assert not [line for path, tree in sources().items() for line in unsafe(path, tree)]


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "os.system('ls')",
        "subprocess.run(x, shell=True)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "tar.extractall(path)",
    ],
)
def test_the_scan_sees(code):
    assert unsafe("facesep/model.py", ast.parse(code))


def test_the_scan_lets_pass():
    importer = ast.parse(
        "torch.load(path, weights_only=True); np.load(path, allow_pickle=False); model.eval()"
    )
    assert not unsafe(IMPORTERS + "arcface.py", importer)
    assert unsafe(IMPORTERS + "arcface.py", ast.parse("torch.load(path)"))
    assert unsafe(IMPORTERS + "arcface.py", ast.parse("pickle.load(file)"))


WRITERS = {
    "train/face_parser/batches.py",  # JPEG as an augmentation
    "facesep/images.py",  # the bare codec
    "facesep/provenance.py",  # marks results and writes them
    "facesep/data/shards.py",  # training data: crops of given photos, never results
    "train/face_detector/scenes.py",  # training data, in memory
}


NOT_PICTURES = ("book", "codes", "labels", "self", "self.checkpoints")
"""Receivers whose ``save`` writes safetensors."""


def writes_pictures(tree: ast.Module) -> list[str]:
    """Calls that turn pixels into a file by some other way than the project's own."""
    found = []
    for name, _, line in calls(tree):
        owner, _, last = name.rpartition(".")
        if last in {"imwrite", "imsave", "save_image", "write_png", "write_jpeg", "savefig"}:
            found.append(f"{line} {name}")
        if last == "save" and owner not in NOT_PICTURES:
            found.append(f"{line} {name}")
    return found


def test_pictures_are_written_in_one_place():
    """Results cannot leave without passing the code that marks them."""
    others = {path: writes_pictures(tree) for path, tree in sources().items() if path not in WRITERS}
    assert not {path: lines for path, lines in others.items() if lines}
    assert writes_pictures(ast.parse("image.save(path)")) and writes_pictures(ast.parse("cv2.imwrite(p, i)"))
    assert not writes_pictures(ast.parse("codes.save(path)"))


NO_POINTS = {
    "facesep/cli/files.py",  # --aligned: a file that the user cut
}
ENCODERS = {
    "facesep/backends/graphs.py",  # the pass itself
    "facesep/demo/directions.py",  # renders
    "facesep/evaluation/estimators.py",  # renders, and photos the way renders are read
    "facesep/evaluation/bench/comparison.py",  # counts the work of the pass
    "facesep/model.py",
}


def test_photos_are_encoded_in_one_place():
    """Who knows a photo's five points hands them on; only renders are encoded without."""
    for path, tree in sources().items():
        for name, keywords, line in calls(tree):
            if name.endswith(".encode") and "aligned" in keywords:
                assert path in NO_POINTS, f"{path}:{line} may lose the five points"
            if name.endswith(("sep.encoder", "model.encoder", "self.encoder")) and "training" not in path:
                assert path in ENCODERS, f"{path}:{line} goes past FaceSep.encode"


def test_importing_facesep_is_light():
    code = (
        "import sys, facesep\n"
        "[getattr(facesep, name) for name in facesep.__all__]\n"
        f"print([name for name in {OPTIONAL!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_module_imports_without_the_extras():
    """Only the demo's layout, the refiner's classes and the training loop need theirs."""
    blocked = [name for name in OPTIONAL if name != "accelerate"]
    code = f"""
import importlib, pkgutil, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import facesep
for module in pkgutil.walk_packages(facesep.__path__, "facesep."):
    if not module.name.startswith(("facesep.demo", "facesep.refine.")) and "__main__" not in module.name:
        importlib.import_module(module.name)
        print(module.name)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-1500:]
    assert "facesep.codes" in run.stdout.split()


ORDER = {  # modules may import from lower layers and their own
    "errors": 0, "constants": 0, "attributes": 0, "precision": 0, "camera": 0, "codes": 0, "config": 0,
    "checkpoint": 0, "checksums": 0, "checks": 0, "files": 0,
    "nets": 1, "images": 1,
    "faces": 2, "hub": 2, "card": 2, "provenance": 2, "credentials": 2, "video": 2, "watermark": 2,
    "refine": 2, "fitting": 2, "detail": 2, "first_watermark": 2,
    "model": 3, "backends": 3, "importers": 3, "data": 3,
    "environment": 0, "analysis": 4,
    "training": 5, "evaluation": 5,
    "cli": 6, "demo": 6,
}  # fmt: skip


def test_imports_run_one_way():
    for path, tree in sources().items():
        part = path.removeprefix("facesep/").partition("/")[0].removesuffix(".py")
        if not path.startswith("facesep/") or part == "__init__":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facesep."):
                other = node.module.split(".")[1]
                assert {other, part} != {"training", "evaluation"}, (
                    f"{path}:{node.lineno} imports {node.module}"
                )
                assert ORDER[other] <= ORDER[part], f"{path}:{node.lineno} imports {node.module}"
