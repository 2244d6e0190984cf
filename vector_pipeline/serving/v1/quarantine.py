"""/v1/indexes/{index}/quarantine: the texts that a provider refuses, and what is to become of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import QuarantineEntry
from vector_pipeline.serving.access.needs import SyncCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import index_models as models
from vector_pipeline.serving.v1.parameters import IndexPath, Limit

router = APIRouter(prefix="/v1/indexes/{index}/quarantine", tags=["quarantine"], responses=OF_AN_INDEX)


@router.get("", operation_id="list_quarantine", summary="List the quarantine")
async def list_quarantine(
    index: IndexPath,
    deployment: TheDeployment,
    _: SyncCaller,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1, description="How many to pass over.")] = 0,
) -> models.Quarantine:
    """The texts without an honest vector, each with the provider's words."""

    def listed() -> list[QuarantineEntry]:
        with deployment.opened(index) as opened:
            return opened.quarantine(limit=limit + 1, offset=offset)

    found = await run_blocking("rest", listed)
    return models.Quarantine(
        index=index,
        entries=[models.QuarantineEntry.model_validate(entry) for entry in found[:limit]],
        next_offset=offset + limit if len(found) > limit else None,
    )


@router.post("/retry", operation_id="retry_quarantined", summary="Try refused texts again")
async def retry(
    index: IndexPath, body: models.RetryBody, deployment: TheDeployment, _: SyncCaller
) -> models.ChangedTexts:
    """Lets the next sync try the texts of these rows again, or all but the ignored ones."""
    return await _changed(deployment, index, lambda opened: opened.retry_quarantine(body.keys))


@router.post("/ignore", operation_id="ignore_quarantined", summary="Leave refused texts alone")
async def ignore(
    index: IndexPath, body: models.RowsBody, deployment: TheDeployment, _: SyncCaller
) -> models.ChangedTexts:
    """The texts of these rows are not tried again until they change."""
    return await _changed(deployment, index, lambda opened: opened.ignore_quarantined(body.keys))


@router.post("/unignore", operation_id="unignore_quarantined", summary="Take up ignored texts again")
async def unignore(
    index: IndexPath, body: models.RowsBody, deployment: TheDeployment, _: SyncCaller
) -> models.ChangedTexts:
    """Lets the next sync try the ignored texts of these rows again."""
    return await _changed(deployment, index, lambda opened: opened.unignore_quarantined(body.keys))


async def _changed(deployment: Deployment, index: str, change: Callable[[VectorIndex], int]) -> models.ChangedTexts:
    def changed() -> int:
        with deployment.opened(index) as opened:
            return change(opened)

    return models.ChangedTexts(index=index, texts=await run_blocking("rest", changed))
