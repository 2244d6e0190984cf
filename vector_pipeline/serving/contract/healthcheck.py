"""GET /healthcheck: whether this service is there, and on request whether all is there that it needs."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.caller import find_caller
from vector_pipeline.serving.access.needs import OPEN
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.health import NEEDED_BY_SEARCH, Look, Server, look_at_servers
from vector_pipeline.serving.responses import INVALID

router = APIRouter(tags=["contract"])

# A look costs the provider a request; whoever looks more often is told what was found.
_LOOKED_AGAIN_SECONDS = 2.0


class ServerHealth(BaseModel):
    """How one server is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "up", "latency_ms": 2.1, "detail": "18.1"}]})

    status: Literal["up", "down"]
    latency_ms: float
    detail: str = Field(description="Its version or name; or which service is unavailable.")


class Health(BaseModel):
    """How the service is: `degraded` where something is down that search can do without."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "healthy"}]})

    status: Literal["healthy", "degraded", "unhealthy"] = "healthy"
    checks: dict[Server, ServerHealth] | None = Field(default=None, description="With `deep=true` only.")


@router.get(
    "/healthcheck",
    dependencies=[Depends(OPEN)],
    operation_id="healthcheck",
    summary="Whether the service answers",
    response_model_exclude_none=True,
    responses=INVALID
    | {503: {"model": Health, "description": "With `deep=true`: something that search needs is down"}},
)
async def healthcheck(
    request: Request,
    response: Response,
    deployment: TheDeployment,
    deep: Annotated[bool, Query(description="Look at MySQL, PostgreSQL, pgvector, the provider and Dagster.")] = False,
) -> Health:
    """Touches nothing without `deep`, so that it answers whatever else is down. `deep` needs the scope `search`; while
    PostgreSQL is down and no key can be looked up, it tells everybody what is up or down, and no more."""
    if not deep:
        return Health()
    try:
        (await find_caller(request.scope)).require(AccessScope.SEARCH)
        caller_is_known = True
    except TargetUnavailableError:
        caller_is_known = False
    looks = await _looks(request, deployment)
    needed = all(looks[name].up for name in NEEDED_BY_SEARCH)
    if not needed:
        response.status_code = 503
    whole = all(look.up for look in looks.values())
    return Health(
        status="healthy" if whole else "degraded" if needed else "unhealthy",
        checks={name: _told(look, caller_is_known) for name, look in looks.items()},
    )


def _told(look: Look, caller_is_known: bool) -> ServerHealth:
    said = "" if look.up and not caller_is_known else look.said
    return ServerHealth(status="up" if look.up else "down", latency_ms=round(1000 * look.seconds, 1), detail=said)


async def _looks(request: Request, deployment: Deployment) -> dict[Server, Look]:
    """One look at a time, which all that ask meanwhile share."""
    state = request.app.state
    if not hasattr(state, "looking"):
        state.looking, state.looked = asyncio.Lock(), (float("-inf"), {})
    async with state.looking:
        looked_at, looks = state.looked
        if time.monotonic() - looked_at > _LOOKED_AGAIN_SECONDS:
            looks = await look_at_servers(deployment)
            state.looked = time.monotonic(), looks
    found: dict[Server, Look] = looks
    return found
