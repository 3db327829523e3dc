"""The rounds of a training on the Hub: checkpoints on a branch of their own."""

from __future__ import annotations

import re

from facesep.errors import ConfigError
from facesep.hub.client import client, explain
from facesep.hub.names import parse_repo

BRANCH, ROUNDS = "training", "checkpoints"
"""Branch that rounds are pushed to, and its folder of them: ``checkpoints/001``, ``002``, ..."""


def pushed_rounds(name: str, every: int = 1, token: str | None = None) -> dict[int, str]:
    """The rounds of a training that were pushed to its branch, the first round first.

    Args:
        name: ``user/repo``, or ``user/repo@revision`` for another branch than ``training``.
        every: keep only every so many-th round, and the last.
        token: Hub token; the saved one by default.

    Returns:
        Names of checkpoints, ``user/repo@commit:checkpoints/001``, by round; all of one
        commit, so that a round that is pushed meanwhile changes nothing.

    Raises:
        ConfigError: for a malformed name or number, or if the branch holds no rounds.
        HubError: if the Hub cannot be reached or refuses.
    """
    if every < 1:
        raise ConfigError("--every must be at least 1")
    repo_id, revision = parse_repo(name)
    revision = revision or BRANCH
    with explain(repo_id, revision):
        info = client(token).model_info(repo_id, revision=revision)
    files = re.compile(rf"{ROUNDS}/(\d+)/config\.json")
    matches = [files.fullmatch(file.rfilename) for file in info.siblings]
    rounds = {int(match[1]): f"{repo_id}@{info.sha}:{ROUNDS}/{match[1]}" for match in matches if match}
    if not rounds:
        raise ConfigError(
            f"{repo_id} has no {ROUNDS}/<round> on {revision!r}: give a repository that train/em.py pushes to"
        )
    found = sorted(rounds.items())
    return dict([*found[every - 1 :: every], found[-1]])
