"""The tool that finds tables, by what MySQL's catalog says of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.search import Hit
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.declarations import Declaration, UnknownIndexError, find_catalog
from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.mcp.arguments import Arguments, Limit, Query, Schema
from vector_pipeline.serving.mcp.asked import Asked, CannotDoError
from vector_pipeline.serving.mcp.tool import LongAnswer, Tool


class FoundTable(BaseModel):
    """A table or view."""

    model_config = ConfigDict(serialize_by_alias=True)

    primary_key_value: str = Field(description="Its full name, by which get_documents knows it.")
    database: str = Field(serialization_alias="schema")
    table: str
    kind: str = Field(description="table or view")
    comment: str | None
    columns: str | None = Field(description="A line for each column: its name, its type, its comment.")
    keys: str | None = Field(description="Its primary key, and which tables its foreign keys lead to.")
    primary_key: str | None
    about_rows: int | None = Field(description="How many rows it has, as a power of ten.")
    indexes: list[str] = Field(description="Indexes over its rows, which the tools that search take by `index`.")
    score: float


class CatalogAnswer(LongAnswer):
    """What catalog_search has found."""

    query: str
    total_matches: int
    results: list[FoundTable]
    complete: bool


class CatalogSearch(Arguments):
    """Arguments of catalog_search."""

    query: Query
    database: Schema = None
    limit: Limit = 10


def catalog_search(asked: Asked, given: CatalogSearch) -> CatalogAnswer:
    """Finds MySQL tables by what they are about: their names, columns, keys and comments. It reads no rows.

    Use it to learn which table holds something before you search its rows or make an index over it. `indexes` of a
    result names the indexes that its rows can be searched by already; for a table without any there is
    embed_index_table. `schema` keeps to one database.

    Example: {"query": "find tables related to customer purchases", "limit": 5}
    """
    declaration = _catalog(asked)
    conditions = None if given.database is None else {"database": given.database}
    answer = asked.deployment.search(
        declaration.spec.name, SearchRequest(given.query, given.limit, filter=conditions, mode="hybrid")
    )
    over: dict[tuple[str, str], list[str]] = {}
    for one in asked.everything():
        over.setdefault((asked.database_of(one), one.spec.source.table), []).append(one.spec.name)
    return CatalogAnswer(
        query=given.query,
        total_matches=len(answer.hits),
        results=[_table(hit, over) for hit in answer.hits],
        complete=answer.complete,
    )


def _catalog(asked: Asked) -> Declaration:
    try:
        return find_catalog(asked.everything())
    except UnknownIndexError as error:
        if asked.caller.only is not None:
            raise AccessRefusedError(403, f"{asked.caller.name} is for no index over MySQL's catalog") from None
        raise CannotDoError(str(error)) from None


def _table(hit: Hit, over: dict[tuple[str, str], list[str]]) -> FoundTable:
    values = {**hit.texts, **hit.metadata}
    database, table, rows = str(values.get("database")), str(values.get("table")), values.get("about_rows")

    def text(name: str) -> str | None:
        value = values.get(name)
        return None if value is None else str(value)

    return FoundTable(
        primary_key_value=hit.key,
        database=database,
        table=table,
        kind=text("kind") or "table",
        comment=text("comment"),
        columns=text("columns"),
        keys=text("keys"),
        primary_key=text("primary_key"),
        about_rows=None if rows is None else int(rows),
        indexes=over.get((database, table), []),
        score=hit.score,
    )


CATALOG: tuple[Tool[Any], ...] = (
    Tool(
        "catalog_search",
        "Find tables",
        AccessScope.SEARCH,
        CatalogSearch,
        CatalogAnswer,
        catalog_search,
        "search",
    ),
)
