"""GET /v1/indexes/{index}/documents: documents as PostgreSQL holds them, by their keys or page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search.filters import shown
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import index_models as models
from vector_pipeline.serving.v1.parameters import LONGEST_KEY, IndexPath, Limit

router = APIRouter(prefix="/v1", tags=["documents"], responses=OF_AN_INDEX)

# In whatever script, they go into an address, which has 64 KB: a letter has up to twelve bytes there.
MOST_KEYS = 20
_LONGEST_OF_SEVERAL = 100
Key = Annotated[str, Query(min_length=1, max_length=LONGEST_KEY)]


@router.get("/indexes/{index}/documents", operation_id="list_documents", summary="Documents by their keys, or in pages")
async def list_documents(
    index: IndexPath,
    deployment: TheDeployment,
    _: SearchCaller,
    keys: Annotated[
        list[Annotated[str, Query(min_length=1, max_length=_LONGEST_OF_SEVERAL)]],
        Query(
            default_factory=list,
            max_length=MOST_KEYS,
            description="The keys, as hits show them; each as `keys=…`. Longer ones one by one.",
            examples=[["42", "17"]],
        ),
    ],
    limit: Limit = 100,
    after: Annotated[
        Key | None, Query(description="A key: only documents behind it, as `next_after` gives it.", examples=["42"])
    ] = None,
) -> models.DocumentList:
    """Those of the keys in their order; without keys a page of all, in the order of their keys as texts."""
    if keys and after is not None:
        raise SearchRequestError("ask for documents by `keys`, or for those behind a key by `after`, not both")
    if keys:
        return await run_blocking("rest", lambda: _by_key(deployment, index, keys))
    return await run_blocking("rest", lambda: _page(deployment, index, limit, after))


@router.get("/indexes/{index}/documents/{key:path}", operation_id="read_document", summary="A document by its key")
async def read_document(
    index: IndexPath,
    key: Annotated[str, Path(min_length=1, max_length=LONGEST_KEY, description="As a hit shows it.", examples=["42"])],
    deployment: TheDeployment,
    _: SearchCaller,
) -> models.StoredDocument:
    """The document, and how it stands with its vectors."""
    found = await run_blocking("rest", lambda: _by_key(deployment, index, [key]))
    if not found.documents:
        raise HTTPException(404, f"index {index!r} has no document with the key {shown(key)}")
    return found.documents[0]


def _by_key(deployment: Deployment, index: str, keys: list[str]) -> models.DocumentList:
    with deployment.opened(index) as opened:
        found = opened.documents(keys)
    there = {document.key for document in found}
    return models.DocumentList(
        index=index,
        documents=[models.StoredDocument.model_validate(document) for document in found],
        missing=[key for key in dict.fromkeys(keys) if key not in there],
        next_after=None,
    )


def _page(deployment: Deployment, index: str, limit: int, after: str | None) -> models.DocumentList:
    with deployment.opened(index) as opened:
        found = opened.page_of_documents(limit + 1, after)
    page = found[:limit]
    return models.DocumentList(
        index=index,
        documents=[models.StoredDocument.model_validate(document) for document in page],
        missing=[],
        next_after=page[-1].key if len(found) > limit else None,
    )
