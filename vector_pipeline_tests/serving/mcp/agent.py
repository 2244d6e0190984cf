"""An agent: the SDK's own client, over HTTP or with a server that it starts itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent, Tool


@dataclass(frozen=True)
class Agent:
    """A connected client."""

    client: Client
    portal: BlockingPortal

    def tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.portal.call(self.client.list_tools).tools}

    def ask(self, tool: str, **arguments: Any) -> CallToolResult:
        return self.portal.call(self.client.call_tool, tool, arguments)

    def use(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What the tool answers, once it has answered with success, alike as text and as structured content."""
        result = self.ask(tool, **arguments)
        assert not result.is_error, result.content
        told: dict[str, Any] = result.structured_content
        assert told["success"] is True
        assert text_of(result) == told
        return told

    def fail(self, tool: str, **arguments: Any) -> str:
        """The error that the tool answers with."""
        result = self.ask(tool, **arguments)
        assert result.is_error, result.content
        told: dict[str, Any] = result.structured_content
        assert told.keys() == {"success", "error"}
        assert told["success"] is False
        assert text_of(result) == told
        return str(told["error"])


def text_of(result: CallToolResult) -> Any:
    [block] = result.content
    assert isinstance(block, TextContent)
    return json.loads(block.text)


def post(client: httpx.Client, key: str | None, method: str, params: dict[str, Any]) -> httpx.Response:
    """A message of the protocol as such, for what the SDK's client would not send, or hides."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": "2025-06-18",
    }
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    return client.post("/mcp", headers=headers, content=message)


@contextmanager
def agent_over_http(url: str, key: str | None = None, mode: str = "auto") -> Iterator[Agent]:
    """`mode` "legacy" begins with the handshake that protocols before 2026-07-28 have."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with start_blocking_portal() as portal:
        http = portal.wrap_async_context_manager(httpx2.AsyncClient(headers=headers, timeout=60))
        with http as given:
            client = Client(streamable_http_client(f"{url}/mcp", http_client=given), mode=mode)
            with portal.wrap_async_context_manager(client) as connected:
                yield Agent(connected, portal)


@contextmanager
def agent_over_stdio(environment: Mapping[str, str], folder: Path) -> Iterator[Agent]:
    """Starts `vector-pipeline mcp` with these variables, in a folder."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "vector_pipeline.cli", "mcp"],
        env={"PYTHONPATH": os.environ.get("PYTHONPATH", str(Path.cwd())), **environment},
        cwd=folder,
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(server)) as connected,
    ):
        yield Agent(connected, portal)
