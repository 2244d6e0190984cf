"""A declaration made of a few words: which table, which columns, how. What is left out is chosen as users would expect.

Every name is looked up in MySQL's catalogue, and goes on as the catalogue writes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vector_pipeline.core.declaration import reserved_served_names, static_problems
from vector_pipeline.core.embedding.choose import choose_model
from vector_pipeline.core.errors import ConfigurationError, DeclarationProblem, IndexSpecError, WhereClauseError
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.source.canonical import BINARY_TYPES, canonical_expression
from vector_pipeline.core.source.catalog import SourceColumn, SourceTable, read_table
from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.keys import unusable_as_key
from vector_pipeline.core.source.secret_names import speaks_of_a_secret
from vector_pipeline.core.source.where_clause import read_where_clause, try_where_clause
from vector_pipeline.core.spec import DocumentSpec, EmbeddingSpec, IndexSpec, SourceSpec
from vector_pipeline.core.store.declared_indexes import ORIGIN

TableStrategy = Literal["separate", "concat", "average"]
STRATEGIES: tuple[TableStrategy, ...] = get_args(TableStrategy)

SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_LONGEST_METADATA_CHARACTERS = 1024
_MOST_NAMES_TOLD = 30
# With the suffixes of its assets, jobs and sensors a name of this length is still readable in Dagster.
_LONGEST_NAME = 48


@dataclass(frozen=True)
class TableRequest:
    """What is asked for. `primary_key` None means the table's own, `model` None the environment's."""

    schema: str
    table: str
    columns: Sequence[str]
    primary_key: Sequence[str] | None = None
    where_clause: str | None = None
    model: str | None = None
    strategy: str = "separate"


def declaration_for_table(
    source: Connection, request: TableRequest, settings: EmbeddingSettings, taken: Collection[str] = ()
) -> IndexSpec:
    """The declaration of an index over a table. What has no part in the texts, and is neither large nor binary nor
    named like a secret, is metadata, so that a hit shows its row.

    Args:
        source: a read-only session.
        taken: names that other indexes have.

    Raises:
        IndexSpecError: naming what is wrong, and what is allowed instead.
    """
    if request.strategy not in STRATEGIES:
        raise _wrong("embedding.strategy", f"there is no strategy {request.strategy!r}", f"use {_listed(STRATEGIES)}")
    table = _find_table(source, request)
    key = _key(request, table)
    texts = _text_columns(request, table)
    _refuse_a_foreign_model(request, settings)
    served = _ServedNames(request.strategy, [column.name for column in texts])
    text = {served.give(column.name): column.name for column in texts}
    # A hit has its key anyway.
    chosen = {column.name for column in texts} | (set(key) if len(key) == 1 else set())
    others = [column for column in table.columns.values() if column.name not in chosen and _is_shown(column)]
    spec = IndexSpec(
        name=index_name(table.database, table.name, taken),
        source=SourceSpec(
            table=table.name,
            database=table.database,
            primary_key=key[0] if len(key) == 1 else list(key),
            where=_condition(source, request, table),
        ),
        document=DocumentSpec(text=dict(text), metadata={served.give(column.name): column.name for column in others}),
        embedding=EmbeddingSpec.model_validate({"model": request.model, "strategy": request.strategy}),
        description=f"{table.database}.{table.name}, declared at run time.",
    )
    problems = static_problems(spec)
    if problems:
        raise IndexSpecError(ORIGIN, problems)
    return spec


def index_name(schema: str, table: str, taken: Collection[str] = ()) -> str:
    """A name for the index of a table: readable, valid, and none that is taken (in any case)."""
    plain = re.sub(r"\W+", "_", f"{schema}_{table}", flags=re.ASCII).strip("_").lower()
    lowered = {name.lower() for name in taken}
    usable = plain == f"{schema}_{table}" and len(plain) <= _LONGEST_NAME and re.match(r"[a-z]", plain)
    if usable and not plain.startswith("pg_") and plain not in lowered:
        return plain
    digest = hashlib.sha256(f"{schema}\0{table}".encode()).hexdigest()
    readable = re.sub(r"^(pg_|(?=[^a-z]))", "index_", plain[: _LONGEST_NAME - 7] or "table")[: _LONGEST_NAME - 7]
    lengths = range(6, len(digest) + 1)
    return next(name for length in lengths if (name := f"{readable}_{digest[:length]}") not in lowered)


def _find_table(source: Connection, request: TableRequest) -> SourceTable:
    """The table or view, by the names that the catalogue has for it."""
    with source.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            (request.schema, request.table),
        )
        found = [(str(schema), str(table)) for schema, table in cursor.fetchall()]
    asked = (request.schema, request.table)
    names = asked if asked in found else found[0] if len(found) == 1 else None
    if names is not None and names[0].lower() in SYSTEM_SCHEMAS:
        raise _wrong("source.database", f"{names[0]} is the server's own", "name a schema of data")
    table = read_table(source, *names) if names is not None else None
    if table is None:
        raise _wrong(
            "source.table",
            f"there is no table or view {request.schema}.{request.table} that this user may read",
            _there_is(source, request.schema),
        )
    return table


def _there_is(source: Connection, schema: str) -> str:
    with source.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables ORDER BY table_schema, table_name"
        )
        found = [(str(one), str(table)) for one, table in cursor.fetchall()]
    found = [(one, table) for one, table in found if one.lower() not in SYSTEM_SCHEMAS]
    tables = [table for one, table in found if one.lower() == schema.lower()]
    if tables:
        return f"name one of {schema}'s: {_listed(tables)}"
    schemas = list(dict.fromkeys(one for one, _ in found))
    return f"name one of these schemas: {_listed(schemas)}" if schemas else "GRANT SELECT on it"


def _key(request: TableRequest, table: SourceTable) -> tuple[str, ...]:
    if request.primary_key is not None:
        return tuple(_column(name, table, "source.primary_key").name for name in request.primary_key)
    unique = sorted((index for index in table.indexes if index.unique and index.complete), key=lambda i: not i.primary)
    for index in unique:
        columns = [column for name in index.columns if (column := table.column(name)) is not None]
        if columns and all(not column.nullable and unusable_as_key(column) is None for column in columns):
            return tuple(column.name for column in columns)
    raise _wrong(
        "source.primary_key",
        f"{table.database}.{table.name} has no key that identifies its rows",
        "name the columns that do (primary_key), or give the table a primary key",
    )


def _text_columns(request: TableRequest, table: SourceTable) -> list[SourceColumn]:
    field = "document.text"
    if not request.columns:
        raise _wrong(field, "no column to embed is named", f"name some of: {_columns_of(table)}")
    columns = [_column(name, table, field) for name in request.columns]
    for column in columns:
        if not _has_words(column):
            raise _wrong(
                field,
                f"column {column.name!r} has type {column.column_type}, which has no words",
                f"name some of: {_listed([one.name for one in table.columns.values() if _has_words(one)])}",
            )
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise _wrong(field, f"a column is named more than once: {', '.join(names)}", "name each column once")
    return columns


def _column(name: str, table: SourceTable, field: str) -> SourceColumn:
    column = table.column(name)
    if column is None:
        raise _wrong(
            field, f"{table.database}.{table.name} has no column {name!r}", f"name some of: {_columns_of(table)}"
        )
    return column


def _has_words(column: SourceColumn) -> bool:
    form = canonical_expression(column)
    return form is not None and column.data_type not in BINARY_TYPES and not form.startswith("HEX(")


def _is_shown(column: SourceColumn) -> bool:
    """Whether a hit carries it along: neither large, nor binary, nor named like a secret."""
    large = column.data_type == "json" or (column.maximum_characters or 0) > _LONGEST_METADATA_CHARACTERS
    return _has_words(column) and not large and not speaks_of_a_secret(column.name)


def _condition(source: Connection, request: TableRequest, table: SourceTable) -> str | None:
    if request.where_clause is None or not request.where_clause.strip():
        return None
    try:
        clause = read_where_clause(request.where_clause, table)
        try_where_clause(source, table, clause)
    except WhereClauseError as error:
        raise _wrong("source.where", str(error), "or leave where_clause out, to index every row") from None
    return clause


def _refuse_a_foreign_model(request: TableRequest, settings: EmbeddingSettings) -> None:
    """What a server really has is found out by asking it, before the declaration is kept."""
    usual = choose_model(EmbeddingSpec(), settings).model
    try:
        choose_model(EmbeddingSpec(model=request.model), settings)
    except ConfigurationError:
        raise _wrong(
            "embedding.model", f"the provider of this deployment has no model {request.model!r}", f"use {usual!r}"
        ) from None


class _ServedNames:
    """Gives each column a name to be served by: its own where it can be, else one like it."""

    def __init__(self, strategy: str, texts: Sequence[str]) -> None:
        fields = texts if strategy == "separate" else [strategy]
        self._taken = {name.lower() for name in reserved_served_names(fields)}

    def give(self, name: str) -> str:
        usable = name.replace("%", "_").replace("\0", "_").strip() or "column"
        # Bytes, not characters, are counted; a cut character is dropped.
        usable = usable.encode()[:40].decode(errors="ignore")
        candidates = (usable, f"{usable}_column", *(f"{usable}_{number}" for number in range(2, 5000)))
        given = next(candidate for candidate in candidates if candidate.lower() not in self._taken)
        self._taken.add(given.lower())
        return given


def _columns_of(table: SourceTable) -> str:
    return _listed([column.name for column in table.columns.values()])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES_TOLD} more" if len(names) > _MOST_NAMES_TOLD else ""
    return ", ".join(names[:_MOST_NAMES_TOLD]) + more


def _wrong(field: str, problem: str, remedy: str) -> IndexSpecError:
    return IndexSpecError(ORIGIN, [DeclarationProblem(field, problem, remedy)])
