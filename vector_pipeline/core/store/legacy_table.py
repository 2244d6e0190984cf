"""A table in which an earlier service kept texts beside their vectors, one row a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psycopg
from psycopg import sql

from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.errors import LegacyImportError
from vector_pipeline.core.store.vector_array import numbers_of

_ROWS_AT_ONCE = 200
_VECTOR_TYPES = ("vector", "halfvec")


@dataclass(frozen=True)
class LegacyTable:
    """Where it is, and what its columns hold.

    Attributes:
        texts: the column of each served text, by its name.
        vectors: the column of each embedded field's vectors, by the field's name.
    """

    schema: str
    name: str
    texts: Mapping[str, str]
    vectors: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class LegacyRows:
    """Some rows.

    Attributes:
        texts: of each row, in the order of the table's `texts`.
        vectors: of each field, those of the rows; a length of 0 where there is none.
    """

    texts: Sequence[tuple[str | None, ...]]
    vectors: Mapping[str, EmbeddedBatch]


def lengths_of_vectors(connection: psycopg.Connection, table: LegacyTable) -> dict[str, int | None]:
    """How many numbers the vectors of each field have, None where the column takes any number.

    Raises:
        LegacyImportError: there is no such table, or it lacks a column, or one that is to hold vectors holds none.
    """
    rows = connection.execute(
        """
        SELECT a.attname, t.typname, a.atttypmod
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) AND a.attnum > 0 AND NOT a.attisdropped
        """,
        (table.schema, table.name),
    ).fetchall()
    columns = {name: (kind, length) for name, kind, length in rows}
    if not columns:
        raise LegacyImportError(f"PostgreSQL has no table {table}; name it with --table SCHEMA.TABLE")
    for column in (*table.texts.values(), *table.vectors.values()):
        if column not in columns:
            raise LegacyImportError(
                f"{table} has no column {column!r}; it has {', '.join(sorted(columns))}. "
                "Name others with --text NAME=COLUMN and --vector FIELD=COLUMN"
            )
    for column in table.vectors.values():
        if columns[column][0] not in _VECTOR_TYPES:
            raise LegacyImportError(
                f"column {column!r} of {table} is of type {columns[column][0]}, not vector; name the column of vectors "
                "with --vector FIELD=COLUMN"
            )
    lengths = {field: columns[column][1] for field, column in table.vectors.items()}
    return {field: None if length < 0 else length for field, length in lengths.items()}


def count_rows(connection: psycopg.Connection, table: LegacyTable) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


def some_rows(
    connection: psycopg.Connection, table: LegacyTable, field: str, lengths: Sequence[int], count: int
) -> LegacyRows:
    """So many rows from all over the table, or all that have a vector of one of these lengths, and not of zeros alone,
    in a field. They come with that field's vectors only."""
    of_field = replace(table, vectors={field: table.vectors[field]})
    rows = connection.execute(
        sql.SQL(
            """
            {select}
            WHERE vector_dims({vector}::vector) = ANY(%s) AND vector_norm({vector}::vector) > 0
            ORDER BY random()
            LIMIT %s
            """
        ).format(select=_select(of_field), vector=sql.Identifier(table.vectors[field])),
        (list(lengths), count),
    ).fetchall()
    return _rows(of_field, rows)


def all_rows(connection: psycopg.Connection, table: LegacyTable) -> Iterator[LegacyRows]:
    """Streams the table, some rows at a time."""
    with connection.transaction(), connection.cursor("legacy_rows") as cursor:
        cursor.execute(_select(table))
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield _rows(table, rows)


def _select(table: LegacyTable) -> sql.Composed:
    texts = (sql.SQL("{}::text").format(sql.Identifier(column)) for column in table.texts.values())
    vectors = (sql.SQL("{}::vector").format(sql.Identifier(column)) for column in table.vectors.values())
    return sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join((*texts, *vectors)), _identifier(table))


def _identifier(table: LegacyTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _rows(table: LegacyTable, rows: Sequence[tuple[object, ...]]) -> LegacyRows:
    width = len(table.texts)
    texts = [tuple(None if text is None else str(text) for text in row[:width]) for row in rows]
    return LegacyRows(
        texts,
        {field: _batch([row[place] for row in rows]) for place, field in enumerate(table.vectors, start=width)},
    )


def _batch(values: Sequence[object]) -> EmbeddedBatch:
    found = [None if value is None else numbers_of(value) for value in values]
    lengths = np.array([0 if vector is None else len(vector) for vector in found], np.int32)
    vectors = np.zeros((len(found), int(lengths.max(initial=0))), np.float32)
    for place, vector in enumerate(found):
        if vector is not None:
            vectors[place, : len(vector)] = vector
    return EmbeddedBatch(vectors, lengths, None)
