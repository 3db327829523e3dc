"""The rounds of a training, from the commits of its branch on the Hub."""

from __future__ import annotations

from facesep.errors import CheckpointError, ConfigError, HubError
from facesep.hub import history, read_config, resolve


def rounds_of(branch: str, every: int = 1) -> dict[str, str]:
    """Checkpoints by a name that says which round they are, oldest first.

    Commits without a model (the first one of a repository) are left out.

    Args:
        branch: ``user/repo@branch``.
        every: keep only every so many-th round, and the last.

    Raises:
        ConfigError: for a malformed name or number, or if no commit holds a model.
        HubError: if the Hub cannot be reached or refuses.
    """
    if every < 1:
        raise ConfigError("--every must be at least 1")
    found: dict[str, str] = {}
    for checkpoint, title in history(branch):
        try:
            read_config(resolve(checkpoint))
        except HubError:
            raise
        except CheckpointError:
            continue
        name = title if title not in found else f"{title} ({checkpoint.rpartition('@')[2][:7]})"
        found[name] = checkpoint
    if not found:
        raise ConfigError(
            f"no commit of {branch} holds a checkpoint: give the branch that training pushed to"
        )
    names = list(found)
    kept = {*names[every - 1 :: every], names[-1]}
    return {name: checkpoint for name, checkpoint in found.items() if name in kept}
