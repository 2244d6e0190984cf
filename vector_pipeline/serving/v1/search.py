"""POST /v1/search, /v1/search/batch and /v1/indexes/{index}/similar."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fastapi import APIRouter

from vector_pipeline.core.errors import SearchRequestError, VectorPipelineError
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.request import SearchRequest, SimilarRequest
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.declarations import Declaration, over_rows
from vector_pipeline.serving.access.caller import Caller
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment, SearchWatch
from vector_pipeline.serving.errors import told
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import found
from vector_pipeline.serving.v1 import search_models as models
from vector_pipeline.serving.v1.parameters import IndexPath

router = APIRouter(prefix="/v1", tags=["search"], responses=OF_AN_INDEX)


@router.post("/search", operation_id="search_indexes", summary="Search in one index, in several, or in all")
async def search(body: models.SearchBody, deployment: TheDeployment, caller: SearchCaller) -> models.SearchAnswer:
    """Finds the documents that fit best, by vectors, words, or both.

    Of several indexes the hits come as one list. An index that can't answer then is among `failures`, and the others
    answer without it.
    """
    kind = deployment.kind_of(body.index, body.mode, body.query)
    return await run_blocking(kind, lambda: _search(deployment, body, caller))


@router.post("/search/batch", operation_id="search_batch", summary="Search for several things at once")
async def search_batch(body: models.BatchBody, deployment: TheDeployment, caller: SearchCaller) -> models.BatchAnswer:
    """Answers several searches in one index. Their queries are embedded together; one that can't be answered leaves the
    others their answer."""
    return await run_blocking("search", lambda: _search_batch(deployment, body, caller))


@router.post(
    "/indexes/{index}/similar", operation_id="search_similar", summary="Search for documents like one that is there"
)
async def similar(
    index: IndexPath, body: models.SimilarBody, deployment: TheDeployment, _: SearchCaller
) -> models.SearchAnswer:
    """Finds the documents nearest to a document of the index, by its own vectors. It isn't among them itself."""
    return await run_blocking("words", lambda: _similar(deployment, index, body))


def _search(deployment: Deployment, body: models.SearchBody, caller: Caller) -> models.SearchAnswer:
    names = _names(deployment, body, caller)
    request = _request(body)
    watch = SearchWatch(body.explain)
    if len(names) == 1:
        answer = deployment.search(names[0], request, watch)
        return found.of_one(answer, watch.statements if body.explain else None)
    merged = deployment.search_across(names, request, watch)
    answers = [watch.answers[name] for name in merged.answered]
    return found.of_many(merged, request, answers, watch.statements if body.explain else None)


def _search_batch(deployment: Deployment, body: models.BatchBody, caller: Caller) -> models.BatchAnswer:
    caller.require(AccessScope.SEARCH, body.index)
    started = time.monotonic()
    outcomes = deployment.search_many(body.index, [_request(search) for search in body.searches])
    return models.BatchAnswer(
        index=body.index,
        outcomes=[_outcome(outcome) for outcome in outcomes],
        seconds=time.monotonic() - started,
    )


def _similar(deployment: Deployment, index: str, body: models.SimilarBody) -> models.SearchAnswer:
    request = SimilarRequest(body.key, body.limit, body.threshold, body.field, body.generation, body.filter)
    watch = SearchWatch(body.explain)
    answer = deployment.similar(index, request, watch)
    return found.of_one(answer, watch.statements if body.explain else None)


def _names(deployment: Deployment, body: models.SearchBody, caller: Caller) -> list[str]:
    """The indexes to search, each once; where none is named, all over rows that the caller may search.

    Raises:
        AccessRefusedError: one of them is not for the caller.
        SearchRequestError: they are named in two ways, or there is none.
    """
    if body.index is not None and body.indexes is not None:
        raise SearchRequestError("name the one index by `index`, or several by `indexes`, not both")
    named = [body.index] if body.index is not None else body.indexes
    if named is not None:
        for name in named:
            caller.require(AccessScope.SEARCH, name)
        return list(dict.fromkeys(named))
    declared = deployment.declarations()
    # Whoever may search nothing else means the catalog.
    names = caller.indexes(_each_once(over_rows(declared))) or caller.indexes(_each_once(declared))
    if not names:
        raise SearchRequestError("there is no index to search; declare one")
    return names


def _each_once(declarations: Iterable[Declaration]) -> list[str]:
    return list(dict.fromkeys(declaration.spec.name for declaration in declarations))


def _request(query: models.Query) -> SearchRequest:
    return SearchRequest(
        query.query,
        query.limit,
        query.threshold,
        query.field,
        query.generation,
        query.filter,
        query.mode,
        query.rerank,
    )


def _outcome(outcome: SearchAnswer | VectorPipelineError) -> models.BatchOutcome:
    if isinstance(outcome, SearchAnswer):
        return models.BatchOutcome(status=200, answer=found.of_one(outcome), error=None)
    return models.BatchOutcome(
        status=422 if isinstance(outcome, SearchRequestError) else 503, answer=None, error=told(outcome)
    )
