"""Gives each request its id, and tells of it when it has been answered: in the log, in the metrics, in a trace.

Outermost of all middleware, so that it sees every answer, also those of the gate and of errors nobody expected.
"""

from __future__ import annotations

import logging
import time
from contextlib import AsyncExitStack

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vector_pipeline.serving.access.caller import caller_if_known
from vector_pipeline.serving.observing import request as observed
from vector_pipeline.serving.observing.metrics import note_request, request_under_way
from vector_pipeline.serving.observing.request import ObservedRequest
from vector_pipeline.serving.observing.routes import RouteOf
from vector_pipeline.serving.observing.tracing import request_span

HEADER = "X-Request-ID"
# Asked every few seconds by machines.
_QUIET = frozenset({"/healthcheck", "/metrics"})
_NO_ANSWER = 500

_log = logging.getLogger("vector_pipeline.serving.requests")


class Watching:
    """ASGI middleware.

    Args:
        log_queries: the line of a search tells its words.
    """

    def __init__(self, app: ASGIApp, route_of: RouteOf, log_queries: bool) -> None:
        self.app = app
        self._route_of = route_of
        self._log_queries = log_queries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, started, status = Headers(scope=scope), time.perf_counter(), _NO_ANSWER
        request, token = observed.begin(headers.get(HEADER))
        scope.setdefault("state", {})["request_id"] = request.request_id

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request.request_id
            await send(message)

        async with AsyncExitStack() as ending:
            ending.callback(observed.end, token)
            ending.enter_context(request_under_way())
            span = ending.enter_context(request_span(headers))
            try:
                await self.app(scope, receive, with_id)
            finally:
                seconds = time.perf_counter() - started
                route, index = self._route_of(scope["path"])
                note_request(scope["method"], route, status, seconds)
                span.finish(scope["method"], route, status, request.request_id)
                self._tell(scope, request, route, index, status, seconds)

    def _tell(
        self, scope: Scope, request: ObservedRequest, route: str, index: str | None, status: int, seconds: float
    ) -> None:
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        if not _log.isEnabledFor(level):
            return
        caller = caller_if_known(scope)
        facts: dict[str, object] = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "caller": caller.name if caller is not None else None,
            "index": ",".join(request.indexes) or index,
        }
        if self._log_queries and request.queries:
            facts["query"] = request.queries[0] if len(request.queries) == 1 else request.queries
        told = [scope["method"], route, str(status), f"{facts['milliseconds']} ms"]
        told += [f"{name}={facts[name]!r}" for name in ("caller", "index", "query") if facts.get(name)]
        _log.log(level, "%s", " ".join(told), extra=facts)
