"""Promises about the source that hold for every file: what may be imported, loaded and written."""

from __future__ import annotations

import ast
import functools
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
    "dask",
    "distributed",
)
"""Packages of extras: `import facesep` loads none of them."""
IMPORTERS = "facesep/importers/"


@functools.cache
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
    "facesep/training/face_parser/batches.py",  # JPEG as an augmentation
    "facesep/images.py",  # the bare codec
    "facesep/animation.py",  # the same for what moves
    "facesep/provenance.py",  # marks results and writes them
    "facesep/data/shards.py",  # training data: crops of given photos, never results
    "facesep/training/face_detector/scenes.py",  # training data, in memory
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
        if last == "save" and owner and owner not in NOT_PICTURES:  # without an owner: facesep.save
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
    "facesep/moves.py",  # renders
    "facesep/analysis/properties.py",  # renders, and results
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


LAYERS = (
    "errors",
    "attributes card checks checksums config constants credentials environment files precision",
    "camera checkpoint first_watermark images watermark",
    "animation codes hub video",
    "nets provenance",
    "backends faces fitting refine saving",
    "data detail importers",
    "driving moves",
    "analysis model",
    "demo evaluation training",
    "cli eval train",
)
"""Parts of facesep: each imports from the layers above its own in this list, and from itself."""


def modules() -> dict[str, ast.Module]:
    """The modules of facesep by their dotted names."""
    names = {path: path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in sources()}
    return {names[path]: tree for path, tree in sources().items() if path.startswith("facesep/")}


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """What a module imports at any place, except for type checkers alone."""
    if isinstance(tree, ast.If) and dotted(tree.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(tree, ast.Import | ast.ImportFrom):
        yield tree
    for child in ast.iter_child_nodes(tree):
        yield from imports(child)


def imported(name: str, trees: dict[str, ast.Module]) -> set[str]:
    """The modules of facesep that a module imports; names that a package hands on count for their home."""
    found = set()
    for node in imports(trees[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        assert not node.level, f"{name}:{node.lineno} is a relative import"
        for alias in node.names:
            home = f"{node.module}.{alias.name}"
            if home in trees:
                found.add(home)
                continue
            for one in ast.walk(trees.get(node.module, ast.Module([], []))):
                if isinstance(one, ast.ImportFrom) and alias.name in [each.name for each in one.names]:
                    home = f"{one.module}.{alias.name}"
            found |= {node.module, home.rpartition(".")[0]}
    return (found & set(trees)) - {name, "facesep"}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names along one circle of a graph; empty when there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_imports_have_no_circle():
    trees = modules()
    graph = {name: imported(name, trees) for name in trees}
    assert len(graph["facesep.model"]) > 10
    assert circle(graph) == []


def test_imports_follow_the_order():
    trees = modules()
    layer = {part: number for number, parts in enumerate(LAYERS) for part in parts.split()}
    assert set(layer) == {name.split(".")[1] for name in trees if name != "facesep"}
    against = set()
    for name in sorted(set(trees) - {"facesep"}):
        for other in imported(name, trees):
            own, its = name.split(".")[1], other.split(".")[1]
            if own != its and layer[its] >= layer[own]:
                against.add((name, other))
    assert not against


def test_the_layer_tests_see():
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import facesep.d\ndef f():\n    from facesep.p import Name\nimport facesep.c"
    )
    package = ast.parse("if TYPE_CHECKING:\n    from facesep.p.home import Name")
    trees = {"facesep.a": tree, "facesep.p": package}
    trees |= dict.fromkeys(("facesep.c", "facesep.d", "facesep.p.home"), ast.parse(""))
    assert imported("facesep.a", trees) == {"facesep.c", "facesep.p", "facesep.p.home"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
