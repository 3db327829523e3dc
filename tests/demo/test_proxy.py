"""The page starts, and is reached, where a proxy stands between this machine and the world."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("gradio")
import httpx

from facesep.demo import launch
from facesep.demo.ui import build_page


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that refuses everything: its address, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    asked.append(client.recv(4096))
                    client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        yield "http://{}:{}".format(*server.getsockname()), asked
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("host", [None, "127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("exceptions", ["", "intranet.example"])
def test_own_addresses_never_go_through_a_proxy(sep, tmp_path, monkeypatch, proxy, host, exceptions):
    address, asked = proxy
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, address)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, exceptions)
    assert httpx.get("http://example.org").status_code == 403 and len(asked) == 1  # the proxy is used
    page = build_page(sep)
    try:
        _, url, _ = launch(page, host, prevent_thread_lock=True, quiet=True)
        assert httpx.get(url).status_code == 200 and len(asked) == 1
    finally:
        page.close()
    assert exceptions in os.environ["NO_PROXY"]  # what was set stays
