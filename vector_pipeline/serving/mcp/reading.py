"""The tools that read rows by their primary keys: as they were indexed, and as they are in MySQL now."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from vector_pipeline.core.preparation import right_table
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline.core.source.rows_by_key import read_rows_by_key
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.mcp.arguments import Columns, Keys, Which
from vector_pipeline.serving.mcp.asked import Asked, CannotDoError
from vector_pipeline.serving.mcp.tool import SECONDS, LongAnswer, Tool

_MOST_SOURCE_BYTES = 1_000_000

_Missing = Annotated[list[str], Field(description="The keys that no row has.")]


class Row(BaseModel):
    """A row by its key."""

    primary_key_value: str
    metadata: dict[str, Any] = Field(description="The columns that the index declares.")


class IndexedRow(Row):
    """A row as it was indexed."""

    vector_behind: bool = Field(description="Its text has changed, and its new vector is not there yet.")


class SourceAnswer(LongAnswer):
    """What fetch_from_source has read."""

    index: str
    results: list[Row]
    missing: _Missing


class IndexedAnswer(LongAnswer):
    """What get_documents has read."""

    index: str
    results: list[IndexedRow]
    missing: _Missing


class ByKey(Which):
    """Arguments of get_documents and fetch_from_source."""

    keys: Keys
    columns: Columns = None


def get_documents(asked: Asked, given: ByKey) -> IndexedAnswer:
    """Reads rows by their primary keys as they were last indexed, from the search database. Asks no MySQL.

    Use it to read the whole text of hits whose snippet is not enough, or rows whose keys you know. For what MySQL holds
    at this moment take fetch_from_source. Name the table by `schema` and `table`, or the index by `index`.

    Example: {"table": "orders", "keys": ["17", "23"], "columns": ["notes", "status"]}
    """
    declaration = asked.one(given)
    with asked.deployment.opened(declaration.spec.name) as opened:
        found = opened.documents(given.keys)
    rows = {one.key: (one, {**one.texts, **one.metadata}) for one in found}
    for _, row in rows.values():
        _refuse_unknown(given.columns, row)
    return IndexedAnswer(
        index=declaration.spec.name,
        results=[
            IndexedRow(
                primary_key_value=one.key,
                metadata={name: row[name] for name in given.columns or row},
                vector_behind=one.behind + one.without_vector > 0,
            )
            for one, row in rows.values()
        ],
        missing=[key for key in dict.fromkeys(given.keys) if key not in rows],
    )


def fetch_from_source(asked: Asked, given: ByKey) -> SourceAnswer:
    """Reads rows by their primary keys from MySQL as they are at this moment: columns and rows that the index declares.

    Use it where the very latest state counts, such as the status of an order that a search has found; get_documents is
    cheaper. At most 100 rows and 1 MB. Name the table by `schema` and `table`, or the index by `index`.

    Example: {"table": "orders", "keys": ["17"], "columns": ["status"]}
    """
    declaration = asked.one(given)
    spec, deployment = declaration.spec, asked.deployment
    _refuse_unknown(given.columns, {**spec.document.text, **spec.document.metadata})
    texts, metadata = (
        {name: column for name, column in declared.items() if given.columns is None or name in given.columns}
        for declared in (spec.document.text, spec.document.metadata)
    )
    with deployment.source(spec.name) as source:
        table = right_table(source, spec, asked.database_of(declaration), declaration.origin)
        plan = plan_reading(spec, table, texts, metadata)
        try:
            found = read_rows_by_key(source, plan, given.keys, _MOST_SOURCE_BYTES, SECONDS)
        except ValueError as error:
            raise CannotDoError(f"keys: {str(error)[:200]}") from None
    left_out = None
    if found.left_out:
        left_out = (
            f"{len(found.left_out)} of the rows, since the answer would be longer than 1 MB: those with the keys "
            f"{', '.join(found.left_out[:20])}. Ask for fewer keys or columns at once"
        )
    return SourceAnswer(
        index=spec.name,
        results=[Row(primary_key_value=row.key, metadata=_values(plan, row.values)) for row in found.rows],
        missing=list(found.missing),
        left_out=left_out,
    )


def _refuse_unknown(columns: Collection[str] | None, known: Mapping[str, object]) -> None:
    unknown = [name for name in columns or () if name not in known]
    if unknown:
        raise CannotDoError(f"columns: the index declares no {unknown[0]!r}; it declares {', '.join(known)}")


def _values(plan: ReadingPlan, values: Mapping[str, str | None]) -> dict[str, Any]:
    """Exact numbers as numbers, all else in its text form, as metadata of documents are."""
    numbers = {column.served for column in plan.metadata if column.exact_number}
    return {
        name: json.loads(value) if value is not None and name in numbers else value for name, value in values.items()
    }


READING: tuple[Tool[Any], ...] = (
    Tool("get_documents", "Read indexed rows", AccessScope.SEARCH, ByKey, IndexedAnswer, get_documents),
    Tool(
        "fetch_from_source",
        "Read rows from MySQL",
        AccessScope.SEARCH,
        ByKey,
        SourceAnswer,
        fetch_from_source,
        "source",
    ),
)
