"""POST /documents/sync-embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.needs import SyncCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.responses import INVALID
from vector_pipeline.serving.starting import start_run
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.waiting import LONGEST_SECONDS

router = APIRouter(tags=["contract"])

NOTHING_NEW = "No new rows to sync."
STARTED = "The sync goes on; see its run."
FAILED = "The sync has failed; see its run."
# A first load takes longer; who asks for one is told so, and where it is to be seen.
_USUAL_SECONDS = 600.0

_RUN: JsonDict = {
    "run_id": "0f5a3c9e-7d1b-4c8e-9a52-1f6f2f0b7c11",
    "run_url": "http://127.0.0.1:3000/runs/0f5a3c9e-7d1b-4c8e-9a52-1f6f2f0b7c11",
}


class Synced(BaseModel):
    """What a sync has done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "success", "synced": 12, **_RUN},
                {"status": "success", "synced": 0, **_RUN, "message": NOTHING_NEW},
            ]
        }
    )

    status: Literal["success"] = "success"
    synced: int = Field(description="Documents that were written.")
    run_id: str
    run_url: str
    message: str | None = Field(default=None, description="Where there was nothing to do.")


class Syncing(BaseModel):
    """A sync that goes on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "started", **_RUN, "message": STARTED}]})

    status: Literal["started"] = "started"
    run_id: str
    run_url: str
    message: str = STARTED


class SyncFailed(BaseModel):
    """A sync that has failed, or that can't be started; then without a run, but with a reference."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"detail": FAILED, **_RUN},
                {"detail": "Dagster service unavailable", "reference": "8c1d20f3a9b4"},
            ]
        }
    )

    detail: str
    run_id: str | None = None
    run_url: str | None = None
    reference: str | None = Field(default=None, description="The log tells the rest under it.")


@router.post(
    "/documents/sync-embeddings",
    operation_id="sync_embeddings",
    summary="Bring the index up to date",
    response_model=Synced,
    response_model_exclude_none=True,
    responses=INVALID
    | {
        202: {"model": Syncing, "description": "It has not finished within `wait`"},
        503: {"model": SyncFailed, "description": "It has failed, or a service that is needed is down"},
    },
)
async def sync_embeddings(
    request: Request,
    deployment: TheDeployment,
    caller: SyncCaller,
    wait: Annotated[
        float,
        Query(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False, description="Seconds to wait for its end, at most."),
    ] = _USUAL_SECONDS,
) -> Synced | Response:
    """Starts a run that syncs what differs from MySQL, and waits for its end. Two calls at once give one run."""
    index = (await run_blocking("rest", deployment.contract_index)).spec.name
    caller.require(AccessScope.SYNC, index)
    started = await start_run(request, deployment, index, "sync", wait)
    run, outcome = started.run, started.outcome
    if outcome is None:
        return JSONResponse(Syncing(run_id=run.id, run_url=run.url).model_dump(), 202)
    if not run.succeeded:
        failed = SyncFailed(detail=FAILED, run_id=run.id, run_url=run.url)
        return JSONResponse(failed.model_dump(exclude_none=True), 503)
    nothing = outcome.documents_written == 0 and outcome.deleted == 0
    return Synced(
        synced=outcome.documents_written,
        run_id=run.id,
        run_url=run.url,
        message=NOTHING_NEW if nothing else None,
    )
