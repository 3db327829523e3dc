"""Checkpoints and single files to the Hub, each in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd

from facesep.checkpoint import verify_checkpoint
from facesep.hub.client import client, explain
from facesep.hub.download import FILES, NOT_FILES
from facesep.hub.names import check_repo, check_revision


def push(folder: str | Path, repo_id: str, **options: str | bool | None) -> str:
    """Uploads a checkpoint folder after checking it; see ``upload`` for the options.

    Raises:
        CheckpointError: if the folder is not a sound checkpoint.
    """
    check_repo(repo_id)
    verify_checkpoint(folder)
    return upload(folder, repo_id, **options)


def upload(
    folder: str | Path,
    repo_id: str,
    *,
    path_in_repo: str | None = None,
    branch: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload facesep checkpoint",
    create_pr: bool = False,
) -> str:
    """Uploads the files of a checkpoint or a refiner in one commit, without hidden files and resume state.

    Args:
        folder: what to upload.
        repo_id: ``user/repo``; created if it does not exist.
        path_in_repo: folder in the repository; its top by default.
        branch: branch to commit to, created if it does not exist; ``main`` by default.
        private: whether a new repository is private.
        token: Hub token; the saved one by default.
        commit_message: first line of the commit.
        create_pr: open a pull request instead of committing to the branch.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: for a malformed repository or branch name.
        HubError: if the Hub cannot be reached or refuses.
    """
    check_repo(repo_id)
    check_revision(branch)
    api = client(token)
    with explain(repo_id, branch):
        api.create_repo(repo_id, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            path_in_repo=path_in_repo,
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
            allow_patterns=list(FILES),
            ignore_patterns=list(NOT_FILES),
        )
    return str(commit.commit_url)


def commit_files(
    repo_id: str,
    files: Mapping[str, Path],
    *,
    commit_message: str,
    branch: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Puts a few files into an existing repository in one commit; all others stay.

    Args:
        repo_id: ``user/repo``.
        files: local file by its path in the repository.
        commit_message: first line of the commit.
        branch: branch to commit to; ``main`` by default.
        token: Hub token.

    Returns:
        Address of the commit.

    Raises:
        HubError: if the Hub cannot be reached or refuses.
    """
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()]
    with explain(repo_id, branch):
        commit = client(token).create_commit(
            repo_id, operations, commit_message=commit_message, revision=branch
        )
    return str(commit.commit_url)
