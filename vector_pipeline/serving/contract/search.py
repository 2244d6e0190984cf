"""POST /search and POST /search-simple."""

from __future__ import annotations

from fastapi import APIRouter

from vector_pipeline.core.search import Hit, SearchAnswer
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.caller import Caller
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.contract.context import NOTHING_FOUND, as_context
from vector_pipeline.serving.contract.models import (
    DocumentSearch,
    FoundDocument,
    FoundSource,
    SearchContext,
    SearchResults,
)
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking

# Existing clients may send JSON without a Content-Type, as Dify does with raw text. No page of another server gains by
# it: the gate refuses those that bring no key.
router = APIRouter(tags=["contract"], responses=OF_AN_INDEX, strict_content_type=False)


@router.post("/search", operation_id="search", summary="Search for documents", response_model_exclude_unset=True)
async def search(body: DocumentSearch, deployment: TheDeployment, caller: SearchCaller) -> SearchResults:
    """The documents nearest to the query, best first."""
    found = await _found(deployment, body, caller)
    return SearchResults(results=found, total_results=len(found))


@router.post("/search-simple", operation_id="search_simple", summary="Search for a language model's context")
async def search_simple(body: DocumentSearch, deployment: TheDeployment, caller: SearchCaller) -> SearchContext:
    """The same documents as one text, and where its parts come from."""
    found = await _found(deployment, body, caller)
    return SearchContext(
        context=as_context(found) if found else NOTHING_FOUND,
        sources=[
            FoundSource(question=one.question, link=one.link, date=one.date, similarity_score=one.similarity_score)
            for one in found
        ],
        total_results=len(found),
    )


async def _found(deployment: Deployment, body: DocumentSearch, caller: Caller) -> list[FoundDocument]:
    threshold = body.similarity_threshold
    request = SearchRequest(
        body.query,
        body.limit,
        deployment.settings.similarity_threshold if threshold is None else threshold,
        body.field,
        filter=body.filters,
        mode=body.mode,
    )

    def answer() -> SearchAnswer:
        name = deployment.contract_index().spec.name if body.index is None else body.index
        caller.require(AccessScope.SEARCH, name)
        return deployment.search(name, request)

    answered = await run_blocking(deployment.kind_of(body.index, body.mode, body.query), answer)
    return [_document(hit) for hit in answered.hits]


def _document(hit: Hit) -> FoundDocument:
    values = {**hit.metadata, **hit.texts}

    def text(name: str) -> str:
        value = values.get(name)
        return "" if value is None else str(value)

    found = FoundDocument(
        question=text("question"),
        answer=text("answer"),
        link=text("link"),
        date=text("date"),
        similarity_score=hit.score,
    )
    if "genie_uniqueid" in values:
        found.genie_uniqueid = text("genie_uniqueid")
    return found
