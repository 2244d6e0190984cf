"""GET /v1/indexes and /v1/indexes/{index}: what can be searched, and by what."""

from __future__ import annotations

from fastapi import APIRouter

from vector_pipeline.core.errors import NotYetSyncedError
from vector_pipeline.core.reports import IndexDescription
from vector_pipeline.declarations import Declaration
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX, UNAVAILABLE
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import index_models as models
from vector_pipeline.serving.v1.parameters import IndexPath

router = APIRouter(prefix="/v1", tags=["indexes"])


@router.get("/indexes", operation_id="list_indexes", summary="List the indexes", responses=UNAVAILABLE)
async def list_indexes(deployment: TheDeployment, caller: SearchCaller) -> models.IndexList:
    """Tells of each index that the caller may search what it is made of, and what is served of it."""

    def listed() -> list[models.IndexSummary]:
        by_name = {one.spec.name: one for one in reversed(deployment.declarations())}
        return [_summary(deployment, by_name[name]) for name in caller.indexes(sorted(by_name))]

    return models.IndexList(indexes=await run_blocking("rest", listed))


@router.get("/indexes/{index}", operation_id="describe_index", summary="Describe an index", responses=OF_AN_INDEX)
async def describe_index(index: IndexPath, deployment: TheDeployment, _: SearchCaller) -> models.IndexSummary:
    """Tells what it is made of, by which fields it is searched, and what its filters take."""
    return await run_blocking("rest", lambda: _summary(deployment, deployment.declaration(index)))


def _summary(deployment: Deployment, declaration: Declaration) -> models.IndexSummary:
    spec = declaration.spec
    source, search = spec.source, spec.search
    served = None if declaration.problems else _served(deployment, spec.name)
    return models.IndexSummary(
        index=spec.name,
        source=models.Source(
            database=source.database or deployment.settings.source.database,
            table=source.table,
            primary_key=list(source.key_columns),
            is_catalog=source.catalog is not None,
        ),
        origin=declaration.origin,
        at_run_time=declaration.at_run_time,
        problems=[models.WrongDeclaration.model_validate(problem) for problem in declaration.problems],
        defaults=models.Defaults(
            mode=search.mode,
            limit=search.limit,
            threshold=deployment.settings.similarity_threshold if search.threshold is None else search.threshold,
            reranks=search.rerank is not None,
        ),
        served=None if served is None else models.Served.model_validate(served),
    )


def _served(deployment: Deployment, name: str) -> IndexDescription | None:
    try:
        with deployment.opened(name) as opened:
            return opened.describe()
    except NotYetSyncedError:
        return None
