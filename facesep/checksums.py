"""Files of a folder against their sha256 sums in ``checksums.json``.

The table has every JSON and safetensors file, apart from those in folders with a table of their own. What
is missing, changed, added or linked from elsewhere is a ``facesep.errors.CheckpointError`` that names
the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from facesep.errors import CheckpointError

CHECKSUMS = "checksums.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
MAX_JSON_BYTES = 16 * 2**20


def verify_files(folder: str | Path) -> None:
    """Checks a folder's files against its ``checksums.json``.

    Raises:
        CheckpointError: for the first file that is missing or changed.
    """
    for name in _checksums(Path(folder)):
        verified(Path(folder), name)


def write_checksums(folder: str | Path) -> None:
    """Writes ``checksums.json`` for the JSON and safetensors files of a folder."""
    folder = Path(folder)
    table = {name: sha256(folder / name) for name in _checked(folder)}
    (folder / CHECKSUMS).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def verify_part(folder: str | Path, part: str) -> list[str]:
    """Checks the sha256 of every file in a subfolder of a checkpoint.

    Returns:
        Their names, relative to the checkpoint.

    Raises:
        CheckpointError: if there are none, or one is missing, changed or not listed.
    """
    folder = Path(folder)
    names = [name for name in _checksums(folder) if name.startswith(f"{part}/")]
    if not names:
        raise CheckpointError(f"the checkpoint {folder} has no {part}")
    for name in names:
        verified(folder, name)
    unlisted = set(_checked(folder / part)) - {name.removeprefix(f"{part}/") for name in names}
    if unlisted:
        raise CheckpointError(
            f"{folder / CHECKSUMS} does not list {part}/{min(unlisted)}: it was added later"
        )
    return names


def verified(folder: Path, name: str) -> Path:
    """Path of a file of a checkpoint whose content is what ``checksums.json`` says.

    Raises:
        CheckpointError: if it is missing, changed, not listed or outside the folder.
    """
    path = _inside(folder, name)
    known = _checksums(folder).get(name)
    if known is None:
        raise CheckpointError(f"{folder / CHECKSUMS} does not list {name}: the checkpoint is not complete")
    try:
        actual = sha256(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if actual != known:
        raise CheckpointError(
            f"{path} is not the file that was published (sha256 {actual[:12]}, expected {known[:12]}): "
            "download or copy it again"
        )
    return path


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _checked(folder: Path) -> Iterable[str]:
    """Relative names of the files that checksums cover; folders with a table of their own keep theirs."""
    own = [path.parent for path in folder.rglob(CHECKSUMS) if path.parent != folder]
    paths = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix in (".json", ".safetensors") and p.is_file() and not any(o in p.parents for o in own)
    )
    names = [p.relative_to(folder).as_posix() for p in paths]
    return [name for name in names if name != CHECKSUMS and not name.startswith(".")]


def _checksums(folder: Path) -> dict[str, str]:
    path = _inside(folder, CHECKSUMS)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("unreasonably large")
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): download or copy the checkpoint again"
        ) from error
    good = isinstance(table, dict) and all(
        isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in table.values()
    )
    if not good:
        raise CheckpointError(f"{path} is not a table of sha256 sums")
    return table


def _inside(folder: Path, name: str) -> Path:
    """Path of an existing regular file that does not lead out of the checkpoint."""
    path = folder / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise CheckpointError(f"{name!r} is not a name inside the checkpoint")
    if not path.is_file():
        pickles = sorted(p.name for p in path.parent.glob("*") if p.suffix in PICKLES)
        if pickles:
            raise CheckpointError(
                f"{path} is missing and {pickles[0]} beside it is a pickle, which facesep never loads: "
                "convert it with train/import_weights.py"
            )
        raise CheckpointError(f"{path} is missing: the checkpoint is not complete")
    target, root = path.resolve(), folder.resolve()
    roots = [root]
    for cache in (one.parent for one in root.parents if one.name == "snapshots"):
        # The Hub's cache links snapshots to blobs of the repository or of the cache.
        roots += [cache / "blobs", cache.parent / "blobs"]
    if not any(target.is_relative_to(one) for one in roots):
        raise CheckpointError(f"{path} links to {target}, outside the checkpoint: copy the file instead")
    return path
