"""What is answered before any route is reached."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> None:
    """An answer in the form of all other errors."""
    await JSONResponse({"detail": detail}, status, dict(headers or {}))(scope, receive, send)
