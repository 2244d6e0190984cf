"""The tools that search: by nearness of meaning, by words, and by both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.search import Hit
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.search.served import read_served
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.declarations import Declaration
from vector_pipeline.serving.mcp.arguments import Filters, Limit, Query, Which
from vector_pipeline.serving.mcp.asked import Asked
from vector_pipeline.serving.mcp.tool import LongAnswer, Tool
from vector_pipeline.serving.notes import told_note, told_note_of_one

Distance = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
_USUAL_DISTANCE = 1.0


class _Result(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    index: str
    database: str = Field(serialization_alias="schema")
    table: str
    primary_key_value: str = Field(description="As get_documents and fetch_from_source take it.")


class Near(_Result):
    """A row near to the query."""

    distance: float = Field(description="0 is the same meaning, 1 unrelated, 2 the opposite.")
    metadata: dict[str, Any] = Field(description="The row: the columns that the index declares.")
    vector_behind: bool = Field(description="The row was found by an earlier text of it than the one shown.")


class Fitting(_Result):
    """A row that fits the query."""

    score: float = Field(description="What an index orders its results by, 0 to 1; not to be compared between answers.")
    snippet: str | None = Field(description="The part of the row in which the query's words are.")
    metadata: dict[str, Any] = Field(description="The row: the columns that the index declares.")


class NearAnswer(LongAnswer):
    """What embed_search has found."""

    query: str
    query_embedding_dim: int | None = Field(
        description="Length of the query's vector; where the searched indexes differ, that of the first result's."
    )
    total_matches: int
    results: list[Near]
    complete: bool = Field(description="False where time was over, or an index failed, before all was surely found.")
    notes: list[str]


class FittingAnswer(LongAnswer):
    """What a search by words has found."""

    query: str
    mode: SearchMode
    total_matches: int
    results: list[Fitting]
    complete: bool = Field(description="False where time was over, or an index failed, before all was surely found.")
    notes: list[str]


class EmbedSearch(Which):
    """Arguments of embed_search."""

    query: Query
    limit: Limit = 10
    min_distance: Distance = Field(
        default=_USUAL_DISTANCE,
        description="The LARGEST distance that a result may have, in spite of the name; 0 to 2, where 0.3 is near.",
    )
    max_distance: Distance | None = Field(default=None, description="The same by its right name; it goes first.")
    filters: Filters = None


class WordSearch(Which):
    """Arguments of search_text and search_hybrid."""

    query: Query
    limit: Limit = 10
    filters: Filters = None


@dataclass(frozen=True)
class _Found:
    hits: Sequence[tuple[Declaration, Hit]]
    answered: Sequence[str]
    complete: bool
    notes: list[str]


def embed_search(asked: Asked, given: EmbedSearch) -> NearAnswer:
    """Finds the rows whose meaning is nearest to a query, whatever words and language they are in.

    Use it for questions and descriptions ("complaints about late parcels"). For exact words, numbers and names take
    search_text; when in doubt, search_hybrid. Name a table by `schema` and `table`, or an index by `index`; without
    any, all indexes are searched. Results come in ascending `distance` (0 same meaning, 1 unrelated): `min_distance` is
    the largest one allowed, in spite of its name. `metadata` is the row.

    Example: {"query": "customer wants a refund", "schema": "shop", "table": "orders", "limit": 5, "min_distance": 0.6}
    """
    largest = given.min_distance if given.max_distance is None else given.max_distance
    # Scores are strictly above a threshold, distances up to and with a maximum.
    threshold = max(math.nextafter(1 - largest, -math.inf), -1.0)
    request = SearchRequest(given.query, given.limit, threshold, filter=given.filters, mode="vector", rerank=False)
    found = _find(asked, given, request)
    near = [
        Near(
            **_place(asked, declaration, hit),
            distance=max(0.0, 1 - hit.score),
            metadata=_row(hit),
            vector_behind=hit.vector_behind,
        )
        for declaration, hit in found.hits
    ]
    near.sort(key=lambda one: one.distance)
    return NearAnswer(
        query=given.query,
        query_embedding_dim=_dimensions(asked, near[0].index if near else found.answered[0]),
        total_matches=len(near),
        results=near,
        complete=found.complete,
        notes=found.notes,
    )


def search_text(asked: Asked, given: WordSearch) -> FittingAnswer:
    """Finds rows by the words of a query, in the forms of the index's language: numbers, names, codes, exact phrases.

    Asks no embedding provider, so it works while that is down. "quoted words" must stand together, -word must not be
    there, OR is or. Name a table by `schema` and `table`, or an index by `index`; without any, all are searched.
    Results come best first, each with the row and the snippet where the words are.

    Example: {"query": "\\"order 10-2231\\" refund -voucher", "table": "orders"}
    """
    return _by_words(asked, given, "text")


def search_hybrid(asked: Asked, given: WordSearch) -> FittingAnswer:
    """Finds rows by meaning and by words together: the best choice for most questions.

    What both find comes first. While the embedding provider is down it finds by words alone, and `notes` say so. Name a
    table by `schema` and `table`, or an index by `index`; without any, all are searched. Results come best first, each
    with the row and the snippet where the words are.

    Example: {"query": "parcel to Lyon arrived damaged", "filters": {"status": "open"}, "limit": 5}
    """
    return _by_words(asked, given, "hybrid")


def _by_words(asked: Asked, given: WordSearch, mode: SearchMode) -> FittingAnswer:
    found = _find(asked, given, SearchRequest(given.query, given.limit, filter=given.filters, mode=mode))
    results = [
        Fitting(
            **_place(asked, declaration, hit),
            score=hit.score,
            snippet=None if hit.snippet is None else hit.snippet.text,
            metadata=_row(hit),
        )
        for declaration, hit in found.hits
    ]
    return FittingAnswer(
        query=given.query,
        mode=mode,
        total_matches=len(results),
        results=results,
        complete=found.complete,
        notes=found.notes,
    )


def _find(asked: Asked, which: Which, request: SearchRequest) -> _Found:
    meant = {declaration.spec.name: declaration for declaration in asked.named(which)}
    if len(meant) == 1:
        [(name, declaration)] = meant.items()
        answer = asked.deployment.search(name, request)
        notes = [told_note(note) for note in answer.notes]
        return _Found([(declaration, hit) for hit in answer.hits], [name], answer.complete, notes)
    many = asked.deployment.search_across(list(meant), request)
    notes = [told_note_of_one(note) for note in many.notes]
    notes += [f"{failure.index}: can't be searched now; see index_status" for failure in many.failures]
    if many.merged_by == "rank":
        notes.append(
            "the indexes differ in model or way of searching: scores and distances of different ones can't be compared"
        )
    hits = [(meant[found.index], found.hit) for found in many.hits]
    return _Found(hits, many.answered, many.complete, notes)


def _place(asked: Asked, declaration: Declaration, hit: Hit) -> dict[str, Any]:
    return {
        "index": declaration.spec.name,
        "database": asked.database_of(declaration),
        "table": declaration.spec.source.table,
        "primary_key_value": hit.key,
    }


def _row(hit: Hit) -> dict[str, Any]:
    return {**hit.texts, **hit.metadata}


def _dimensions(asked: Asked, name: str) -> int:
    with asked.deployment.target() as connection:
        return read_served(connection, name).index.generation.space.stored_dimensions


SEARCHING: tuple[Tool[Any], ...] = (
    Tool("embed_search", "Search by meaning", AccessScope.SEARCH, EmbedSearch, NearAnswer, embed_search, "search"),
    Tool(
        "embedding_search",
        "Search by meaning",
        AccessScope.SEARCH,
        EmbedSearch,
        NearAnswer,
        embed_search,
        "search",
        alias_of="embed_search",
    ),
    Tool("search_text", "Search by words", AccessScope.SEARCH, WordSearch, FittingAnswer, search_text, "words"),
    Tool(
        "search_hybrid",
        "Search by meaning and words",
        AccessScope.SEARCH,
        WordSearch,
        FittingAnswer,
        search_hybrid,
        "search",
    ),
)
