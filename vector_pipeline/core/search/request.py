"""What a search asks for, and what that comes to for one index."""

from __future__ import annotations

from dataclasses import dataclass

from vector_pipeline.core.declaration import BEST_FIELD
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.spec import SearchSpec
from vector_pipeline.core.store.registry import RegisteredIndex


class SearchRequestError(VectorPipelineError):
    """The request itself can't be answered; the message says what to change."""


@dataclass(frozen=True)
class SearchRequest:
    """A search. What is None is as the index declares it, then as the environment does.

    Attributes:
        limit: number of documents, at most.
        threshold: scores are strictly above it; −1 to 1.
        field: the field to search by, or `best`: each document by its best one.
        generation: the number of the generation to search, be it one that is being built or kept; None is the served
            one.
    """

    query: str
    limit: int | None = None
    threshold: float | None = None
    field: str | None = None
    generation: int | None = None


@dataclass(frozen=True)
class Wanted:
    """A request as one index takes it, with nothing left open."""

    query: str
    limit: int
    threshold: float
    fields: tuple[str, ...]


def resolve(request: SearchRequest, index: RegisteredIndex, declared: SearchSpec, threshold: float) -> Wanted:
    """What is asked of the index.

    Args:
        threshold: the environment's.

    Raises:
        SearchRequestError: an empty query, an unknown field, or a limit or threshold out of bounds.
    """
    fields = index.generation.rendering.fields
    if not request.query.strip():
        raise SearchRequestError("the query is empty; ask with at least one word")
    # A declared field that the served generation hasn't got belongs to the next one.
    field = request.field or (declared.field if declared.field in fields else BEST_FIELD)
    if field != BEST_FIELD and field not in fields:
        raise SearchRequestError(f"{field!r} is no field of {index.name!r}; use {BEST_FIELD}, {', '.join(fields)}")
    limit = declared.limit if request.limit is None else request.limit
    for given in (request.threshold, declared.threshold):
        if given is not None:
            threshold = given
            break
    if limit < 1 or not -1 <= threshold <= 1:
        raise SearchRequestError("limit must be at least 1, threshold from -1 to 1")
    return Wanted(request.query, limit, threshold, fields if field == BEST_FIELD else (field,))
