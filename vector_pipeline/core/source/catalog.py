"""What MySQL's own catalogue says of a table: its columns, their types and its indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Any

from vector_pipeline.core.source.connection import Connection, identifier


@dataclass(frozen=True)
class SourceColumn:
    """One column. `data_type` is the bare type (`varchar`), `column_type` the full one (`varchar(20)`).

    Character set and collation are None for what is no text.
    """

    name: str
    data_type: str
    column_type: str
    nullable: bool
    maximum_bytes: int | None
    maximum_characters: int | None
    character_set: str | None
    collation: str | None


@dataclass(frozen=True)
class SourceIndex:
    """One index of a table. Names of columns are in lower case.

    `columns` are those by which it is ordered, in one direction: up to the first of which it holds a part alone, and
    none for an index without an order (hash, full text). `complete` says whether these are all that it has. `primary`
    is the table's primary key.
    """

    columns: tuple[str, ...]
    unique: bool
    complete: bool
    primary: bool = False


@dataclass(frozen=True)
class SourceTable:
    """One table or view; a view has no indexes of its own.

    `derived` is SQL for what is read instead, where nothing of that name holds the rows.
    """

    database: str
    name: str
    columns: Mapping[str, SourceColumn]
    indexes: tuple[SourceIndex, ...]
    is_view: bool
    derived: str | None = None

    @property
    def relation(self) -> str:
        """SQL for FROM, of a statement that is executed with parameters (so % is doubled)."""
        return self.derived or identifier(self.database, self.name)

    @property
    def unique_keys(self) -> list[tuple[str, ...]]:
        """The columns, in lower case, of each index that keeps them unique together and takes no NULL for them."""
        return [
            index.columns
            for index in self.indexes
            if index.unique and index.complete and all(self._never_null(name) for name in index.columns)
        ]

    def _never_null(self, name: str) -> bool:
        column = self.column(name)
        return column is not None and not column.nullable

    def column(self, name: str) -> SourceColumn | None:
        """The column of that name; MySQL's column names ignore case."""
        return self.columns.get(name.lower())


def read_table(connection: Connection, database: str, table: str) -> SourceTable | None:
    """Reads the catalogue; None where there is no such table or view, or the user may not see it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (database, table),
        )
        found = cursor.fetchone()
        if found is None:
            return None
        cursor.execute(
            "SELECT column_name, data_type, column_type, is_nullable, character_octet_length,"
            " character_maximum_length, character_set_name, collation_name"
            " FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s"
            " ORDER BY ordinal_position",
            (database, table),
        )
        columns = {
            str(name).lower(): SourceColumn(
                str(name),
                str(data_type).lower(),
                _text(column_type).lower(),
                nullable == "YES",
                None if octets is None else int(octets),
                None if characters is None else int(characters),
                character_set,
                collation,
            )
            for name, data_type, column_type, nullable, octets, characters, character_set, collation in (
                cursor.fetchall()
            )
        }
        cursor.execute(
            "SELECT index_name, LOWER(column_name), sub_part, collation, non_unique, index_type"
            " FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = %s"
            " ORDER BY index_name, seq_in_index",
            (database, table),
        )
        parts = groupby(cursor.fetchall(), key=lambda row: row[0])
        indexes = tuple(_index([row[1:] for row in rows], name == "PRIMARY") for name, rows in parts)
    return SourceTable(database, str(found[0]), columns, indexes, is_view="VIEW" in str(found[1]).upper())


def _index(parts: Sequence[tuple[Any, ...]], primary: bool) -> SourceIndex:
    """An index from its parts: column (None for an expression), length of the part, direction, not unique, type."""
    _, _, direction, non_unique, kind = parts[0]
    ordered = takewhile(
        lambda part: kind == "BTREE" and part[0] is not None and part[1] is None and part[2] == direction, parts
    )
    columns = tuple(str(part[0]) for part in ordered)
    return SourceIndex(columns, not non_unique, len(columns) == len(parts), primary)


def _text(value: str | bytes) -> str:
    """Oracle MySQL gives `column_type` as a BLOB."""
    return value.decode() if isinstance(value, bytes) else value
