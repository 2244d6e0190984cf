"""A few rows of each table, as part of what the catalog says of it: where a declaration asks for them, and only there.

They are those with the lowest keys, which new rows mostly leave as they are: each change of one is another text, and is
paid for. A table without a unique key has none, since nothing says which rows are the first; nor has a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pymysql

from vector_pipeline.core.source.canonical import canonical_expression
from vector_pipeline.core.source.catalog import SourceColumn, SourceTable, read_table
from vector_pipeline.core.source.connection import Connection, identifier, is_about_the_statement
from vector_pipeline.core.source.secret_names import speaks_of_a_secret
from vector_pipeline.core.source.sql_literal import literal

_MOST_COLUMNS = 30
_LONGEST_VALUE = 80


def samples_relation(connection: Connection, tables: Sequence[tuple[str, str]], rows: int) -> str | None:
    """SQL for FROM, with `db`, `tbl` and `samples`: a line for each of the first rows. None where no table has any.

    Args:
        tables: database and name of each.
    """
    found = [sample for database, name in tables for sample in _sample(connection, database, name, rows)]
    return f"({' UNION ALL '.join(found)})" if found else None


def _sample(connection: Connection, database: str, name: str, rows: int) -> Iterator[str]:
    """The statement for one table, if the user may read what it reads."""
    table = read_table(connection, database, name)
    if table is None or not table.unique_keys:
        return
    statement = _statement(table, rows)
    if statement is not None and _is_allowed(connection, statement):
        yield statement


def _statement(table: SourceTable, rows: int) -> str | None:
    shown = [column for column in table.columns.values() if _is_shown(column)][:_MOST_COLUMNS]
    if not shown:
        return None
    values = ", ".join(
        f"CONCAT({literal(column.name)}, ': ', LEFT({canonical_expression(column)}, {_LONGEST_VALUE}))"
        for column in shown
    )
    # The server takes the first rows of the key's index, and reads no more of them.
    key = [identifier(name) for name in min(table.unique_keys, key=lambda names: (len(names), names))]
    places = [f"place_{number}" for number in range(len(key))]
    keys = ", ".join(f"{column} AS {place}" for column, place in zip(key, places, strict=True))
    return rf"""
        SELECT {literal(table.database)} AS db, {literal(table.name)} AS tbl,
            GROUP_CONCAT(`line` ORDER BY {", ".join(places)} SEPARATOR '\n') AS `samples`
        FROM (
            SELECT CONCAT_WS(', ', {values}) AS `line`, {keys}
            FROM {table.relation} ORDER BY {", ".join(key)} LIMIT {rows:d}
        ) first_rows"""


def _is_shown(column: SourceColumn) -> bool:
    form = canonical_expression(column)
    has_words = form is not None and not form.startswith("HEX(") and column.data_type not in {"json", "bit"}
    return has_words and not speaks_of_a_secret(column.name)


def _is_allowed(connection: Connection, statement: str) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM ({statement}) one LIMIT 0", ())
    except pymysql.MySQLError as error:
        if not is_about_the_statement(error):
            raise
        return False
    return True
