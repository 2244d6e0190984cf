"""The tools over streamable HTTP.

Stateless: each request says all that it needs, so that any of several processes may answer it, and it is checked for
itself who asks. Answers are plain JSON, since no tool sends anything while it works. The SDK's own checks of Host and
Origin are off: the gate in front of all routes makes them, by rules that know of keys and trusted networks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.access.needs import ANYBODY_KNOWN, Guarded
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.mcp.server import REFUSED, build_server

PATH = "/mcp"


class McpOverHttp:
    """An ASGI application with the tools of a deployment. Answers while `running`, which can be entered once."""

    def __init__(self, deployment: Deployment) -> None:
        self._manager = StreamableHTTPSessionManager(
            build_server(deployment),
            json_response=True,
            stateless=True,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    @property
    def route(self) -> Route:
        """Where it is. A stateless server has nothing to stream to a GET and no session to DELETE: 405, as the protocol
        has it."""
        return Route(PATH, Guarded(self, ANYBODY_KNOWN), methods=["POST"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within it requests are answered."""
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; with the status of access refused where a tool has refused it, as other routes do."""

        async def with_status(message: Message) -> None:
            refused = scope.get("state", {}).get(REFUSED)
            if message["type"] == "http.response.start" and isinstance(refused, AccessRefusedError):
                message["status"] = refused.status
                MutableHeaders(scope=message).update(refused.headers)
            await send(message)

        await self._manager.handle_request(scope, receive, with_status)
