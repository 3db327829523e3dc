"""Names of checkpoints: ``user/repo@revision:folder``."""

from __future__ import annotations

import re

from facesep.checks import shown
from facesep.errors import ConfigError

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
NAME_HELP = "give a folder, or a Hub repository as user/repo or user/repo@revision"


def is_repo(name: str) -> bool:
    """Whether a name has the form ``user/repo``."""
    return isinstance(name, str) and bool(_REPO.fullmatch(name)) and ".." not in name and "--" not in name


def check_repo(name: str) -> str:
    """Returns the name of a repository to write to.

    Raises:
        ConfigError: if it has not the form ``user/repo``.
    """
    if not is_repo(name):
        raise ConfigError(f"{shown(name)} is not a repository name: give user/repo")
    return name


def check_revision(revision: str | None) -> str | None:
    """Returns a branch, tag or commit.

    Raises:
        ConfigError: if it cannot be one.
    """
    if revision is None:
        return None
    if not isinstance(revision, str) or not _REVISION.fullmatch(revision) or ".." in revision:
        raise ConfigError(
            f"{shown(revision)} is not a revision: give a branch, a tag or a commit, as in user/repo@v1.0"
        )
    return revision


def parse_repo(name: str) -> tuple[str, str | None]:
    """Splits ``user/repo@revision`` into its repository and its revision.

    Raises:
        ConfigError: for anything else.
    """
    repo_id, separator, revision = name.partition("@")
    if not is_repo(repo_id) or (separator and not revision):
        shown = name if len(name) <= 200 else name[:200] + "..."
        raise ConfigError(f"{shown!r} is neither an existing folder nor a repository: {NAME_HELP}")
    return repo_id, check_revision(revision or None)


def parse_name(name: str) -> tuple[str, str | None, str | None]:
    """Splits ``user/repo@revision:folder`` into repository, revision and the checkpoint's folder in it.

    Raises:
        ConfigError: for anything else.
    """
    repo, separator, folder = name.partition(":")
    if separator and _REVISION.fullmatch(folder) and ".." not in folder:
        return *parse_repo(repo), folder.strip("/")
    return *parse_repo(name), None
