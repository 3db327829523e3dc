"""The demo as a Space that uses a checkpoint on the Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import CommitOperationAdd

from facesep.errors import ConfigError
from facesep.hub.client import client, explain
from facesep.hub.names import check_repo

NEEDED = ("app.py", "README.md", "requirements.txt", "LICENSE", "THIRD_PARTY.md")
"""Files that a Space has beside the package."""
VARIABLE = "FACESEP_CHECKPOINT"


def push_space(
    root: str | Path,
    space: str,
    checkpoint: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
) -> str:
    """Puts the demo of a checkout into a Space, in one commit.

    The Space's card names the checkpoint, so that the Hub shows each beside the other, and its variable
    ``FACESEP_CHECKPOINT`` makes the page load it.

    Args:
        root: a checkout of this project.
        space: ``user/name`` of the Space; created if it does not exist.
        checkpoint: ``user/repo`` of the checkpoint.
        private: whether a new Space is private.
        token: Hub token; the saved one by default.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: for malformed names, or a folder that is no checkout.
        HubError: if the Hub cannot be reached or refuses.
    """
    check_repo(space)
    check_repo(checkpoint)
    root = Path(root)
    missing = [name for name in NEEDED if not (root / name).is_file()]
    if missing:
        raise ConfigError(f"{root} has no {missing[0]}: a Space is pushed from a clone of the project")
    package = (path for path in sorted((root / "facesep").rglob("*")) if path.is_file())
    files = [root / name for name in NEEDED]
    files += [path for path in package if "__pycache__" not in path.parts]
    content: dict[Path, Path | bytes] = {path: path for path in files}
    card = root / "README.md"
    content[card] = named(card.read_text(encoding="utf-8"), checkpoint).encode()
    operations = [CommitOperationAdd(path.relative_to(root).as_posix(), content[path]) for path in files]
    api = client(token)
    with explain(space):
        api.create_repo(
            space,
            repo_type="space",
            space_sdk="gradio",
            private=private,
            exist_ok=True,
            space_variables=[{"key": VARIABLE, "value": checkpoint}],
        )
        commit = api.create_commit(space, operations, commit_message="The demo of facesep", repo_type="space")
    return str(commit.commit_url)


def named(card: str, checkpoint: str) -> str:
    """A Space's card whose metadata name a checkpoint.

    Raises:
        ConfigError: if the card has no metadata.
    """
    if not card.startswith("---\n"):
        raise ConfigError("README.md has no metadata at its top: take that of a clone of the project")
    return card.replace("---\n", f"---\nmodels:\n  - {checkpoint}\n", 1)
