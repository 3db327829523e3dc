"""Checkpoints by name: a folder, the bundled one, or a repository on the Hugging Face Hub.

The Hub's own client does the transfers, so its environment variables hold: ``HF_TOKEN``,
``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` (mirrors), ``HF_HOME`` (cache). Only JSON, safetensors and the card
are ever downloaded or uploaded. What is inside a checkpoint is the business of
:mod:`facesep.checkpoint`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import facesep
from facesep.checkpoint import (
    read_config,
    read_json,
    read_part,
    verify_checkpoint,
    write_checkpoint,
)
from facesep.errors import CheckpointError, ConfigError, HubError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "CheckpointMixin",
    "commit_files",
    "history",
    "parse_repo",
    "push",
    "read_config",
    "read_json",
    "read_part",
    "resolve",
    "upload",
    "verify_checkpoint",
    "write_checkpoint",
]

FILES = ("*.json", "*.safetensors", "README.md", "LICENSE*")
"""What travels between a checkpoint folder and the Hub."""
NOT_FILES = ("checkpoints/*", ".*", "*/.*")
"""What never does: the resume state of a training run, hidden files."""

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_NAME_HELP = "give a folder, or a Hub repository as user/repo or user/repo@revision"


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
            ``user/repo@revision``. A folder of that name comes before the Hub.
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
    text = str(name)
    if not text or "\0" in text or len(text) > 4096:
        raise ConfigError(f"{text[:60]!r} is not a checkpoint name: {_NAME_HELP}")
    folder = _existing(Path(text).expanduser())
    if folder is not None:
        if revision is not None:
            raise ConfigError(f"{name} is a folder and has no revision {revision!r}: leave the revision out")
        return folder
    repo_id, pinned = parse_repo(text)
    if pinned and revision and pinned != revision:
        raise ConfigError(f"two revisions given: {pinned!r} in the name and {revision!r}: keep one")
    revision = _check_revision(pinned or revision)
    with explain(repo_id, revision):
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                allow_patterns=list(FILES),
                ignore_patterns=list(NOT_FILES),
                library_name="facesep",
                library_version=facesep.__version__,
            )
        )


def push(
    folder: str | Path,
    repo_id: str,
    *,
    branch: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload facesep checkpoint",
    create_pr: bool = False,
) -> str:
    """Uploads a checkpoint folder in one commit, after checking it.

    Args:
        folder: the checkpoint.
        repo_id: ``user/repo``; created if it does not exist.
        branch: branch to commit to, created if it does not exist; ``main`` by default.
        private: whether a new repository is private.
        token: Hub token; the saved one by default.
        commit_message: first line of the commit.
        create_pr: open a pull request instead of committing to the branch.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: for a malformed repository or branch name.
        CheckpointError: if the folder is not a sound checkpoint.
        HubError: if the Hub cannot be reached or refuses.
    """
    _check_target(repo_id, branch)
    verify_checkpoint(folder)
    return upload(
        folder,
        repo_id,
        branch=branch,
        private=private,
        token=token,
        commit_message=commit_message,
        create_pr=create_pr,
    )


def upload(
    folder: str | Path,
    repo_id: str,
    *,
    branch: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload facesep checkpoint",
    create_pr: bool = False,
) -> str:
    """Uploads the files of a folder in one commit; see :func:`push`, which checks them first."""
    _check_target(repo_id, branch)
    api = HfApi(token=token, library_name="facesep", library_version=facesep.__version__)
    with explain(repo_id, branch):
        api.create_repo(repo_id, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
            allow_patterns=list(FILES),
            ignore_patterns=list(NOT_FILES),
        )
    return str(commit.commit_url)


def _check_target(repo_id: str, branch: str | None) -> None:
    if not is_repo(repo_id):
        raise ConfigError(f"{repo_id[:200]!r} is not a repository name: give user/repo")
    _check_revision(branch)


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
    api = HfApi(token=token, library_name="facesep", library_version=facesep.__version__)
    with explain(repo_id, branch):
        commit = api.create_commit(repo_id, operations, commit_message=commit_message, revision=branch)
    return str(commit.commit_url)


def history(branch: str, *, token: str | bool | None = None) -> list[tuple[str, str]]:
    """The commits of a branch of the Hub, oldest first.

    Args:
        branch: ``user/repo@branch``.
        token: Hub token.

    Returns:
        ``(user/repo@commit, title)`` of each.

    Raises:
        ConfigError: for a malformed name.
        HubError: if the Hub cannot be reached or refuses.
    """
    repo_id, revision = parse_repo(branch)
    api = HfApi(token=token, library_name="facesep", library_version=facesep.__version__)
    with explain(repo_id, revision):
        commits = api.list_repo_commits(repo_id, revision=revision)
    return [(f"{repo_id}@{commit.commit_id}", commit.title) for commit in reversed(commits)]


def parse_repo(name: str) -> tuple[str, str | None]:
    """Splits ``user/repo@revision`` into its repository and its revision.

    Raises:
        ConfigError: for anything else.
    """
    repo_id, separator, revision = name.partition("@")
    if not is_repo(repo_id) or (separator and not revision):
        shown = name if len(name) <= 200 else name[:200] + "..."
        raise ConfigError(f"{shown!r} is neither an existing folder nor a repository: {_NAME_HELP}")
    return repo_id, _check_revision(revision or None)


class CheckpointMixin(ModelHubMixin):
    """``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` over two hooks.

    Subclasses implement ``_save_pretrained(folder)`` (with :func:`write_checkpoint`), the class method
    ``_load(folder, **options)`` and ``model_card()``. The configuration is the subclass's affair: the
    automatic one of :class:`~huggingface_hub.ModelHubMixin` is switched off, and so is its generic card.
    """

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Creates the object without recording the constructor's arguments as configuration."""
        return super(ModelHubMixin, cls).__new__(cls)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        **options: object,
    ) -> Self:
        """Loads a checkpoint; see :func:`resolve` for the arguments.

        Args:
            pretrained_model_name_or_path: ``None`` (bundled), a folder, or ``user/repo[@revision]``.
            revision: branch, tag or commit.
            token: Hub token.
            cache_dir: where downloads are kept.
            force_download: download even if the cache has the files.
            local_files_only: use the cache alone.
            **options: passed to the subclass, such as ``device``.

        Raises:
            CheckpointError: if it is missing, damaged, unsafe or of another version.
        """
        folder = resolve(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return cls._load(folder, **options)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **push_options: object,
    ) -> str | None:
        """Writes the checkpoint to a folder.

        Args:
            save_directory: a new or empty folder, or one whose checkpoint is replaced.
            push_to_hub: upload it as well.
            repo_id: the repository to upload to; needed with ``push_to_hub``.
            **push_options: see :func:`push`.

        Returns:
            Address of the commit if it was pushed.
        """
        if push_to_hub and repo_id is None:
            raise ConfigError("push_to_hub=True needs repo_id='user/repo'")
        self._save_pretrained(Path(save_directory))
        return push(save_directory, repo_id, **push_options) if push_to_hub else None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload facesep checkpoint",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Saves to a temporary folder and uploads it; see :func:`push` for the arguments."""
        with tempfile.TemporaryDirectory(prefix="facesep-") as temporary:
            folder = Path(temporary) / "checkpoint"
            self._save_pretrained(folder)
            return push(
                folder,
                repo_id,
                branch=branch,
                private=private,
                token=token,
                commit_message=commit_message,
                create_pr=create_pr,
            )

    def generate_model_card(self) -> ModelCard:
        """The card that :meth:`save_pretrained` writes."""
        return ModelCard(self.model_card())

    def model_card(self) -> str:
        """Text of the card: Markdown with front matter."""
        raise NotImplementedError

    def _save_pretrained(self, save_directory: Path) -> None:
        raise NotImplementedError

    @classmethod
    def _load(cls, folder: Path, **options: object) -> Self:
        raise NotImplementedError


def _bundled() -> Path:
    folder = Path(str(resources.files("facesep"))) / "assets" / "mini"
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"this installation has no bundled checkpoint: {_NAME_HELP}")
    return folder


def _existing(path: Path) -> Path | None:
    """The path if it is a folder."""
    try:
        if path.is_file():
            raise CheckpointError(f"{path} is a file: give the folder of the checkpoint")
        return path if path.is_dir() else None
    except OSError:  # such as a name too long for the file system
        return None


def is_repo(name: str) -> bool:
    """Whether a name has the form ``user/repo``."""
    return bool(_REPO.fullmatch(name)) and ".." not in name and "--" not in name


def _check_revision(revision: str | None) -> str | None:
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise ConfigError(
            f"{revision[:200]!r} is not a revision: give a branch, a tag or a commit, as in user/repo@v1.0"
        )
    return revision


@contextmanager
def explain(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turns every failure of the Hub's client into a sentence that says what to do."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 the client lets errors of its HTTP library through
        raise HubError(_message(error, repo_id, revision)) from error


def _message(error: BaseException, repo_id: str, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return f"{repo_id} asks for a request: visit its page on the Hub, then log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{repo_id} does not exist or is private: check the name; for a private repository "
            "log in with `hf auth login` or pass token="
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no revision {revision or 'main'!r}: check the branch, tag or commit"
    if isinstance(error, DisabledRepoError):
        return f"{repo_id} has been disabled on the Hub: choose another checkpoint"
    if isinstance(error, HfHubHTTPError):
        return _http_message(error, repo_id)
    if isinstance(error, LocalEntryNotFoundError):
        if isinstance(error.__cause__, HfHubHTTPError):
            return _http_message(error.__cause__, repo_id)
        return (
            f"{repo_id} is not in the cache (or not complete) and the Hub cannot be reached: connect once to "
            "download it, unset HF_HUB_OFFLINE, set HF_ENDPOINT to a mirror, or give a local folder"
        )
    return f"the transfer with {repo_id} failed ({type(error).__name__}: {error}): try again"


def _http_message(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    if status in (401, 403):
        return (
            f"the Hub refuses access to {repo_id} ({status}): log in with `hf auth login` using a token "
            "that has the needed permission"
        )
    if status == 412:
        return f"{repo_id} was changed by somebody else meanwhile: fetch the latest state and push again"
    if status == 429 or status >= 500:
        return f"the Hub cannot serve {repo_id} at the moment ({status}): try again in a few minutes"
    return f"the Hub refused the request for {repo_id} ({status}): {error.server_message or error}"
