"""The tools on standard input and output, for a client on this machine that starts the server itself.

Standard output carries the protocol alone: meanwhile what else would be printed there goes to standard error.
"""

from __future__ import annotations

import asyncio

from mcp.server.stdio import stdio_server

from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.mcp.server import build_server


def serve_stdio(deployment: Deployment) -> None:
    """Serves until standard input ends. Whoever started it has all rights. Closes the deployment."""
    try:
        asyncio.run(_serve(deployment))
    finally:
        deployment.close()


async def _serve(deployment: Deployment) -> None:
    server = build_server(deployment)
    async with stdio_server() as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())
