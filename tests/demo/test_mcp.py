"""The endpoints as MCP tools, when they are switched on."""

from __future__ import annotations

import httpx
import pytest

pytest.importorskip("mcp")
pytest.importorskip("gradio")
from serving import serve  # noqa: E402


def test_tools_are_the_named_endpoints(sep, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    server = serve(sep, tmp_path)
    tools = httpx.get(f"{next(server).url}gradio_api/mcp/schema", timeout=60).json()
    server.close()
    names = {tool["name"].rpartition("facesep_")[2] or tool["name"] for tool in tools}
    assert {"transfer", "mix", "render", "verify"} <= names
    assert all("consent" in tool["description"] for tool in tools)


def test_there_are_no_tools_unless_asked_for(sep, tmp_path, monkeypatch):
    monkeypatch.delenv("GRADIO_MCP_SERVER", raising=False)
    server = serve(sep, tmp_path)
    assert httpx.get(f"{next(server).url}gradio_api/mcp/schema", timeout=60).status_code == 404
    server.close()
