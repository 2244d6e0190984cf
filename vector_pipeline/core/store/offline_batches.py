"""The offline batches of an index: what was submitted, and which texts they still owe a vector.

A text is in at most one batch, and no run sends it meanwhile. It leaves the batch in the transaction that stores its
vector or its refusal, or with the end of the batch: so whatever dies, each text is stored once and paid for once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.embedding.offline import RemoteBatch
from vector_pipeline.core.embedding.prices import cost_of
from vector_pipeline.core.reports import BatchReport
from vector_pipeline.core.store import spending, vectors
from vector_pipeline.core.store.quarantine import storable
from vector_pipeline.core.store.registry import RegisteredIndex

SUBMITTING, UNDER_WAY, ENDED = "submitting", "under way", "ended"
_MOST_REPORTED = 20
_ERASED = "what was said of it is erased"


@dataclass(frozen=True)
class OfflineBatch:
    """A batch that has not ended. `price` is in USD per million tokens, None if unknown; `reserved` is what is set
    aside of the budget of `day`."""

    batch: int
    generation: int
    space: int
    mark: str
    standing: str
    price: Decimal | None
    day: date
    reserved: Decimal
    file_id: str | None
    batch_id: str | None
    created_at: datetime
    seconds_since_upload: float | None


@dataclass(frozen=True)
class OwedText:
    """What is known of a text in a batch; `tokens` is an estimate."""

    fields: tuple[str, ...]
    tokens: int


@dataclass(frozen=True)
class BatchText:
    """A text that goes into a batch, known by its hash: the fields that need its vector, and how many tokens it is
    estimated to have."""

    content_hash: ContentHash
    fields: tuple[str, ...]
    tokens: int


def add(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    mark: str,
    texts: Sequence[BatchText],
    price: Decimal | None,
    day: date,
    reserved: Decimal,
) -> int:
    """Enters a batch that is about to be sent, with its texts. Returns its number. Call it in a transaction."""
    space = index.generation.space.number
    row = connection.execute(
        """
        INSERT INTO vector_pipeline.offline_batches
            (index_id, generation, space, mark, standing, texts, price, day, reserved, cost)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        RETURNING batch
        """,
        (
            *(index.index_id, index.generation.number, space, mark, SUBMITTING, len(texts), price, day, reserved),
            None if price is None else 0,
        ),
    ).fetchone()
    assert row is not None
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY vector_pipeline.offline_batch_texts (index_id, space, content_hash, batch, fields, tokens) FROM STDIN"
        ) as copy,
    ):
        for text in texts:
            copy.write_row((index.index_id, space, text.content_hash, row[0], list(text.fields), text.tokens))
    return int(row[0])


def note_upload(connection: psycopg.Connection, batch: int, file_id: str) -> None:
    """Remembers the file of a batch that is about to be made of it."""
    connection.execute(
        "UPDATE vector_pipeline.offline_batches SET file_id = %s, uploaded_at = now() WHERE batch = %s",
        (file_id, batch),
    )


def note_remote(connection: psycopg.Connection, batch: int, remote: RemoteBatch) -> None:
    """Remembers the batch as the provider tells of it."""
    connection.execute(
        """
        UPDATE vector_pipeline.offline_batches
        SET standing = %s, batch_id = %s, status = %s, completed = %s
        WHERE batch = %s AND standing <> %s
        """,
        (UNDER_WAY, remote.batch_id, remote.status, remote.completed, batch, ENDED),
    )


def living(connection: psycopg.Connection, index: RegisteredIndex) -> list[OfflineBatch]:
    """The index's batches that have not ended, of all generations, the oldest first."""
    with connection.cursor(row_factory=class_row(OfflineBatch)) as cursor:
        return cursor.execute(
            """
            SELECT batch, generation, space, mark, standing, price, day, reserved, file_id, batch_id, created_at,
                   extract(epoch FROM now() - uploaded_at)::float8 AS seconds_since_upload
            FROM vector_pipeline.offline_batches
            WHERE index_id = %s AND standing <> %s
            ORDER BY batch
            """,
            (index.index_id, ENDED),
        ).fetchall()


def owed(connection: psycopg.Connection, batch: int, hashes: Sequence[ContentHash]) -> dict[ContentHash, OwedText]:
    """Those of the texts that the batch still owes, locked until the end of the transaction."""
    rows = connection.execute(
        """
        SELECT content_hash, fields, tokens FROM vector_pipeline.offline_batch_texts
        WHERE batch = %s AND content_hash = ANY(%s)
        FOR UPDATE
        """,
        (batch, list(hashes)),
    ).fetchall()
    return {content_hash: OwedText(tuple(fields), tokens) for content_hash, fields, tokens in rows}


def settle(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    batch: OfflineBatch,
    hashes: Sequence[ContentHash],
    embedded: int,
    usage: spending.Usage,
) -> None:
    """Takes texts whose vector or refusal is stored out of the batch, and enters what they have cost. In a transaction.

    Args:
        embedded: of how many the vector is stored.
    """
    connection.execute(
        "DELETE FROM vector_pipeline.offline_batch_texts WHERE batch = %s AND content_hash = ANY(%s)",
        (batch.batch, list(hashes)),
    )
    connection.execute(
        """
        UPDATE vector_pipeline.offline_batches
        SET embedded = embedded + %s, quarantined = quarantined + %s, tokens = tokens + %s, cost = cost + %s
        WHERE batch = %s
        """,
        (embedded, len(hashes) - embedded, usage.tokens, usage.cost, batch.batch),
    )
    spending.add(connection, index, usage, batch.day)


def end(
    connection: psycopg.Connection, index: RegisteredIndex, batch: OfflineBatch, status: str | None, message: str
) -> int:
    """Ends a batch and gives back the texts that it owes: whoever fills vectors next takes them. Returns how many."""
    with connection.transaction():
        given_back = connection.execute(
            "DELETE FROM vector_pipeline.offline_batch_texts WHERE batch = %s", (batch.batch,)
        ).rowcount
        ended = connection.execute(
            """
            UPDATE vector_pipeline.offline_batches
            SET standing = %s, given_back = %s, status = coalesce(%s, status), message = %s, ended_at = now()
            WHERE batch = %s AND standing <> %s
            """,
            (ENDED, given_back, status, storable(message) or None, batch.batch, ENDED),
        ).rowcount
        if ended and batch.reserved:
            spending.release(connection, index, batch.reserved, batch.day)
    return given_back


def awaited(connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[ContentHash]) -> set[ContentHash]:
    """Which of the texts a batch owes."""
    rows = connection.execute(
        """
        SELECT content_hash FROM vector_pipeline.offline_batch_texts
        WHERE index_id = %s AND space = %s AND content_hash = ANY(%s)
        """,
        (index.index_id, index.generation.space.number, list(hashes)),
    ).fetchall()
    return {content_hash for (content_hash,) in rows}


def count_owed(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """How many texts batches owe the vector space of the index's generation."""
    row = connection.execute(
        "SELECT count(*) FROM vector_pipeline.offline_batch_texts WHERE index_id = %s AND space = %s",
        (index.index_id, index.generation.space.number),
    ).fetchone()
    assert row is not None
    return int(row[0])


def erase_unneeded(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Takes texts that no passage has out of their batches: what comes of them is not stored. It will be paid for, so
    that its estimate goes into the ledger, which is too much for a batch that fails.

    What was said of batches goes as well, since it may quote a text.

    Call it in a transaction that holds the vectors alone.
    """
    erased = connection.execute(
        sql.SQL(
            """
            WITH erased AS (
                DELETE FROM vector_pipeline.offline_batch_texts v
                WHERE v.index_id = %s AND v.space = %s AND {}
                RETURNING batch, tokens)
            SELECT b.batch, b.price, b.day, count(*), sum(e.tokens)
            FROM erased e JOIN vector_pipeline.offline_batches b USING (batch)
            GROUP BY b.batch ORDER BY b.batch
            """
        ).format(vectors.no_passage_has(connection, index)),
        (index.index_id, index.generation.space.number),
    ).fetchall()
    for batch, price, day, texts, tokens in erased:
        cost = None if price is None else cost_of(tokens, price)
        connection.execute(
            "UPDATE vector_pipeline.offline_batches SET tokens = tokens + %s, cost = cost + %s WHERE batch = %s",
            (tokens, cost, batch),
        )
        spending.add(connection, index, spending.Usage(texts, texts, tokens, tokens, cost), day)
    connection.execute(
        "UPDATE vector_pipeline.offline_batches SET message = %s WHERE index_id = %s AND message <> %s",
        (_ERASED, index.index_id, _ERASED),
    )


def count_owed_by(connection: psycopg.Connection, batch: int) -> int:
    """How many texts one batch owes."""
    row = connection.execute(
        "SELECT count(*) FROM vector_pipeline.offline_batch_texts WHERE batch = %s", (batch,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def waiting_ranges(connection: psycopg.Connection, index: RegisteredIndex) -> set[int]:
    """Ranges of the index's generation that lack nothing but what batches owe: there is nothing to do for them."""
    if not count_owed(connection, index):
        return set()
    rows = connection.execute(
        sql.SQL(
            """
            SELECT d.range_id
            FROM {passages} p
            JOIN {documents} d ON d.key = p.key
            LEFT JOIN vector_pipeline.offline_batch_texts b
                ON b.index_id = %(index)s AND b.space = %(space)s AND b.content_hash = p.content_hash
            WHERE p.served_hash IS DISTINCT FROM p.content_hash AND p.field = ANY(%(fields)s)
              AND NOT EXISTS (
                  SELECT FROM vector_pipeline.quarantine q
                  WHERE q.index_id = %(index)s AND q.space = %(space)s AND q.content_hash = p.content_hash)
            GROUP BY d.range_id
            HAVING bool_and(b.content_hash IS NOT NULL)
            """
        ).format(
            passages=sql.Identifier(index.schema, index.passages),
            documents=sql.Identifier(index.schema, "documents"),
        ),
        {
            "index": index.index_id,
            "space": index.generation.space.number,
            "fields": list(index.generation.rendering.embedded_fields),
        },
    ).fetchall()
    return {range_id for (range_id,) in rows}


def reports(connection: psycopg.Connection, index: RegisteredIndex) -> list[BatchReport]:
    """The index's latest batches, the newest first."""
    with connection.cursor(row_factory=class_row(BatchReport)) as cursor:
        return cursor.execute(
            """
            SELECT batch AS number, generation, standing, status, batch_id, texts, completed, embedded, quarantined,
                   given_back, tokens, cost::float8 AS cost, message, created_at, ended_at
            FROM vector_pipeline.offline_batches
            WHERE index_id = %s
            ORDER BY standing = %s, batch DESC
            LIMIT %s
            """,
            (index.index_id, ENDED, _MOST_REPORTED),
        ).fetchall()
