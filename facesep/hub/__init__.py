"""Checkpoints by name: a folder, the bundled one, or a repository on the Hugging Face Hub.

The Hub's own client does the transfers, so its environment variables hold: ``HF_TOKEN``,
``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` (mirrors), ``HF_HOME`` (cache). Only JSON, safetensors and the card
are ever downloaded or uploaded. What is inside a checkpoint is the business of
``facesep.checkpoint``.
"""

from facesep.checkpoint import read_config, read_json, read_part, verify_checkpoint, write_checkpoint
from facesep.hub.client import client, explain
from facesep.hub.download import FILES, resolve
from facesep.hub.names import check_repo, is_repo, parse_repo
from facesep.hub.pretrained import CheckpointMixin, Pretrained
from facesep.hub.upload import commit_files, push, upload

__all__ = [
    "FILES",
    "CheckpointMixin",
    "Pretrained",
    "check_repo",
    "client",
    "commit_files",
    "explain",
    "is_repo",
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
