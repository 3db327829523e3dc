"""What only POSIX systems have is taken away: the code goes another way there, to the same results."""

from __future__ import annotations

import ast
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from test_source_rules import calls, sources

from facesep import environment
from facesep.data import prepare as prepare_module
from facesep.data import shards as shards_module
from facesep.data.shards import ShardSet
from facesep.errors import DataError

POSIX = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
ABSENT = ("pread", "O_DIRECTORY", "sched_getaffinity", "fork", "geteuid")


@pytest.fixture
def windows(monkeypatch):
    """Without the names that Windows lacks, and with a lock of its kind: not shared, for bytes of a file."""
    for name in ABSENT:
        monkeypatch.delattr(os, name, raising=False)
    for name in POSIX:
        monkeypatch.setitem(sys.modules, name, None)
    held = set()

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        inode = os.fstat(descriptor).st_ino
        if inode in held:
            raise PermissionError(13, "Permission denied")
        held.add(inode)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    return held


def test_posix_modules_are_imported_where_they_may_be_missing():
    for path, tree in sources().items():
        handled = {
            id(node)
            for attempt in ast.walk(tree)
            if isinstance(attempt, ast.Try) and any("ImportError" in ast.dump(h) for h in attempt.handlers)
            for node in ast.walk(attempt)
        }
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            if POSIX & {name.partition(".")[0] for name in names}:
                assert id(node) in handled, f"{path}:{node.lineno}"


def test_text_files_have_one_encoding_everywhere():
    """The default is not UTF-8 on Windows."""
    seen = 0
    for path, tree in sources().items():
        for name, keywords, line in calls(tree):
            if name.endswith((".read_text", ".write_text")):
                seen += 1
                assert "encoding" in keywords, f"{path}:{line}"
    assert seen > 20


def test_shards_are_written_and_read_by_threads(windows, tmp_path, monkeypatch):
    data = {name: np.random.default_rng(seed).bytes(5000) for seed, name in enumerate("abcdef")}
    path = tmp_path / "00000.tar"
    shards_module.write_file(path, b"".join(data.values()))
    reader = object.__new__(ShardSet)
    reader.__setstate__({"path": tmp_path, "shards": [{"file": path.name}]})
    places = [(5000 * place, value) for place, value in enumerate(data.values())] * 5
    seek = os.lseek
    monkeypatch.setattr(os, "lseek", lambda *where: (seek(*where), time.sleep(0.005)))  # others come between
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: reader._read(0, 5000, place[0]), places))
    assert found == [value for _, value in places]
    reader.close()


def test_two_runs_do_not_fill_one_folder(windows, tmp_path):
    with prepare_module._alone(tmp_path):
        assert windows
        with pytest.raises(DataError, match="another run"), prepare_module._alone(tmp_path):
            pass


def test_hardware_and_memory(windows):
    assert "CPU cores" in environment.hardware()
    assert math.isnan(environment.peak_memory())


@pytest.mark.skipif(os.name == "nt", reason="measures nothing there")
def test_memory_is_bytes():
    held = np.ones(50_000_000, np.uint8)
    assert 50e6 < environment.peak_memory() < 1e12 and held[0]


def test_no_folder_of_one_system_is_named():
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                first = node.value.partition("\n")[0]
                found = first.startswith(("/tmp", "/dev/", "/var/", "C:\\"))
                assert not found, f"{path}:{node.lineno} {first}"
