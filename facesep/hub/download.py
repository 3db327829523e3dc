"""A checkpoint by its name becomes a folder: a given one, the bundled one, or a download."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from huggingface_hub import snapshot_download

import facesep
from facesep.checks import shown
from facesep.errors import CheckpointError, ConfigError
from facesep.hub.client import explain
from facesep.hub.names import NAME_HELP, check_revision, parse_name

FILES = ("*.json", "*.safetensors", "README.md", "LICENSE*")
"""What travels between a checkpoint folder and the Hub."""
NOT_FILES = ("checkpoints/*", "state/*", ".*", "*/.*")
"""What never does: the resume state of a training run, hidden files."""


def resolve(
    name: str | Path | None = None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Finds the folder of a checkpoint and downloads it if need be.

    Args:
        name: ``None`` for the bundled checkpoint, an existing folder, ``user/repo`` or
            ``user/repo@revision``; with ``:folder`` for one that is not at the top of its repository. A
            folder of that name comes before the Hub.
        revision: branch, tag or commit of a Hub repository.
        token: Hub token; the saved one by default, ``False`` for none.
        cache_dir: where downloads are kept.
        force_download: download even if the cache has the files.
        local_files_only: use the cache alone.

    Raises:
        ConfigError: if the name is not one of the above.
        HubError: if the Hub cannot be reached or refuses; the message says what to do.
        CheckpointError: if the name is a file or the bundled checkpoint is missing.
    """
    if name is None:
        return _bundled()
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else ""
    if not text or "\0" in text or len(text) > 4096:
        raise ConfigError(f"{shown(name)} is not a checkpoint name: {NAME_HELP}")
    folder = _existing(Path(text).expanduser())
    if folder is not None:
        if revision is not None:
            raise ConfigError(f"{name} is a folder and has no revision {revision!r}: leave the revision out")
        return folder
    repo_id, pinned, inside = parse_name(text)
    if pinned and revision and pinned != revision:
        raise ConfigError(f"two revisions given: {pinned!r} in the name and {revision!r}: keep one")
    revision = check_revision(pinned or revision)
    prefix = f"{inside}/" if inside else ""
    with explain(repo_id, revision):
        snapshot = snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            allow_patterns=[prefix + pattern for pattern in FILES],
            ignore_patterns=[prefix + pattern for pattern in NOT_FILES],
            library_name="facesep",
            library_version=facesep.__version__,
        )
    return Path(snapshot, inside) if inside else Path(snapshot)


def _bundled() -> Path:
    folder = Path(str(resources.files("facesep"))) / "assets" / "mini"
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"this installation has no bundled checkpoint: {NAME_HELP}")
    return folder


def _existing(path: Path) -> Path | None:
    """The path if it is a folder."""
    try:
        if path.is_file():
            raise CheckpointError(f"{path} is a file: give the folder of the checkpoint")
        return path if path.is_dir() else None
    except OSError:  # such as a name too long for the file system
        return None
