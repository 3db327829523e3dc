"""Files with the same bytes, found without reading most of them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

HEAD = 1 << 16


def file_sizes(paths: Sequence[Path | None]) -> list[int]:
    """Bytes of each file; -1 for those that cannot be looked at."""
    sizes = []
    for path in paths:
        try:
            sizes.append(-1 if path is None else os.stat(path).st_size)
        except OSError:
            sizes.append(-1)
    return sizes


def same_files(paths: Sequence[Path | None], sizes: Sequence[int]) -> dict[int, int]:
    """Which files repeat an earlier one byte for byte.

    Only files of the same size are read, and of those the first 64 KiB unless these agree too.

    Args:
        paths: the files; None and unreadable ones repeat nothing.
        sizes: from ``file_sizes``.

    Returns:
        ``{position of the repeat: position of the first}``.
    """
    groups: dict[object, list[int]] = defaultdict(list)
    for position, size in enumerate(sizes):
        if size > 0:
            groups[size].append(position)
    candidates = [group for group in groups.values() if len(group) > 1]
    for limit in (HEAD, None):
        candidates = [part for group in candidates for part in _by_content(paths, group, limit)]
    return {later: group[0] for group in candidates for later in group[1:]}


def _by_content(paths: Sequence[Path | None], group: list[int], limit: int | None) -> list[list[int]]:
    """Splits a group by a digest of the first ``limit`` bytes; keeps parts of two and more."""
    parts: dict[bytes, list[int]] = defaultdict(list)
    for position in group:
        try:
            parts[_digest(paths[position], limit)].append(position)
        except OSError:
            continue  # reading it will fail again when it is prepared, and be counted there
    return [part for part in parts.values() if len(part) > 1]


def _digest(path: Path, limit: int | None) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        if limit is not None:
            digest.update(file.read(limit))
        else:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.digest()
