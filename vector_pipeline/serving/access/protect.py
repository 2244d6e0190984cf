"""Puts the rules of access around an application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import psycopg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from vector_pipeline.core.store import api_keys
from vector_pipeline.core.store.api_keys import KeysOnFile
from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.access.described import describe_access
from vector_pipeline.serving.access.gate import Gate
from vector_pipeline.serving.access.headers import SecurityHeaders
from vector_pipeline.serving.access.key_ring import KeyRing, Reading
from vector_pipeline.serving.access.limits import BodyLimit, RateLimit, TimeLimit
from vector_pipeline.serving.access.needs import Door, doors
from vector_pipeline.serving.access.settings import AccessSettings
from vector_pipeline.serving.deployment import Deployment

_CALLS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ASKED_WITH = ("Authorization", "X-API-Key", "X-Request-ID", "Mcp-Session-Id", "Mcp-Protocol-Version", "Last-Event-ID")
_ANSWERED_WITH = ("Retry-After", "WWW-Authenticate", "X-Request-ID", "Mcp-Session-Id")

_log = logging.getLogger(__name__)


def protect(app: FastAPI, settings: AccessSettings, read: Reading) -> None:
    """Adds the middleware, when all routes are there. The application must have the dependency `refuse_undeclared`.

    Args:
        read: how API keys are read.
    """
    ways_in = doors(app.routes)
    describe_access(app, ways_in)
    app.add_exception_handler(AccessRefusedError, _refused)
    # What is added last is outermost.
    app.add_middleware(BodyLimit, most_bytes=settings.most_body_bytes)
    app.add_middleware(TimeLimit, seconds=settings.most_seconds)
    if settings.requests_per_minute:
        app.add_middleware(RateLimit, per_minute=settings.requests_per_minute)
    app.add_middleware(Gate, settings=settings, keys=KeyRing(read), is_open=_is_open(ways_in))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=_CALLS,
            allow_headers=_ASKED_WITH,
            expose_headers=_ANSWERED_WITH,
        )
    app.add_middleware(SecurityHeaders)


def reading_keys(deployment: Deployment) -> Reading:
    """How the keys of a deployment are read."""

    def read(used: Mapping[int, datetime]) -> KeysOnFile:
        with deployment.target() as connection:
            found = api_keys.keys_on_file(connection)
            if used:
                try:
                    api_keys.note_use(connection, used)
                except psycopg.Error as error:  # a replica that can only be read
                    _log.info("when keys were used is not noted: %s", error)
        return found

    return read


def _is_open(ways_in: Sequence[Door]) -> Callable[[Scope], bool]:
    """Tells what a request may ask for without being anybody."""
    is_open = [door for door in ways_in if door.is_open]
    routes = {(door.path, method) for door in is_open for method in door.methods if not door.mounted}
    mounts = tuple(f"{door.path}/" for door in is_open if door.mounted)
    return lambda scope: (scope["path"], scope["method"]) in routes or scope["path"].startswith(mounts)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AccessRefusedError)
    return JSONResponse({"detail": str(error)}, error.status, error.headers)
