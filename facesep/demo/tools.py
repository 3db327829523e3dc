"""The endpoints as MCP tools, where ``GRADIO_MCP_SERVER`` or ``mcp_server=True`` asks for them."""

from __future__ import annotations

from typing import Any

from gradio.mcp import GradioMCPServer

_one_result = GradioMCPServer._execute_tool_without_progress


async def _every_result(server: GradioMCPServer, job: Any) -> list[Any]:
    results = await _one_result(server, job)
    # gradio takes the outputs of an endpoint that has several for a single one, and a picture in it for text.
    several = len(results) == 1 and isinstance(results[0], tuple)
    return list(results[0]) if several else results


def every_output() -> None:
    """Makes a tool answer with all its outputs: a picture as a picture, its warnings after it."""
    GradioMCPServer._execute_tool_without_progress = _every_result
