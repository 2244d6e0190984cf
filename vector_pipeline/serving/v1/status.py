"""GET /v1/indexes/{index}/status, …/generations and …/cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from vector_pipeline.core.reports import Estimate, GenerationsReport, IndexStatus
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import index_models as models
from vector_pipeline.serving.v1.parameters import IndexPath

router = APIRouter(prefix="/v1", tags=["status"], responses=OF_AN_INDEX)


@router.get("/indexes/{index}/status", operation_id="index_status", summary="How an index stands")
async def index_status(index: IndexPath, deployment: TheDeployment, _: SearchCaller) -> models.Status:
    """Ranges, rows, lag, coverage and quarantine, by what PostgreSQL knows: MySQL is not asked. All is zero before the
    first sync."""
    return models.Status.model_validate(await run_blocking("rest", lambda: _status(deployment, index)))


@router.get("/indexes/{index}/generations", operation_id="index_generations", summary="The generations of an index")
async def index_generations(index: IndexPath, deployment: TheDeployment, _: SearchCaller) -> models.Generations:
    """What is served, what is being built to be served next, and what is kept to go back to."""

    def reported() -> GenerationsReport:
        with deployment.opened(index) as opened:
            return opened.generations()

    return models.Generations.model_validate(await run_blocking("rest", reported))


@router.get("/indexes/{index}/cost", operation_id="index_cost", summary="What an index costs")
async def index_cost(
    index: IndexPath,
    deployment: TheDeployment,
    caller: SearchCaller,
    estimate: Annotated[
        bool,
        Query(description="Estimate what is missing too: reads a share of MySQL's rows, and needs the scope `sync`."),
    ] = False,
) -> models.Cost:
    """What embedding has cost today and in all, how the day's budget stands, and what is still to come."""
    if estimate:
        caller.require(AccessScope.SYNC, index)
    status = await run_blocking("rest", lambda: _status(deployment, index))
    found = await run_blocking("source", lambda: _estimate(deployment, index)) if estimate else None
    return models.Cost(
        index=index,
        today=models.Spent.model_validate(status.spent_today),
        total=models.Spent.model_validate(status.spent),
        budget=None if status.budget is None else models.Budget.model_validate(status.budget),
        estimate=None if found is None else models.Estimate.model_validate(found),
    )


def _status(deployment: Deployment, index: str) -> IndexStatus:
    with deployment.opened(index) as opened:
        return opened.status()


def _estimate(deployment: Deployment, index: str) -> Estimate:
    with deployment.opened(index) as opened:
        return opened.estimate()
