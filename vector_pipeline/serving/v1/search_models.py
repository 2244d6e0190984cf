"""Bodies of requests and answers of searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.search.answer import MetadataValue
from vector_pipeline.core.search.many import MergedBy
from vector_pipeline.core.spec import MOST_HITS, SearchMode
from vector_pipeline.serving.v1 import examples

MOST_SEARCHES = 100
"""Of one batch: the vectors of as many queries are asked for together."""

IndexName = Annotated[str, Field(min_length=1, max_length=200)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]


class Restricted(BaseModel):
    """What a search takes, by a query or by a document."""

    limit: int | None = Field(
        default=None, ge=1, le=MOST_HITS, description="The most documents to find; as the index declares it."
    )
    threshold: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="What is found by vectors scores strictly above it; as the index declares it, else the "
        "environment's SIMILARITY_THRESHOLD.",
    )
    field: FieldName | Annotated[list[FieldName], Field(max_length=100)] | dict[FieldName, Weight] | None = Field(
        default=None,
        description="What to search by: a field's name; `best` or several names: each document by its best one; "
        "weights by name: each by the weighted mean. Left out: as the index declares it.",
    )
    filter: dict[str, Any] | None = Field(
        default=None,
        description="Conditions on metadata: `{column: value}`, `{column: [values]}`, `{column: null}`, "
        '`{column: {operator: value}}`, `{"and": […]}`, `{"or": […]}`, `{"not": {…}}`, and at length '
        '`{"field": …, "op": …, "value": …}`. Operators: = != < <= > >= in between prefix is_null.',
    )
    generation: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="The number of the generation to search; the served one."
    )


class Query(Restricted):
    """What to look for."""

    query: str = Field(min_length=1, max_length=8192, description="In any language.")
    mode: SearchMode | None = Field(
        default=None, description="By vectors, by words, or by both; as the index declares it."
    )
    rerank: bool | None = Field(
        default=None, description="Whether the index's reranker orders the hits; if it declares one."
    )


class SearchBody(Query):
    """A search in one index, in several, or in all."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"query": "how do I renew my card?", "index": "genie_documents", "limit": 3, "mode": "hybrid"},
                {"query": "opening hours", "threshold": 0.4, "explain": True},
            ]
        },
    )

    index: IndexName | None = Field(default=None, description="The one index to search.")
    indexes: Annotated[list[IndexName], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Several indexes; where `index` is left out too, all but those over MySQL's catalog."
    )
    explain: bool = Field(default=False, description="Tell the SQL that was run.")


class SimilarBody(Restricted):
    """A search for documents like one that is there."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"key": "42", "limit": 5}]})

    key: str = Field(min_length=1, max_length=8192, description="The document's, as a hit shows it.")
    explain: bool = Field(default=False, description="Tell the SQL that was run.")


class BatchQuery(Query):
    """One search of a batch."""

    model_config = ConfigDict(extra="forbid", strict=True)


class BatchBody(BaseModel):
    """Several searches in one index, whose queries are embedded together."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "index": "genie_documents",
                    "searches": [{"query": "how do I renew my card?"}, {"query": "opening hours", "limit": 1}],
                }
            ]
        },
    )

    index: IndexName
    searches: list[BatchQuery] = Field(min_length=1, max_length=MOST_SEARCHES)


class Passage(BaseModel):
    """The text by whose vector a document was found: from `start` up to but without `end` of the `length` characters
    of its field's text."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    start: int
    end: int
    length: int


class Snippet(BaseModel):
    """The part of a text that has most of the query's words."""

    model_config = ConfigDict(from_attributes=True)

    field: str
    text: str
    html: str = Field(description="Escaped, with the words in `<mark>` elements.")


class Hit(BaseModel):
    """A document that was found."""

    model_config = ConfigDict(from_attributes=True)

    key: str = Field(description="Of the row in MySQL; `/v1/indexes/{index}/documents/{key}` gives the document.")
    index: str
    score: float = Field(description="What the hits of an index are ordered by.")
    merged_score: float = Field(
        description="What all hits of the answer are ordered by; where models differ, by the ranks in the indexes."
    )
    vector_score: float | None = Field(description="1 − cosine distance; null if not found by its vectors.")
    vector_rank: int | None
    text_score: float | None = Field(
        description="The share of the query's words that it has, rare ones counting more; null if not found by words."
    )
    text_rank: int | None
    field: str = Field(description="That of the best passage, or text.")
    field_scores: Mapping[str, float] | None = Field(description="By field, in a search by weighted fields.")
    texts: Mapping[str, str | None]
    metadata: Mapping[str, MetadataValue]
    snippet: Snippet | None
    passage: Passage | None
    vector_behind: bool = Field(description="It was found by the vector of an earlier text than the one shown.")
    without_vector: bool = Field(description="One of its texts has no vector.")


class Failure(BaseModel):
    """An index that gave no answer."""

    model_config = ConfigDict(from_attributes=True)

    index: str
    reason: str


class Timings(BaseModel):
    """Where the seconds of a search in one index went."""

    index: str
    seconds: float
    embedding: float = Field(description="For the query's vector; next to nothing where it was kept.")
    reranking: float
    database: float = Field(description="The rest: PostgreSQL.")


class RunStatements(BaseModel):
    """What PostgreSQL was asked, in this order. `%(vector)s` and the like stand for values, which go beside it."""

    index: str
    statements: list[str]


class SearchAnswer(BaseModel):
    """What was found, best first."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.SEARCH_ANSWER))

    query: str
    index: str | None = Field(description="The index that was searched; null if there were several.")
    indexes: list[str] = Field(description="Those that have answered.")
    hits: list[Hit]
    total: int = Field(description="The number of hits.")
    mode: SearchMode | None = Field(description="By what was searched; null for several indexes.")
    limit: int | None = Field(description="The one that held; null for several indexes without one of their own.")
    threshold: float | None = Field(description="The one that held; null for several indexes, each with its own.")
    generation: int | None = Field(description="The one that was searched; null for several indexes.")
    complete: bool = Field(description="False where the time was over before all hits were surely found.")
    reranked: bool
    filtered: bool
    merged_by: MergedBy | None = Field(
        description="`score` where all indexes are of one model, else `rank`; null for one index."
    )
    notes: list[str] = Field(description="What is to be known of the answer, such as that the reranker was down.")
    failures: list[Failure] = Field(description="Indexes that gave no answer, of several.")
    seconds: float
    timings: list[Timings] = Field(description="By index.")
    explanation: list[RunStatements] | None = Field(description="By index, on request.")


class BatchOutcome(BaseModel):
    """The answer to one search of a batch, or what is wrong with it."""

    status: Literal[200, 422, 503] = Field(description="The HTTP status that the search would have by itself.")
    answer: SearchAnswer | None
    error: str | None


class BatchAnswer(BaseModel):
    """An outcome for each search, in their order."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.BATCH_ANSWER))

    index: str
    outcomes: list[BatchOutcome]
    seconds: float
