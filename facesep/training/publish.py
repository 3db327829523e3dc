"""A run on the Hub: its rounds on a branch, so that they can be compared and continued elsewhere.

::

    main      the release, pushed at the end
    training  checkpoints/001, 002, ...: the model after each round; state/: what the newest needs to go on
"""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from huggingface_hub import snapshot_download

from facesep.errors import CheckpointError, ConfigError, HubError
from facesep.hub import client, explain, is_repo, upload
from facesep.hub.rounds import BRANCH, ROUNDS

logger = logging.getLogger(__name__)


def push_round(
    checkpoint: Path, repo_id: str, number: int, *, private: bool | None = None, token: str | None = None
) -> str:
    """Uploads a checkpoint of a run to the branch ``training``.

    Args:
        checkpoint: a folder under ``RUN/checkpoints``.
        repo_id: ``user/repo``; created if it does not exist.
        number: its round; the model goes to ``checkpoints/<number>``, its state replaces ``state``.
        private: whether a new repository is private.
        token: Hub token; the saved one by default.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: for a malformed repository name.
        HubError: if the Hub cannot be reached or refuses.
    """
    upload(
        checkpoint,
        repo_id,
        path_in_repo=f"{ROUNDS}/{number:03d}",
        branch=BRANCH,
        private=private,
        token=token,
        commit_message=f"Round {number}",
    )
    with explain(repo_id, BRANCH):
        commit = client(token).upload_folder(
            repo_id=repo_id,
            folder_path=checkpoint / "state",
            path_in_repo="state",
            revision=BRANCH,
            commit_message=f"State after round {number}",
            delete_patterns="*",  # parts of an earlier number of processes
        )
    return str(commit.commit_url)


class Publisher:
    """Pushes rounds while a run goes on; a Hub that is slow or down costs the run nothing but a message.

    Uploads run in a thread, one after the other: the other processes of a run would give up waiting for
    this one. Each works on links to the files of its checkpoint, which the run may clear away meanwhile.

    Args:
        repo_id: ``user/repo``.
        private: whether a new repository is private.

    Raises:
        ConfigError: for another name.
    """

    def __init__(self, repo_id: str, private: bool | None = None) -> None:
        if not is_repo(repo_id):
            raise ConfigError(f"--hub_model_id takes user/repo, not {repo_id[:200]!r}")
        self.repo_id, self.private = repo_id, private
        self._thread = ThreadPoolExecutor(1, "facesep-upload")
        self._uploads: list[Future[None]] = []

    def __call__(self, checkpoint: Path, number: int) -> None:
        """Begins to push one round, ``RUN/checkpoints/<step>``, and returns at once."""
        kept = checkpoint.parents[1] / "uploads" / f"{number:03d}"
        try:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(checkpoint, kept, copy_function=_link)
        except (OSError, shutil.Error) as error:
            _warn(number, error)
            return
        self._uploads.append(self._thread.submit(self._push, kept, number))

    def wait(self) -> None:
        """Returns when all rounds are on the Hub, or given up with a message."""
        while self._uploads:
            self._uploads.pop(0).result()

    def _push(self, kept: Path, number: int) -> None:
        try:
            push_round(kept, self.repo_id, number, private=self.private)
        except HubError as error:
            _warn(number, error)
        finally:
            shutil.rmtree(kept, ignore_errors=True)


def _warn(number: int, error: Exception) -> None:
    logger.warning("round %d is not on the Hub, training goes on: %s", number, error)


def _link(source: str, target: str) -> None:
    """A second name for a file; a copy where the disk knows no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def fetch_state(repo_id: str, folder: Path) -> Path:
    """Downloads the newest training state of a run from the Hub.

    Args:
        repo_id: ``user/repo``.
        folder: where ``state/`` appears.

    Raises:
        HubError: if the Hub cannot be reached or has no such run.
        CheckpointError: if the repository holds no training state.
    """
    with explain(repo_id, BRANCH):
        snapshot_download(repo_id, revision=BRANCH, allow_patterns=["state/*"], local_dir=folder)
    if not (folder / "state" / "progress.json").is_file():
        raise CheckpointError(f"{repo_id} has no training state on its branch {BRANCH!r}")
    return folder / "state"
