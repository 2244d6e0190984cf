"""The ASGI application, put together: routes, errors, and the end of what it holds open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from vector_pipeline.serving import openapi_document, v1
from vector_pipeline.serving.access.needs import refuse_undeclared
from vector_pipeline.serving.access.protect import protect, reading_keys
from vector_pipeline.serving.contract import documents, healthcheck, search, sync
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.errors import add_error_handlers
from vector_pipeline.serving.mcp.http import McpOverHttp
from vector_pipeline.serving.observing import route as metrics
from vector_pipeline.serving.observing.indexes import IndexFigures
from vector_pipeline.serving.observing.routes import route_of
from vector_pipeline.serving.observing.tracing import send_last_spans
from vector_pipeline.serving.observing.watching import Watching
from vector_pipeline.serving.page import files as page
from vector_pipeline.serving.threads import TookTooLongError, run_blocking

# A collector that is away keeps no process from ending, which others wait for.
_SECONDS_FOR_SPANS = 5.0


def create_app(deployment: Deployment) -> FastAPI:
    """The application over a deployment, which it closes at its end."""

    tools = McpOverHttp(deployment)
    figures = IndexFigures(deployment)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with tools.running():
            yield
        figures.close()
        await run_blocking("rest", deployment.close)
        with suppress(TookTooLongError):
            await run_blocking("rest", send_last_spans, _SECONDS_FOR_SPANS)

    app = _Service(
        title="vector-pipeline",
        summary="Searches vector indexes in PostgreSQL that are kept true to tables in MySQL.",
        version=version("vector-pipeline"),
        lifespan=life,
        dependencies=[Depends(refuse_undeclared)],
        # Its own routes would not ask for a key, and its pages load scripts from elsewhere.
        openapi_url=None,
    )
    app.state.deployment = deployment
    app.state.index_figures = figures
    add_error_handlers(app)
    app.include_router(healthcheck.router)
    app.include_router(documents.router)
    app.include_router(sync.router)
    app.include_router(search.router)
    for router in v1.ROUTERS:
        app.include_router(router)
    app.include_router(metrics.router)
    app.include_router(openapi_document.router)
    app.include_router(page.router)
    app.router.routes.extend((tools.route, page.files))
    protect(app, deployment.serving.access, reading_keys(deployment))
    return app


class _Service(FastAPI):
    """Watched from outside of all middleware, and of what answers errors that nobody expected."""

    def openapi(self) -> dict[str, Any]:
        return openapi_document.with_nulls(super().openapi(), self.routes)

    def build_middleware_stack(self) -> ASGIApp:
        deployment: Deployment = self.state.deployment
        whole = super().build_middleware_stack()
        return Watching(whole, route_of(self.routes), deployment.serving.observing.log_queries)
