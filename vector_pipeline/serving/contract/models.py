"""Bodies of requests and answers of the contract. Names and meanings are fixed: clients depend on them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from vector_pipeline.core.spec import SearchMode


def _refuse_truth(value: object) -> object:
    """Numbers may come as texts, as some clients send them; true and false are none."""
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
    return value


Count = Annotated[int, BeforeValidator(_refuse_truth)]
Number = Annotated[float, BeforeValidator(_refuse_truth)]
Weight = Annotated[Number, Field(ge=0, allow_inf_nan=False)]


class DocumentSearch(BaseModel):
    """A search."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"query": "how do I renew my card?", "limit": 5, "similarity_threshold": 0.7}]},
    )

    query: str = Field(min_length=1, max_length=8192, description="What to look for, in any language.")
    limit: Count = Field(default=5, ge=1, le=100, description="The most documents to find.")
    similarity_threshold: Number | None = Field(
        default=None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Documents score strictly above it. Left out or null: SIMILARITY_THRESHOLD of the environment, "
        "else 0.7.",
    )
    index: str | None = Field(default=None, description="The index to search; the one of this API if left out.")
    field: str | list[str] | dict[str, Weight] | None = Field(
        default=None,
        description="What to search by: a field's name, `best`, several names, or weights by name. Left out: as the "
        "index declares it.",
    )
    mode: SearchMode | None = Field(
        default=None, description="By vectors, by words, or by both. Left out: as the index declares it."
    )
    filters: dict[str, Any] | None = Field(
        default=None, description='Conditions on metadata, as `/v1` takes them: `{"category": "health"}`.'
    )


_SOURCE: JsonDict = {
    "question": "How do I renew my card?",
    "link": "https://example.org/cards",
    "date": "2026-01-02 03:04:05",
    "similarity_score": 0.85,
}
_DOCUMENT: JsonDict = _SOURCE | {"answer": "At any counter, with the old one.", "genie_uniqueid": "a1b2"}
_CONTEXT = (
    "Result 1:\nQuestion: How do I renew my card?\nAnswer: At any counter, with the old one.\n"
    "Source: https://example.org/cards\nDate: 2026-01-02 03:04:05\nRelevance: 0.850\n"
)


class FoundDocument(BaseModel):
    """A document that was found."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DOCUMENT]})

    question: str
    answer: str
    link: str
    date: str
    similarity_score: float
    genie_uniqueid: str | None = Field(default=None, description="Only where the table has such a column.")


class SearchResults(BaseModel):
    """What a search has found, best first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"results": [_DOCUMENT], "total_results": 1}]})

    results: list[FoundDocument]
    total_results: int


class FoundSource(BaseModel):
    """Where a part of a context comes from."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SOURCE]})

    question: str
    link: str
    date: str
    similarity_score: float


class SearchContext(BaseModel):
    """What a search has found, as a text for a language model."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"context": _CONTEXT, "sources": [_SOURCE], "total_results": 1}]}
    )

    context: str = Field(description="`No relevant information found in the knowledge base.` where nothing is found.")
    sources: list[FoundSource]
    total_results: int
