"""The tools that tell which indexes there are, and how they stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.documents.declared import declared_strategy
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.preparation import expected_model
from vector_pipeline.core.reports import IndexStatus
from vector_pipeline.core.source.plan import source_column_name
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.core.store.summaries import IndexSummary, read_summaries
from vector_pipeline.declarations import Declaration
from vector_pipeline.serving.dagster_client import DagsterRefusedError, DagsterUnavailableError
from vector_pipeline.serving.errors import service_of
from vector_pipeline.serving.mcp.arguments import Arguments, Which
from vector_pipeline.serving.mcp.asked import Asked
from vector_pipeline.serving.mcp.tool import Answer, Tool

_RUNS = 5
VECTOR_DIM = (
    "Length of the vectors; null before the first sync, where only a remote model could tell and none is declared."
)


class ListedIndex(BaseModel):
    """An index."""

    model_config = ConfigDict(serialize_by_alias=True)

    index: str
    database: str = Field(serialization_alias="schema")
    table: str
    columns: list[str] = Field(description="The columns whose texts are embedded.")
    metadata_columns: list[str] = Field(description="Further columns that results show and filters may use.")
    primary_key: str | list[str]
    model: str | None
    vector_dim: int | None = Field(description=VECTOR_DIM)
    strategy: str
    row_count: int
    indexed_at: int | None = Field(description="When it was last synced, as Unix time; null if never.")
    description: str | None
    declared_in: str = Field(description="The file that declares it, or `registry` if that was done at run time.")


class IndexList(Answer):
    """What embed_list_indexes tells."""

    indexes: list[ListedIndex]


class StandingRun(BaseModel):
    """A run of Dagster for an index."""

    run_id: str
    run_url: str
    job: str
    status: str
    began_at: datetime | None
    ended_at: datetime | None


class Standing(BaseModel):
    """How an index stands."""

    model_config = ConfigDict(serialize_by_alias=True)

    index: str
    database: str = Field(serialization_alias="schema")
    table: str
    rows: int = Field(description="Documents that can be found.")
    coverage: float = Field(description="Share of texts that are found by their current vector, 0 to 1.")
    rows_behind: int = Field(description="Rows that differ from MySQL, at least, as far as is known.")
    seconds_behind: float
    quarantined: int = Field(description="Texts that the embedding model refused.")
    model: str | None
    vector_dim: int | None
    last_synced_at: datetime | None
    last_compared_at: datetime | None = Field(description="When all of the table was last compared.")
    runs: list[StandingRun] | None = Field(
        description="Dagster's latest runs, newest first, where one index is asked for; null where they are not known."
    )
    problem: str | None = Field(description="Why nothing can be told of it, if so.")


class Standings(Answer):
    """What index_status tells."""

    indexes: list[Standing]


def embed_list_indexes(asked: Asked, _: Arguments) -> IndexList:
    """Lists the indexes that can be searched: which tables, which columns, how many rows, when last synced.

    Call it first, to learn `schema` and `table` for all other tools. Takes no arguments.

    Example: {}
    """
    return IndexList(indexes=described(asked, asked.everything()))


def described(asked: Asked, declarations: Sequence[Declaration]) -> list[ListedIndex]:
    """The indexes, with what is kept of them."""
    with asked.deployment.target() as connection:
        kept = read_summaries(connection, [one.spec.name for one in declarations])
    return [_listed(asked, one, kept.get(one.spec.name)) for one in declarations]


def _listed(asked: Asked, declaration: Declaration, kept: IndexSummary | None) -> ListedIndex:
    spec = declaration.spec
    model, dimensions = expected_model(spec, asked.deployment.settings.embedding)
    return ListedIndex(
        index=spec.name,
        database=asked.database_of(declaration),
        table=spec.source.table,
        columns=[source_column_name(column) for column in spec.document.text.values()],
        metadata_columns=[source_column_name(column) for column in spec.document.metadata.values()],
        primary_key=spec.source.primary_key,
        model=model if kept is None else kept.model,
        vector_dim=dimensions if kept is None else kept.dimensions,
        strategy=declared_strategy(spec.embedding),
        row_count=0 if kept is None else kept.rows,
        indexed_at=None if kept is None or kept.synced_at is None else int(kept.synced_at.timestamp()),
        description=spec.description,
        declared_in=declaration.origin,
    )


def index_status(asked: Asked, given: Which) -> Standings:
    """Tells how far indexes are behind their MySQL tables, how much of them can be found, and what was refused.

    Use it when a search finds less than expected, and to follow an index that is being filled. Name one by `index`, or
    by `schema` and `table`; without any, all are told of. Of a single one its latest runs are told too.

    Example: {"table": "orders"}
    """
    meant = asked.everything() if given == Which() else asked.named(given)
    runs = _runs(asked, meant[0].spec.name) if len(meant) == 1 else None
    return Standings(indexes=[_standing(asked, one, runs) for one in meant])


def _runs(asked: Asked, index: str) -> list[StandingRun] | None:
    try:
        found = asked.deployment.dagster.runs(index, _RUNS)
    except (DagsterUnavailableError, DagsterRefusedError):
        return None
    return [
        StandingRun(
            run_id=run.id,
            run_url=run.url,
            job=run.job,
            status=run.status.value,
            began_at=_moment(run.started),
            ended_at=_moment(run.ended),
        )
        for run in found
    ]


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _standing(asked: Asked, declaration: Declaration, runs: list[StandingRun] | None) -> Standing:
    found, problem = IndexStatus.unknown(declaration.spec.name), None
    try:
        with asked.deployment.opened(declaration.spec.name) as opened:
            found = opened.status()
    except VectorPipelineError as error:
        problem = "it is declared wrongly: see `dg check yaml`" if declaration.problems else service_of(error)
    return Standing(
        index=declaration.spec.name,
        database=asked.database_of(declaration),
        table=declaration.spec.source.table,
        rows=found.documents,
        coverage=found.coverage,
        rows_behind=found.lag.rows,
        seconds_behind=found.lag.seconds,
        quarantined=found.quarantined,
        model=found.model,
        vector_dim=found.dimensions,
        last_synced_at=found.last_synced_at,
        last_compared_at=found.last_round_at,
        runs=runs,
        problem=problem,
    )


LISTING: tuple[Tool[Any], ...] = (
    Tool("embed_list_indexes", "List indexes", AccessScope.SEARCH, Arguments, IndexList, embed_list_indexes),
    Tool("index_status", "How indexes stand", AccessScope.SEARCH, Which, Standings, index_status),
)
