"""What a route needs of its caller. Each declares it, or nobody gets in.

A route of FastAPI declares it by a dependency, of its own or of the `APIRouter` that it is made with:

    @router.post("/search")
    async def search(body: SearchBody, caller: Annotated[Caller, Depends(Needs(AccessScope.SEARCH))]) -> …

    router = APIRouter(dependencies=[Depends(Needs(AccessScope.ADMIN))])

An application that is mounted declares it by being wrapped: `Mount("/mcp", Guarded(mcp, ANYBODY_KNOWN))`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.answers import refuse
from vector_pipeline.serving.access.caller import AccessRefusedError, Caller, find_caller

INDEX_PARAMETER = "index"
"""Where a path has a parameter of that name, the caller's key must be for that index."""


@dataclass(frozen=True)
class Needs:
    """A dependency of FastAPI: gives the caller, who has the scope; any known caller will do where it is None."""

    scope: AccessScope | None = None

    async def __call__(self, request: Request) -> Caller:
        caller = await find_caller(request.scope)
        if self.scope is not None:
            caller.require(self.scope, request.path_params.get(INDEX_PARAMETER))
        return caller


@dataclass(frozen=True)
class OpenToAll:
    """A dependency of FastAPI: nobody is asked who they are. What does need it within asks `find_caller`."""

    async def __call__(self) -> None:
        return None


ANYBODY_KNOWN = Needs()
OPEN = OpenToAll()

AnyCaller = Annotated[Caller, Depends(ANYBODY_KNOWN)]
SearchCaller = Annotated[Caller, Depends(Needs(AccessScope.SEARCH))]
SyncCaller = Annotated[Caller, Depends(Needs(AccessScope.SYNC))]
MetricsCaller = Annotated[Caller, Depends(Needs(AccessScope.METRICS))]
AdminCaller = Annotated[Caller, Depends(Needs(AccessScope.ADMIN))]


class Guarded:
    """An ASGI application that needs something of its callers, or is open to all."""

    def __init__(self, app: ASGIApp, declared: Needs | OpenToAll) -> None:
        self.app = app
        self.declared = declared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and isinstance(self.declared, Needs):
            try:
                await self.declared(Request(scope))
            except AccessRefusedError as refused:
                await refuse(scope, receive, send, refused.status, str(refused), refused.headers)
                return
        await self.app(scope, receive, send)


async def refuse_undeclared(request: Request) -> None:
    """A dependency of the whole application, so that a route that declares nothing serves nobody."""
    route = request.scope.get("route")
    if not _declared_by(getattr(route, "dependant", None)):
        raise AccessRefusedError(403, "this route does not declare what it needs of its callers: it serves nobody")


@dataclass(frozen=True)
class Door:
    """A way into the application. `methods` is empty where it takes all; what is `mounted` takes all paths below its
    own."""

    path: str
    methods: frozenset[str]
    declared: tuple[Needs | OpenToAll, ...]
    mounted: bool

    @property
    def is_open(self) -> bool:
        return bool(self.declared) and all(isinstance(one, OpenToAll) for one in self.declared)


def doors(routes: Sequence[BaseRoute]) -> list[Door]:
    """All ways in, those of included routers too.

    Raises:
        RuntimeError: for one that declares nothing, `refuse_undeclared` can't stand in, since it isn't FastAPI's.
    """
    found = []
    for route in iter_route_contexts(routes):
        mounted = isinstance(route.original_route, Mount)
        path = (route.path if mounted else route.path_format) or ""
        application = getattr(route.original_route, "app", None)
        if isinstance(application, Guarded):
            declared: tuple[Needs | OpenToAll, ...] = (application.declared,)
        elif isinstance(route.original_route, APIRoute):
            declared = _declared_by(route.dependant)
        else:
            raise RuntimeError(f"{path} does not declare what it needs of its callers: wrap it in `Guarded`")
        found.append(Door(path, frozenset(route.methods or ()), declared, mounted))
    return found


def _declared_by(dependant: Dependant | None) -> tuple[Needs | OpenToAll, ...]:
    return tuple(_walk(dependant)) if dependant is not None else ()


def _walk(dependant: Dependant) -> Iterator[Needs | OpenToAll]:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Needs | OpenToAll):
            yield inner.call
        yield from _walk(inner)
