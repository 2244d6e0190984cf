"""Documents as they are stored, read by their keys or page by page. Where each stands with its vectors is told too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.reports import StoredDocument
from vector_pipeline.core.search.filters import shown
from vector_pipeline.core.store.registry import RegisteredIndex

# A passage that has its vector counts for nothing but `passages`.
_READ = """
    SELECT d.key, d.metadata, d.updated_at, p.passages, p.behind, p.without, p.quarantined{texts}
    FROM {documents} d
    CROSS JOIN LATERAL (
        SELECT count(*) AS passages,
               count(*) FILTER (WHERE p.served_hash <> p.content_hash) AS behind,
               count(*) FILTER (WHERE p.served_hash IS NULL) AS without,
               count(*) FILTER (WHERE p.served_hash IS DISTINCT FROM p.content_hash AND q.content_hash IS NOT NULL)
                   AS quarantined
        FROM {passages} p
        LEFT JOIN vector_pipeline.quarantine q
            ON q.index_id = %(index)s AND q.space = %(space)s AND q.content_hash = p.content_hash
        WHERE p.key = d.key AND p.field = ANY(%(fields)s)) p
"""


def read(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str]) -> list[StoredDocument]:
    """Those of the keys that are there, in the order of the keys."""
    possible = [key for key in dict.fromkeys(keys) if is_possible_key(key)]
    found = {document.key: document for document in _read(connection, index, "d.key = ANY(%(keys)s)", keys=possible)}
    return [found[key] for key in possible if key in found]


def read_page(
    connection: psycopg.Connection, index: RegisteredIndex, limit: int, after: str | None = None
) -> list[StoredDocument]:
    """The documents behind a key, or from the first, in the bytewise order of their keys: no other is indexed.

    Raises:
        SearchRequestError: no document can have such a key.
    """
    if after is not None and not is_possible_key(after):
        raise SearchRequestError(f"{shown(after)} is no key; give the last one of the page before")
    condition: LiteralString = "true" if after is None else "d.key > %(after)s"
    return _read(connection, index, condition, after=after, limit=limit)


def _read(
    connection: psycopg.Connection, index: RegisteredIndex, condition: LiteralString, **parameters: Any
) -> list[StoredDocument]:
    rendering = index.generation.rendering
    rows = connection.execute(
        sql.SQL(_READ + "WHERE " + condition + " ORDER BY d.key LIMIT %(limit)s").format(
            texts=sql.SQL("").join(sql.SQL(", d.{}").format(sql.Identifier(name)) for name in index.generation.columns),
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
        ),
        {
            "index": index.index_id,
            "space": index.generation.space.number,
            "fields": list(rendering.fields),
            "limit": None,
            **parameters,
        },
    ).fetchall()
    return [
        StoredDocument(
            key, dict(zip(rendering.names, texts, strict=True)), metadata, updated, passages, behind, without, held
        )
        for key, metadata, updated, passages, behind, without, held, *texts in rows
    ]


def is_possible_key(key: str) -> bool:
    """PostgreSQL's texts have neither NUL nor halves of characters."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in key
