"""The rounds of a training, from its branch on the Hub."""

from __future__ import annotations

from facesep.errors import ConfigError
from facesep.training.publish import pushed_rounds


def rounds_of(branch: str, every: int = 1) -> dict[str, str]:
    """Checkpoints by a name that says which round they are, the first round first.

    Args:
        branch: ``user/repo``, or ``user/repo@branch`` for another branch than ``training``.
        every: keep only every so many-th round, and the last.

    Raises:
        ConfigError: for a malformed name or number, or if the branch holds no rounds.
        HubError: if the Hub cannot be reached or refuses.
    """
    if every < 1:
        raise ConfigError("--every must be at least 1")
    found = list(pushed_rounds(branch).items())
    kept = [*found[every - 1 :: every], found[-1]]
    return {f"round {number}": checkpoint for number, checkpoint in dict(kept).items()}
