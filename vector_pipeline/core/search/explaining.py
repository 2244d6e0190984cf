"""The statements of a search as they are sent, for people who want to see or repeat them.

Values, the query's vector first of all, go to PostgreSQL beside the statement: here too they are only named.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg import sql

_ONLY_SETTINGS = "SELECT set_config("


@contextmanager
def recorded_statements(connection: psycopg.Connection) -> Iterator[list[str]]:
    """A list that grows with each statement that the connection runs inside of the block, with placeholders."""
    statements: list[str] = []

    usual: type[psycopg.Cursor[Any]] = connection.cursor_factory

    class Recording(usual):  # type: ignore[valid-type, misc]
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
            text = as_text(query, connection)
            if not text.startswith(_ONLY_SETTINGS):
                statements.append(text)
            executed: Self = super().execute(query, *arguments, **options)
            return executed

    connection.cursor_factory = Recording
    try:
        yield statements
    finally:
        connection.cursor_factory = usual


def as_text(query: object, connection: psycopg.Connection) -> str:
    """A statement as it is sent, with placeholders."""
    if isinstance(query, sql.Composable):
        text = query.as_string(connection)
    else:
        text = query.decode() if isinstance(query, bytes) else str(query)
    return textwrap.dedent(text).strip()
