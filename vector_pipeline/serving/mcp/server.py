"""The MCP server: lists the tools and calls them. What carries its messages is in `http` and `stdio`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from starlette.requests import Request

from vector_pipeline.serving.access.caller import THIS_MACHINE, AccessRefusedError, Caller, find_caller
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.errors import new_reference, reference_of
from vector_pipeline.serving.mcp.asked import Asked
from vector_pipeline.serving.mcp.failures import told
from vector_pipeline.serving.mcp.size import fitted
from vector_pipeline.serving.mcp.tool import Tool
from vector_pipeline.serving.mcp.tools import TOOLS
from vector_pipeline.serving.threads import run_blocking

REFUSED = "mcp_refused"
"""Where the state of an HTTP request holds the error of a caller who may not do what they asked for."""

_INSTRUCTIONS = """\
Searches indexes over MySQL tables, by meaning and by words, and manages these indexes.
Begin with embed_list_indexes to see which tables can be searched, or with catalog_search to find a table. \
search_hybrid is the best choice for most questions, search_text for exact words such as numbers and names, \
embed_search for nearness of meaning alone. get_documents and fetch_from_source read whole rows by their primary keys.\
"""

_Context = ServerRequestContext[Any, Any]


def build_server(deployment: Deployment, tools: Mapping[str, Tool[Any]] = TOOLS) -> Server[Any]:
    """The server over a deployment, which stays the caller's.

    Messages that come over HTTP are those of the request's caller, others those of a local user, who has all rights.
    """

    async def list_tools(context: _Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        caller = await _caller(context)
        return ListToolsResult(tools=[tool.listed for tool in tools.values() if caller.may(tool.scope)])

    async def call_tool(context: _Context, asked: CallToolRequestParams) -> CallToolResult:
        tool = tools.get(asked.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {asked.name[:80]!r}")
        try:
            return await _answered(tool, await _caller(context), deployment, asked.arguments or {})
        except AccessRefusedError as refused:
            if not isinstance(context.request, Request):
                return _failure(str(refused))
            setattr(context.request.state, REFUSED, refused)
            raise MCPError(INVALID_REQUEST, str(refused), _failed(str(refused))) from None
        except Exception as error:
            return _failure(told(error, tool, _reference(context)))

    return Server(
        "vector-pipeline",
        version=version("vector-pipeline"),
        title="vector-pipeline",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _answered(tool: Tool[Any], caller: Caller, deployment: Deployment, given: dict[str, Any]) -> CallToolResult:
    asked = Asked.by(caller, deployment, tool.scope)
    arguments = tool.read(given)
    answer = await run_blocking(tool.kind, partial(tool.run, asked, arguments), tool.seconds)
    _, text = fitted(answer)
    return CallToolResult(content=[TextContent(text=text)], structured_content=json.loads(text))


async def _caller(context: _Context) -> Caller:
    request = context.request
    return await find_caller(request.scope) if isinstance(request, Request) else THIS_MACHINE


def _reference(context: _Context) -> str:
    return reference_of(context.request) if isinstance(context.request, Request) else new_reference()


def _failure(problem: str) -> CallToolResult:
    failed = _failed(problem)
    return CallToolResult(
        content=[TextContent(text=json.dumps(failed, ensure_ascii=False))], structured_content=failed, is_error=True
    )


def _failed(problem: str) -> dict[str, object]:
    return {"success": False, "error": problem}
