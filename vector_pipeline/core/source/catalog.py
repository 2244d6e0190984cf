"""What MySQL's own catalogue says of a table: its columns, their types and which of them are unique keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vector_pipeline.core.source.connection import Connection


@dataclass(frozen=True)
class SourceColumn:
    """One column. `data_type` is the bare type (`varchar`), `column_type` the full one (`varchar(20)`)."""

    name: str
    data_type: str
    column_type: str
    nullable: bool
    maximum_bytes: int | None


@dataclass(frozen=True)
class SourceTable:
    """One table or view. `unique_keys` are columns that a unique index covers alone."""

    database: str
    name: str
    columns: Mapping[str, SourceColumn]
    unique_columns: frozenset[str]

    def column(self, name: str) -> SourceColumn | None:
        """The column of that name; MySQL's column names ignore case."""
        return self.columns.get(name.lower())


def read_table(connection: Connection, database: str, table: str) -> SourceTable | None:
    """Reads the catalogue; None where there is no such table or view, or the user may not see it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (database, table),
        )
        found = cursor.fetchone()
        if found is None:
            return None
        cursor.execute(
            "SELECT column_name, data_type, column_type, is_nullable, character_octet_length"
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
            )
            for name, data_type, column_type, nullable, octets in cursor.fetchall()
        }
        cursor.execute(
            "SELECT MIN(column_name) FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = %s AND non_unique = 0 AND sub_part IS NULL"
            " GROUP BY index_name HAVING COUNT(*) = 1 AND MIN(column_name) IS NOT NULL",
            (database, table),
        )
        unique = frozenset(str(name).lower() for (name,) in cursor.fetchall())
    return SourceTable(database, str(found[0]), columns, unique)


def _text(value: str | bytes) -> str:
    """Oracle MySQL gives `column_type` as a BLOB."""
    return value.decode() if isinstance(value, bytes) else value
