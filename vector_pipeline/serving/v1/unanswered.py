"""GET /v1/indexes/{index}/unanswered: what was looked for in vain."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.store.unanswered_queries import UnansweredQuery, list_unanswered
from vector_pipeline.serving.access.needs import AdminCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import examples
from vector_pipeline.serving.v1.parameters import IndexPath, Limit

router = APIRouter(prefix="/v1", tags=["status"], responses=OF_AN_INDEX)


class Unanswered(BaseModel):
    """A query that found nothing."""

    model_config = ConfigDict(from_attributes=True)

    query: str = Field(description="As it was last written; spellings that differ by case and space alone are one.")
    times: int
    threshold: float | None = Field(description="The lowest that nothing scored above; null by words alone.")
    filtered: bool = Field(description="It was never asked without a filter.")
    first_asked_at: datetime
    last_asked_at: datetime


class UnansweredList(BaseModel):
    """Queries that found nothing, those asked most often first."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.UNANSWERED_LIST))

    index: str
    kept_days: int = Field(description="How long each is kept after it was last asked; 0 where none are kept.")
    queries: list[Unanswered]


@router.get("/indexes/{index}/unanswered", operation_id="unanswered_queries", summary="What was looked for in vain")
async def unanswered_queries(
    index: IndexPath,
    deployment: TheDeployment,
    _: AdminCaller,
    limit: Limit = 50,
) -> UnansweredList:
    """Lists queries that found nothing. They are kept where VECTOR_PIPELINE_UNANSWERED_DAYS says for how long."""
    found = await run_blocking("rest", lambda: _found(deployment, index, limit))
    return UnansweredList(
        index=index,
        kept_days=deployment.serving.unanswered_days,
        queries=[Unanswered.model_validate(query) for query in found],
    )


def _found(deployment: Deployment, index: str, limit: int) -> list[UnansweredQuery]:
    name = deployment.declaration(index).spec.name
    deployment.unanswered.flush()
    with deployment.target() as connection:
        return list_unanswered(connection, name, limit)
