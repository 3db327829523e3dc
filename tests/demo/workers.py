"""Pages that run as they are started, each in a process of its own, and nginx before them as the docs say."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
RECIPE = re.compile(r"```nginx\n(.*?)```", re.DOTALL)
PATIENCE = 240.0
"""Seconds until a page is served; far more than a machine with nothing else to do needs."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def started(
    folder: Path, cores: Sequence[set[int]], **variables: str
) -> Iterator[list[tuple[str, subprocess.Popen]]]:
    """Runs ``python app.py`` several times; gives the address and the process of each.

    Args:
        folder: for their temporary files; each has a folder of its own there, named after its port.
        cores: those that each may use.
        variables: of their environment.
    """
    own, running = os.sched_getaffinity(0), []
    with ExitStack() as stack:
        for some in cores:
            port = free_port()
            places = {"GRADIO_TEMP_DIR": str(folder / str(port)), "GRADIO_SERVER_PORT": str(port)}
            os.sched_setaffinity(0, some)  # which a new process takes over
            try:
                process = subprocess.Popen(
                    [sys.executable, "app.py"],
                    cwd=ROOT,
                    env=os.environ | places | variables,
                    stdout=subprocess.DEVNULL,
                )
            finally:
                os.sched_setaffinity(0, own)
            stack.enter_context(_ended(process))
            running.append((f"http://127.0.0.1:{port}/", process))
        for url, process in running:
            _wait(url, process)
        yield running


@contextmanager
def behind_nginx(folder: Path, urls: Sequence[str], astray: bool = False) -> Iterator[str]:
    """The address of nginx with the configuration in docs/demo.md before several pages.

    Args:
        folder: for its files.
        urls: of the pages.
        astray: everything goes to the first page, but the wait for answers to the last.
    """
    text, port = RECIPE.search((ROOT / "docs" / "demo.md").read_text(encoding="utf-8"))[1], free_port()
    servers = iter(urls)
    text = re.sub(r"server 127\.0\.0\.1:\d+", lambda _: f"server {next(servers)[7:-1]}", text)
    assert not list(servers)
    text, listens = re.subn(r"listen 80", f"listen 127.0.0.1:{port}", text)
    assert listens == 1
    if astray:
        other = f"location /gradio_api/queue/data {{ proxy_pass {urls[-1][:-1]}; }}"
        text = text.replace("http://facesep", urls[0][:-1]).replace("location / {", f"{other}\nlocation / {{")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    path = folder / "nginx.conf"
    path.write_text(f"daemon off;\npid {folder}/nginx.pid;\n" + text.replace("http {", "http {\n" + places))
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(path), "-e", "stderr"])
    with _ended(process):
        url = f"http://127.0.0.1:{port}/"
        _wait(url, process)
        yield url


@contextmanager
def _ended(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=60):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{process.args} did not serve {url}")
