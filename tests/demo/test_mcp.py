"""The endpoints as MCP tools, when they are switched on."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from facesep import provenance
from facesep.images import load_image

pytest.importorskip("mcp")
pytest.importorskip("gradio")
from serving import Server, as_shown, serve  # noqa: E402


@pytest.fixture(scope="module")
def server(sep, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_MCP_SERVER", "True")
        import gradio.mcp

        patch.setattr(gradio.mcp, "DEFAULT_TEMP_DIR", str(folder))  # read when gradio was imported
        yield from serve(sep, folder)


def ask(server: Server, *calls: tuple[str, dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """The tools by name, and the answers to some calls, as a client of the protocol gets them."""
    import anyio
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk() -> tuple[dict[str, Any], list[Any]]:
        async with (
            streamablehttp_client(f"{server.url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {name_of(tool.name): tool for tool in (await session.list_tools()).tools}
            return tools, [await session.call_tool(tools[name].name, given) for name, given in calls]

    return anyio.run(talk)


def name_of(tool: str) -> str:
    """The endpoint of a tool; gradio may put the title of the page before it."""
    return tool.removeprefix("facesep_")


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def text_of(answer: Any) -> str:
    return " ".join(part.text for part in answer.content if part.type == "text")


def test_a_client_lists_the_tools_and_calls_them(server, sep, photos):
    codes = sep.portrait(photos[0])
    made = provenance.encode(as_shown(sep, codes, yaw=20))
    photo = data_url(photos[0].read_bytes(), "image/jpeg")
    tools, (found, unasked, turned) = ask(
        server,
        ("verify", {"file": data_url(made)}),
        ("render", {"photo": photo, "yaw": 20}),
        ("render", {"photo": photo, "yaw": 20, "consent": True}),
    )
    assert {"transfer", "mix", "render", "orbit", "drive", "sliders", "edit", "encode", "verify"} <= set(
        tools
    )
    assert all("consent" in tool.description for tool in tools.values())
    for tool in tools.values():
        described = {name: one.get("description") for name, one in tool.inputSchema["properties"].items()}
        assert all(described.values()), (tool.name, described)
        assert "For example {" in tool.description
    assert not found.isError and "'made_by_facesep': True" in text_of(found)
    assert unasked.isError and "consent is needed" in text_of(unasked).lower()
    picture = next(part for part in turned.content if part.type == "image")
    # Gradio writes the picture anew for the answer: the pixels stay, and with them the watermark.
    assert load_image(base64.b64decode(picture.data)).tobytes() == load_image(made).tobytes()
    sent = photos[0].read_bytes(), made
    assert not [left for left in server.files() if left.read_bytes() in sent and left.name != "facesep.png"]


def test_there_are_no_tools_unless_asked_for(sep, tmp_path, monkeypatch):
    monkeypatch.delenv("GRADIO_MCP_SERVER", raising=False)
    for server in serve(sep, tmp_path):
        assert httpx.get(f"{server.url}gradio_api/mcp/schema", timeout=60).status_code == 404
