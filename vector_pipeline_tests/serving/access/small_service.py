"""An application with a route of each kind, under the rules of access, and requests to it from any address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vector_pipeline.core.store.api_keys import AccessScope, ApiKey, KeysOnFile, digest_of
from vector_pipeline.serving.access.caller import find_caller
from vector_pipeline.serving.access.needs import (
    ANYBODY_KNOWN,
    OPEN,
    AdminCaller,
    Guarded,
    Needs,
    SearchCaller,
    refuse_undeclared,
)
from vector_pipeline.serving.access.protect import protect
from vector_pipeline.serving.access.settings import AccessSettings

SEARCH_KEY, SYNC_KEY, ADMIN_KEY, FAQ_KEY = "for-search", "for-sync", "for-all", "for-search-on-faq"
NEVER_MADE = KeysOnFile({}, ever_made=False)


def key(number: int, *scopes: AccessScope, indexes: tuple[str, ...] | None = None) -> ApiKey:
    return ApiKey(number, f"number{number}", "vp_", scopes, indexes, datetime.now(UTC))


KEYS = KeysOnFile(
    {
        digest_of(SEARCH_KEY): key(1, AccessScope.SEARCH),
        digest_of(SYNC_KEY): key(2, AccessScope.SYNC),
        digest_of(ADMIN_KEY): key(3, AccessScope.ADMIN),
        digest_of(FAQ_KEY): key(4, AccessScope.SEARCH, indexes=("faq",)),
    },
    ever_made=True,
)


def small_service(
    settings: AccessSettings | None = None,
    keys: KeysOnFile = NEVER_MADE,
    routes: Callable[[FastAPI], object] = lambda _: None,
) -> FastAPI:
    """`routes` adds further ones."""
    app = FastAPI(dependencies=[Depends(refuse_undeclared)], openapi_url=None)
    router = APIRouter(prefix="/indexes", dependencies=[Depends(Needs(AccessScope.SEARCH))])

    @app.get("/open", dependencies=[Depends(OPEN)])
    async def is_open(request: Request, who: bool = False) -> str:
        return (await find_caller(request.scope)).name if who else "open"

    @app.get("/who")
    async def who(caller: SearchCaller) -> str:
        return caller.name

    @app.post("/echo")
    async def echo(request: Request, _: SearchCaller) -> int:
        return len(await request.body())

    @app.get("/admin")
    async def admin(_: AdminCaller) -> str:
        return "admin"

    @app.get("/undeclared")
    async def undeclared() -> str:
        return "nobody gets here"

    @router.get("/{index}")
    async def of_an_index(index: str) -> str:
        return index

    app.include_router(router)
    app.mount("/mounted", Guarded(_whoever, ANYBODY_KNOWN))
    app.mount("/page", Guarded(_whoever, OPEN))
    routes(app)
    protect(app, settings or AccessSettings(), lambda _: keys)
    return app


async def _whoever(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mounted"})


def ask(
    app: ASGIApp,
    path: str,
    headers: Mapping[str, Any] | None = None,
    *,
    method: str = "GET",
    address: str = "127.0.0.1",
    host: str = "localhost",
    content: Any = None,
) -> httpx.Response:
    """The answer to a request from an address."""

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 50000))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(answer())
