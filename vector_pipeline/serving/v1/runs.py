"""Runs of Dagster's: those that there are, and those that a request starts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.access.needs import SyncCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.launching import Kind
from vector_pipeline.serving.responses import INVALID, NOT_FOUND, OF_AN_INDEX, UNAVAILABLE, Responses
from vector_pipeline.serving.starting import start_run
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import examples
from vector_pipeline.serving.v1 import run_models as models
from vector_pipeline.serving.v1.parameters import LONGEST_NAME, IndexPath, Limit
from vector_pipeline.serving.waiting import LONGEST_SECONDS

router = APIRouter(prefix="/v1", tags=["runs"])

_STARTED: Responses = {202: {"model": models.StartedRun, "description": "It has not finished within `wait`"}}

Wait = Annotated[
    float,
    Query(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False, description="Seconds to wait for its end, at most."),
]
_RUN_ID = r"^[0-9A-Za-z_-]{1,100}$"


@router.post(
    "/indexes/{index}/sync",
    operation_id="sync_index",
    summary="Bring an index up to date",
    responses=OF_AN_INDEX | _STARTED,
)
async def sync_index(
    index: IndexPath, request: Request, response: Response, deployment: TheDeployment, _: SyncCaller, wait: Wait = 0
) -> models.StartedRun:
    """Starts a run that compares all of it with its table and syncs what differs. Two calls at once give one run."""
    return await _start("sync", index, request, response, deployment, wait)


@router.post(
    "/indexes/{index}/reindex",
    operation_id="reindex",
    summary="Read an index's table again",
    responses=OF_AN_INDEX | _STARTED,
)
async def reindex(
    index: IndexPath, request: Request, response: Response, deployment: TheDeployment, _: SyncCaller, wait: Wait = 0
) -> models.StartedRun:
    """Starts a run that holds every document, text and vector against the table, and makes anew what differs. Texts
    that have a sound vector are not paid again."""
    return await _start("reindex", index, request, response, deployment, wait)


@router.get("/runs", operation_id="list_runs", summary="List runs", responses=INVALID | NOT_FOUND | UNAVAILABLE)
async def list_runs(
    deployment: TheDeployment,
    caller: SyncCaller,
    index: Annotated[
        str | None,
        Query(
            min_length=1, max_length=LONGEST_NAME, description="Only those of this index.", examples=[examples.INDEX]
        ),
    ] = None,
    limit: Limit = 20,
    before: Annotated[
        str | None,
        Query(pattern=_RUN_ID, description="A run's id: only those older than it.", examples=[examples.RUN_ID]),
    ] = None,
) -> models.RunList:
    """The latest runs, newest first, whoever has started them. A key for some indexes has to name one."""
    if index is None and caller.only is not None:
        raise AccessRefusedError(403, f"{caller.name} is not for all indexes: name one by `index`")
    caller.require(AccessScope.SYNC, index)
    if index is not None:
        await run_blocking("rest", lambda: deployment.declaration(index))
    found = await run_blocking("dagster", lambda: deployment.dagster.runs(index, limit + 1, before))
    page = found[:limit]
    return models.RunList(
        runs=[models.Run.of(run) for run in page], next_before=page[-1].id if len(found) > limit else None
    )


@router.get(
    "/runs/{run_id}",
    operation_id="read_run",
    summary="A run, and what it has told",
    responses=INVALID | NOT_FOUND | UNAVAILABLE,
)
async def read_run(
    run_id: Annotated[str, Path(pattern=_RUN_ID, description="The run's id.", examples=[examples.RUN_ID])],
    deployment: TheDeployment,
    caller: SyncCaller,
) -> models.RunDetails:
    """How it stands, its numbers, and why it failed, if it did."""
    run = await run_blocking("dagster", lambda: deployment.dagster.run(run_id))
    if caller.only is not None and run.index not in caller.only:
        raise AccessRefusedError(403, f"{caller.name} is not for the index of this run")
    result = await run_blocking("dagster", lambda: deployment.dagster.result(run_id))
    return models.RunDetails(run=models.Run.of(run), metadata=result.metadata, failure=result.failure)


async def _start(
    kind: Kind, index: str, request: Request, response: Response, deployment: TheDeployment, wait: float
) -> models.StartedRun:
    started = await start_run(request, deployment, index, kind, wait)
    if started.outcome is None:
        response.status_code = 202
    return models.StartedRun.of(started.run, started.joined, started.outcome)
