"""``from_pretrained``, ``save_pretrained`` and ``push_to_hub``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelHubMixin

from facesep import checks
from facesep.errors import ConfigError
from facesep.hub.download import resolve
from facesep.hub.names import check_repo
from facesep.hub.upload import upload

if TYPE_CHECKING:
    from typing_extensions import Self


class Pretrained:
    """Loading, saving and pushing over three hooks.

    Subclasses implement ``_save_pretrained(folder)``, the class method ``_load(folder, **options)`` and
    ``model_card()``.
    """

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
        """Loads a checkpoint; see ``facesep.hub.download.resolve`` for the arguments.

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
            **push_options: see ``facesep.hub.upload.upload``.

        Returns:
            Address of the commit if it was pushed.
        """
        if push_to_hub and repo_id is None:
            raise ConfigError("push_to_hub=True needs repo_id='user/repo'")
        if push_options and not push_to_hub:
            raise ConfigError(f"save_pretrained takes {', '.join(push_options)} only with push_to_hub=True")
        self._save_pretrained(checks.path(save_directory, "save_directory"))
        return upload(save_directory, repo_id, **push_options) if push_to_hub else None

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
        """Uploads what would be saved; see ``facesep.hub.upload.upload`` for the arguments."""
        check_repo(repo_id)
        with tempfile.TemporaryDirectory(prefix="facesep-") as temporary:
            folder = Path(temporary) / "checkpoint"
            self._save_pretrained(folder)
            return upload(
                folder,
                repo_id,
                branch=branch,
                private=private,
                token=token,
                commit_message=commit_message,
                create_pr=create_pr,
            )

    def model_card(self) -> str:
        """Text of the card: Markdown with front matter."""
        raise NotImplementedError

    def _save_pretrained(self, save_directory: Path) -> None:
        raise NotImplementedError

    @classmethod
    def _load(cls, folder: Path, *args: Any, **options: Any) -> Self:
        raise NotImplementedError


class CheckpointMixin(Pretrained, ModelHubMixin):
    """The base of models: a ``huggingface_hub.ModelHubMixin`` that does as ``Pretrained`` says.

    The configuration is the subclass's affair: the automatic one of
    ``huggingface_hub.ModelHubMixin`` is switched off, and so is its generic card.
    """

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Creates the object without recording the constructor's arguments as configuration."""
        return super(ModelHubMixin, cls).__new__(cls)

    def generate_model_card(self) -> ModelCard:
        """The card that ``save_pretrained`` writes."""
        return ModelCard(self.model_card())
