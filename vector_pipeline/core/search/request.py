"""What a search asks for, and what that comes to for one index."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from vector_pipeline.core.declaration import BEST_FIELD
from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search.filters import Filter, shown
from vector_pipeline.core.spec import MOST_HITS, RerankSpec, SearchMode, SearchSpec
from vector_pipeline.core.store.registry import RegisteredIndex

__all__ = [
    "FieldChoice",
    "SearchRequest",
    "SearchRequestError",
    "SimilarRequest",
    "Wanted",
    "read_field",
    "read_mode",
    "resolve",
]

_MODES: tuple[SearchMode, ...] = get_args(SearchMode)

FieldChoice = str | Sequence[str] | Mapping[str, float]
"""The field to search by; `best`, or several names: each document by its best one of them; or weights by name: each
document by the weighted mean of the scores of those that it has."""


@dataclass(frozen=True)
class SearchRequest:
    """A search. What is None is as the index declares it, then as the environment does.

    Attributes:
        limit: number of documents, at most; 1 to `MOST_HITS`.
        threshold: what is found by vectors scores strictly above it; −1 to 1. What is found by words needs no more
            than to have one.
        field: what to search by.
        generation: the number of the generation to search, be it one that is being built or kept; None is the served
            one.
        filter: on metadata, as `filters` reads it; documents that it leaves out are not found.
        mode: by what to search.
        rerank: whether a reranker orders the hits.
    """

    query: str
    limit: int | None = None
    threshold: float | None = None
    field: FieldChoice | None = None
    generation: int | None = None
    filter: Filter | Mapping[str, Any] | None = None
    mode: SearchMode | None = None
    rerank: bool | None = None


@dataclass(frozen=True)
class SimilarRequest:
    """A search for documents like one that is there, by the vectors that it has. See `SearchRequest`."""

    key: str
    limit: int | None = None
    threshold: float | None = None
    field: FieldChoice | None = None
    generation: int | None = None
    filter: Filter | Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Wanted:
    """A request as one index takes it, with nothing left open.

    Attributes:
        weights: of the fields, each above 0; None judges each document by its best field.
    """

    limit: int
    threshold: float
    fields: tuple[str, ...]
    weights: Mapping[str, float] | None = None
    mode: SearchMode = "vector"
    rerank: RerankSpec | None = None


def resolve(
    request: SearchRequest | SimilarRequest, index: RegisteredIndex, declared: SearchSpec, threshold: float
) -> Wanted:
    """What is asked of the index.

    Args:
        threshold: the environment's.

    Raises:
        SearchRequestError: an empty query, an unknown field or mode, or a limit, threshold or weight out of bounds.
    """
    if isinstance(request, SearchRequest) and not request.query.strip():
        raise SearchRequestError("the query is empty; ask with at least one word")
    _refuse_halves_of_characters(request.query if isinstance(request, SearchRequest) else request.key)
    limit = declared.limit if request.limit is None else request.limit
    for given in (request.threshold, declared.threshold):
        if given is not None:
            threshold = given
            break
    if not 1 <= limit <= MOST_HITS or not -1 <= threshold <= 1:
        raise SearchRequestError(f"limit must be from 1 to {MOST_HITS}, threshold from -1 to 1")
    weights = _weights(request, index, declared)
    is_mean = isinstance(_choice(request, index, declared), Mapping) and len(weights) > 1
    mode = read_mode(request.mode or declared.mode) if isinstance(request, SearchRequest) else "vector"
    return Wanted(
        limit, threshold, tuple(weights), weights if is_mean else None, mode, _reranker(request, index, declared)
    )


def read_mode(name: str) -> SearchMode:
    """The mode of that name.

    Raises:
        SearchRequestError: there is none.
    """
    for mode in _MODES:
        if mode == name:
            return mode
    raise SearchRequestError(f"{name!r} is no way to search; use {', '.join(_MODES)}")


def _refuse_halves_of_characters(text: str) -> None:
    """What JSON and command lines can bring, and neither PostgreSQL nor a provider can take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SearchRequestError(f"{shown(text)} is no proper text: half of a character is missing") from None


def _reranker(
    request: SearchRequest | SimilarRequest, index: RegisteredIndex, declared: SearchSpec
) -> RerankSpec | None:
    if isinstance(request, SimilarRequest) or request.rerank is False:
        return None
    if request.rerank and declared.rerank is None:
        raise SearchRequestError(f"index {index.name!r} declares no reranker; declare search.rerank")
    return declared.rerank


def _choice(request: SearchRequest | SimilarRequest, index: RegisteredIndex, declared: SearchSpec) -> FieldChoice:
    if request.field is not None and request.field != "":
        return request.field
    # A declared field that the served generation hasn't got belongs to the next one.
    known = set(names_in(declared.field)) <= {BEST_FIELD, *index.generation.rendering.fields}
    return declared.field if known else BEST_FIELD


def names_in(choice: FieldChoice) -> tuple[str, ...]:
    """The names that are chosen."""
    return (choice,) if isinstance(choice, str) else tuple(choice)


def _weights(request: SearchRequest | SimilarRequest, index: RegisteredIndex, declared: SearchSpec) -> dict[str, float]:
    """The fields to search by with their weights, all 1 where none are given."""
    fields, choice = index.generation.rendering.fields, _choice(request, index, declared)
    named = names_in(choice)
    for name in named:
        if name not in fields and (name != BEST_FIELD or isinstance(choice, Mapping)):
            allowed = fields if isinstance(choice, Mapping) else (BEST_FIELD, *fields)
            raise SearchRequestError(f"{name!r} is no field of {index.name!r}; use {', '.join(allowed)}")
    if isinstance(choice, Mapping):
        for name, weight in choice.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise SearchRequestError(f"the weight of field {name!r} is {weight}; give a number from 0 up")
        weighted = {name: float(weight) for name, weight in choice.items() if weight > 0}
        if not weighted:
            raise SearchRequestError(f"no field has a weight above 0; give one to {' or '.join(fields)}")
        return weighted
    if not named:
        raise SearchRequestError(f"no field is named; use {BEST_FIELD}, {', '.join(fields)}")
    return dict.fromkeys(fields if BEST_FIELD in named else dict.fromkeys(named), 1.0)


def read_field(words: Sequence[str]) -> FieldChoice | None:
    """What is written on a command line or in a form: `best`, names, or names with weights such as `answer=0.3`, also
    several in one word with commas between them. None for nothing.

    Raises:
        SearchRequestError: a weight is no number, or some have one and others not.
    """
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    weighted = {name.strip(): weight for name, equals, weight in (part.partition("=") for part in parts) if equals}
    if not weighted:
        return None if not parts else parts[0] if len(parts) == 1 else parts
    if len(weighted) < len(parts):
        raise SearchRequestError("give each field a weight and name it once, as in question=0.7, answer=0.3; or none")
    try:
        return {name: float(weight) for name, weight in weighted.items()}
    except ValueError:
        raise SearchRequestError(
            f"weights are numbers, as in question=0.7, answer=0.3; given: {', '.join(parts)}"
        ) from None
