"""What is told of indexes, their documents and their quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.search.answer import MetadataValue
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.serving.v1 import examples
from vector_pipeline.serving.v1.parameters import LONGEST_KEY


class _Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class WrongDeclaration(_Told):
    """What is wrong with a declaration."""

    field: str
    problem: str
    remedy: str


class FilterColumn(_Told):
    """A metadata column, and what filters take."""

    name: str
    kind: str = Field(description="What its values are, in words.", examples=["date and time"])
    operators: list[str]


class Served(_Told):
    """What is served of an index."""

    generation: int
    texts: list[str] = Field(description="What hits show.")
    fields: list[str] = Field(description="What `field` of a search takes, beside `best`.")
    metadata: list[FilterColumn] = Field(description="What `filter` of a search takes.")
    strategy: str
    provider: str
    model: str
    dimensions: int = Field(description="Of the stored vectors.")
    native_dimensions: int = Field(description="As the model gives them.")
    storage: Literal["vector", "halfvec"]
    methods: Mapping[str, str] = Field(description="By field: `exact`, or the kind of its ANN index.")
    view: str = Field(description="The view in PostgreSQL.")


class Source(BaseModel):
    """The table that an index is kept true to."""

    database: str
    table: str
    primary_key: list[str]
    is_catalog: bool = Field(
        description="Whether it is MySQL's catalog: a search that names no index is for rows, and leaves it out."
    )


class Defaults(BaseModel):
    """What a search takes where its request leaves it out."""

    mode: SearchMode
    limit: int
    threshold: float
    reranks: bool


class IndexSummary(BaseModel):
    """A declared index."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.INDEX_SUMMARY))

    index: str
    source: Source
    origin: str = Field(description="The file that declares it; `registry` where that was done at run time.")
    at_run_time: bool = Field(description="Whether it can be removed by this API.")
    problems: list[WrongDeclaration] = Field(description="What is wrong with its declaration; then it can't be used.")
    defaults: Defaults
    served: Served | None = Field(description="null before its first sync.")


class IndexList(BaseModel):
    """The indexes that the caller may use, by name."""

    model_config = ConfigDict(json_schema_extra=examples.shown({"indexes": [examples.INDEX_SUMMARY]}))

    indexes: list[IndexSummary]


class Lag(_Told):
    """How far an index is behind its table, as far as it is known."""

    ranges: int
    rows: int = Field(description="At least.")
    seconds: float = Field(description="Since when the oldest difference is known.")


class Status(_Told):
    """How an index stands."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.STATUS))

    index: str
    ranges: int = Field(description="Key ranges that its table is cut into.")
    ranges_dirty: int = Field(description="Those that differ from the table.")
    documents: int
    passages: int = Field(description="Texts that need a vector.")
    passages_served: int = Field(description="Those that are found by it.")
    coverage: float = Field(description="Their share, 0 to 1.")
    quarantined: int = Field(description="Texts that the provider refuses.")
    texts_awaited: int = Field(description="Texts that offline batches owe.")
    lag: Lag
    last_round_at: datetime | None = Field(description="When all ranges had been compared with the table.")
    oldest_check_at: datetime | None
    last_synced_at: datetime | None
    model: str | None
    dimensions: int | None


class Spent(_Told):
    """What embedding documents has cost."""

    requests: int
    texts: int
    tokens: int
    tokens_estimated: int = Field(description="Those that no provider counted.")
    tokens_unpriced: int = Field(description="Those whose price isn't known; they are not in the cost.")
    cost: float = Field(description="USD.")


class Budget(_Told):
    """Today's budget, in USD."""

    limit: float | None
    paid: float
    in_flight: float
    pauses: bool


class Estimate(_Told):
    """What it would take to embed what is missing."""

    about: str
    model: str
    rows: int
    texts: int
    tokens: int
    price: float | None = Field(description="USD per million tokens; null where unknown.")
    cost: float | None = Field(description="USD.")
    seconds: float | None
    days: int | None = Field(description="That the budget spreads it over.")
    sampled: int = Field(description="Only one row in so many was read.")


class Cost(BaseModel):
    """What an index costs. Queries are not counted."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.COST))

    index: str
    today: Spent
    total: Spent
    budget: Budget | None = Field(description="null where none is declared.")
    estimate: Estimate | None = Field(description="On request.")


class Generation(_Told):
    """The texts and vectors of one declaration."""

    number: int
    standing: str = Field(description="`served`, `being built`, `kept` or `rolled back`.")
    model: str
    dimensions: int
    strategy: str
    coverage: float = Field(description="The share of it that is built, 0 to 1.")
    passages: int
    quarantined: int
    created_at: datetime
    completed_at: datetime | None
    activated_at: datetime | None
    retired_at: datetime | None


class Generations(_Told):
    """The generations of an index."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.GENERATIONS))

    index: str
    generations: list[Generation]
    asked_for: str | None = Field(description="What is declared and not served yet; null where there is nothing.")
    rolled_back: bool = Field(description="Somebody took what is declared out of service.")
    obstacles: list[str] = Field(description="Why the one that is being built is not served yet.")


class StoredDocument(_Told):
    """A document as it is stored."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.STORED_DOCUMENT))

    key: str
    texts: Mapping[str, str | None]
    metadata: Mapping[str, MetadataValue]
    updated_at: datetime
    passages: int = Field(description="Texts of it that need a vector.")
    behind: int = Field(description="Those that are found by the vector of an earlier text.")
    without_vector: int
    quarantined: int = Field(description="Those of both that the provider refuses.")


class DocumentList(BaseModel):
    """Documents in the order asked for, or of their keys as texts."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.DOCUMENT_LIST))

    index: str
    documents: list[StoredDocument]
    missing: list[str] = Field(description="Keys asked for that no document has.")
    next_after: str | None = Field(description="`after` of the next page; null where this is the last.")


class QuarantineEntry(_Told):
    """A text that the provider refused, or gave no honest vector for."""

    key: str
    field: str
    reason: str
    message: str = Field(description="In the provider's words.")
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    next_attempt_at: datetime | None = Field(description="null while it is ignored.")
    ignored_at: datetime | None


class Quarantine(BaseModel):
    """A part of a quarantine, in the order of the source's keys."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.QUARANTINE))

    index: str
    entries: list[QuarantineEntry]
    next_offset: int | None = Field(description="`offset` of the next part; null where this is the last.")


Keys = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]], Field(min_length=1, max_length=1000)
]


class RowsBody(BaseModel):
    """Which rows are meant."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"keys": ["17", "42"]}]})

    keys: Keys


class RetryBody(BaseModel):
    """Which rows are meant."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"keys": ["17", "42"]}, {}]})

    keys: Keys | None = Field(default=None, description="All that are not ignored, if left out.")


class ChangedTexts(BaseModel):
    """How many quarantined texts were changed."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.CHANGED_TEXTS))

    index: str
    texts: int
