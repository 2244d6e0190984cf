"""The vectors of an index: which are needed, which are there, and how they come and go.

Embedding is a set difference: the (text, field) pairs that passages need, less those that have a vector. A text
that occurs in two fields is paid once; a retired vector comes back free of charge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import ContentHash, Rendering, RenderingError, hash_text
from vector_pipeline.core.embedding.provider import Vectors
from vector_pipeline.core.store import generations, quarantine
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vector_array import VectorArray


@dataclass(frozen=True, slots=True)
class NeededText:
    """A text that has no vector yet, and the fields in which it needs one."""

    content_hash: ContentHash
    text: str
    fields: tuple[str, ...]


def honest_condition(index: RegisteredIndex) -> sql.Composed:
    """SQL over vectors (alias v): a norm that a cosine can be computed with, and zeros only where padding put them.

    Length and finiteness are kept by pgvector's own type.
    """
    space = index.generation.space
    # The bounds of `honesty`: where float32 sums of squares lose their digits, and where they overflow.
    vector = sql.SQL("v.embedding" if space.storage == "vector" else "v.embedding::vector")
    condition: sql.Composable = sql.SQL("vector_norm({}) BETWEEN 1e-19 AND 1.9e19").format(vector)
    padding = space.stored_dimensions - space.native_dimensions
    if padding:
        condition += sql.SQL(" AND vector_norm(subvector({}, {}, {})) = 0").format(
            vector, sql.Literal(space.native_dimensions + 1), sql.Literal(padding)
        )
    return sql.SQL("({})").format(condition)


def count_texts(connection: psycopg.Connection, index: RegisteredIndex, range_id: int) -> int:
    """How many distinct texts the passages of a range have, without those that an offline batch owes. A mean is none:
    nobody is asked for it."""
    row = connection.execute(
        sql.SQL(
            """
            SELECT count(DISTINCT p.content_hash)
            FROM {documents} d JOIN {passages} p ON p.key = d.key
            WHERE d.range_id = %s AND p.field = ANY(%s)
              AND NOT EXISTS (
                  SELECT FROM vector_pipeline.offline_batch_texts b
                  WHERE b.index_id = %s AND b.space = %s AND b.content_hash = p.content_hash)
            """
        ).format(**_tables(index)),
        (
            *(range_id, list(index.generation.rendering.embedded_fields)),
            *(index.index_id, index.generation.space.number),
        ),
    ).fetchone()
    assert row is not None
    return int(row[0])


def needed_texts(connection: psycopg.Connection, index: RegisteredIndex, range_id: int) -> list[NeededText]:
    """The texts of a range that have no vector, are not waiting in the quarantine or for an offline batch, and are
    there to be rendered.

    A passage whose document has changed meanwhile renders another hash and is left to the next sync.
    """
    rendering = index.generation.rendering
    rows = connection.execute(
        sql.SQL(
            """
            SELECT array_agg(p.field ORDER BY p.field, p.ordinal),
                   array_agg(p.char_start ORDER BY p.field, p.ordinal),
                   array_agg(p.char_end ORDER BY p.field, p.ordinal),
                   array_agg(p.content_hash ORDER BY p.field, p.ordinal),
                   {texts}
            FROM {documents} d
            JOIN {passages} p ON p.key = d.key
            WHERE d.range_id = %s AND p.field = ANY(%s)
              AND NOT EXISTS (
                  SELECT FROM {vectors} v WHERE v.content_hash = p.content_hash AND v.field = p.field)
              AND NOT EXISTS (
                  SELECT FROM vector_pipeline.quarantine q
                  WHERE q.index_id = %s AND q.space = %s AND q.content_hash = p.content_hash
                    AND (q.next_attempt_at IS NULL OR q.next_attempt_at > now()))
              AND NOT EXISTS (
                  SELECT FROM vector_pipeline.offline_batch_texts b
                  WHERE b.index_id = %s AND b.space = %s AND b.content_hash = p.content_hash)
            GROUP BY d.key
            ORDER BY d.sort_key
            """
        ).format(
            texts=sql.SQL(", ").join(
                sql.SQL("d.{}").format(sql.Identifier(column)) for column in index.generation.columns
            ),
            **_tables(index),
        ),
        (range_id, list(rendering.embedded_fields), *(2 * (index.index_id, index.generation.space.number))),
    ).fetchall()
    return _render_needed(rendering, rows)


def _render_needed(rendering: Rendering, rows: Iterable[Sequence[Any]]) -> list[NeededText]:
    """Each row is a document: fields, starts, ends and hashes of its passages, then its texts."""
    needed: dict[ContentHash, tuple[str, list[str]]] = {}
    for fields, starts, ends, hashes, *texts in rows:
        whole = _texts_of(rendering, texts)
        for field, start, end, content_hash in zip(fields, starts, ends, hashes, strict=True):
            text = whole.get(field, "")[start:end]
            if hash_text(text) == content_hash:
                _, needed_in = needed.setdefault(content_hash, (text, []))
                if field not in needed_in:
                    needed_in.append(field)
    return [NeededText(content_hash, text, tuple(fields)) for content_hash, (text, fields) in needed.items()]


def _texts_of(rendering: Rendering, texts: Sequence[str | None]) -> dict[str, str]:
    try:
        return rendering.texts_of(texts)
    except RenderingError:
        return {}  # somebody has changed the document by hand


def with_a_vector(
    connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[ContentHash]
) -> set[ContentHash]:
    """Which of the texts have an honest vector, in whichever field, searched or retired."""
    rows = connection.execute(
        sql.SQL(
            """
            SELECT v.content_hash FROM {vectors} v WHERE v.content_hash = ANY(%(hashes)s) AND {honest}
            UNION
            SELECT v.content_hash FROM {retired} v WHERE v.content_hash = ANY(%(hashes)s) AND {honest}
            """
        ).format(honest=honest_condition(index), **_tables(index)),
        {"hashes": list(hashes)},
    ).fetchall()
    return {content_hash for (content_hash,) in rows}


def take_over(connection: psycopg.Connection, index: RegisteredIndex, texts: Sequence[NeededText]) -> None:
    """Gives the texts vectors that are stored already: under another field, or among the retired ones."""
    pairs = [(text.content_hash, field) for text in texts for field in text.fields]
    if not pairs:
        return
    hashes, fields = zip(*pairs, strict=True)
    with connection.transaction():
        in_transaction(connection, Lock.VECTORS, index.index_id, shared=True)
        connection.execute(
            sql.SQL(
                """
                INSERT INTO {vectors} (content_hash, field, embedding)
                SELECT DISTINCT ON (w.content_hash, w.field) w.content_hash, w.field, stored.embedding
                FROM unnest(%(hashes)s::bytea[], %(fields)s::text[]) w(content_hash, field)
                JOIN (
                    SELECT v.content_hash, v.embedding FROM {vectors} v
                    WHERE v.content_hash = ANY(%(hashes)s) AND {honest}
                    UNION ALL
                    SELECT v.content_hash, v.embedding FROM {retired} v
                    WHERE v.content_hash = ANY(%(hashes)s) AND {honest}
                ) stored ON stored.content_hash = w.content_hash
                ORDER BY w.content_hash, w.field
                ON CONFLICT DO NOTHING
                """
            ).format(honest=honest_condition(index), **_tables(index)),
            {"hashes": list(hashes), "fields": list(fields)},
        )


def store_vectors(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    texts: Sequence[NeededText],
    vectors: Sequence[Vectors],
    erased: Set[ContentHash] = frozenset(),
) -> None:
    """Stores one honest vector per text under each of its fields and lets passages be found by it, in one commit.

    In key order and past conflicts, so that two runs with the same text neither collide nor deadlock. A passage that
    another transaction is writing is passed over: its own range lets it be found (`settle_vectors_complete`).

    Args:
        vectors: those of the texts, in their order, in as many arrays as they came in.
        erased: texts of which nothing may be stored any more.
    """
    rows = sorted(
        (text.content_hash, field, position)
        for position, text in enumerate(texts)
        if text.content_hash not in erased
        for field in text.fields
    )
    if not rows:
        return
    hashes = [text.content_hash for text in texts if text.content_hash not in erased]
    in_key_order = np.concatenate(vectors)[[position for _, _, position in rows]]
    with connection.transaction():
        # No vector that is found here may be retired before this is committed.
        in_transaction(connection, Lock.VECTORS, index.index_id, shared=True)
        connection.execute(
            sql.SQL(
                """
                INSERT INTO {vectors} (content_hash, field, embedding)
                SELECT * FROM unnest(%s::bytea[], %s::text[], %s)
                ON CONFLICT DO NOTHING
                """
            ).format(**_tables(index)),
            ([row[0] for row in rows], [row[1] for row in rows], VectorArray(in_key_order)),
        )
        quarantine.release(connection, index, hashes)
        connection.execute(
            sql.SQL(
                """
                UPDATE {passages} p
                SET served_hash = content_hash
                FROM (
                    SELECT key, field, ordinal FROM {passages}
                    WHERE content_hash = ANY(%(hashes)s) AND served_hash IS DISTINCT FROM content_hash
                    FOR UPDATE SKIP LOCKED) behind
                WHERE (p.key, p.field, p.ordinal) = (behind.key, behind.field, behind.ordinal)
                  AND p.content_hash = ANY(%(hashes)s)
                """
            ).format(**_tables(index)),
            {"hashes": hashes},
        )


def store_retired(
    connection: psycopg.Connection, index: RegisteredIndex, texts: Sequence[NeededText], found: Vectors
) -> int:
    """Stores honest vectors of texts that nothing serves yet, where a text has none. Returns how many.

    Args:
        found: shape (texts, stored dimensions), in the order of the texts, each of which is there once.
    """
    known = with_a_vector(connection, index, [text.content_hash for text in texts])
    rows = sorted(
        (text.content_hash, text.fields[0], n) for n, text in enumerate(texts) if text.content_hash not in known
    )
    if not rows:
        return 0
    with connection.transaction():
        in_transaction(connection, Lock.VECTORS, index.index_id, shared=True)
        return connection.execute(
            sql.SQL(
                """
                INSERT INTO {retired} (content_hash, field, embedding)
                SELECT * FROM unnest(%s::bytea[], %s::text[], %s)
                ON CONFLICT DO NOTHING
                """
            ).format(**_tables(index)),
            ([row[0] for row in rows], [row[1] for row in rows], VectorArray(found[[row[2] for row in rows]])),
        ).rowcount


def retire_unserved(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Moves vectors that no passage of any generation needs or serves out of the searched table. Returns how many.

    Alone among the writers, so that no transaction can count on a vector that is about to go.
    """
    with connection.transaction():
        in_transaction(connection, Lock.VECTORS, index.index_id)
        # Under the lock: a generation that is new by now may have passages by now.
        needed = sql.SQL(" AND ").join(
            sql.SQL(
                """
                NOT EXISTS (SELECT FROM {passages} p WHERE p.served_hash = v.content_hash AND p.field = v.field)
                AND NOT EXISTS (
                    SELECT FROM {passages} p
                    WHERE p.content_hash = v.content_hash AND p.field = v.field
                      AND p.served_hash IS DISTINCT FROM p.content_hash)
                """
            ).format(passages=passages)
            for passages in generations.passages_in_space(connection, index)
        )
        cursor = connection.execute(
            sql.SQL(
                """
                WITH unserved AS (
                    DELETE FROM {vectors} v
                    WHERE {needed}
                    RETURNING content_hash, field, embedding)
                INSERT INTO {retired} (content_hash, field, embedding)
                SELECT content_hash, field, embedding FROM unserved
                ON CONFLICT (content_hash, field) DO UPDATE
                SET embedding = excluded.embedding, retired_at = now()
                """
            ).format(needed=needed, **_tables(index))
        )
        retired = cursor.rowcount
        connection.execute(
            sql.SQL(
                """
                DELETE FROM {retired} r USING {vectors} v
                WHERE v.content_hash = r.content_hash AND v.field = r.field
                """
            ).format(**_tables(index))
        )
    return retired


def remove_expired(connection: psycopg.Connection, index: RegisteredIndex, kept_for: timedelta) -> int:
    """Removes the retired vectors of the index's space that nothing has needed for longer. Returns how many.

    A passage that waits for its vector may be about to take it over: that one stays. None can begin to meanwhile, since
    whoever writes passages or takes vectors over holds the lock as well.
    """
    with connection.transaction():
        in_transaction(connection, Lock.VECTORS, index.index_id)
        return connection.execute(
            sql.SQL("DELETE FROM {retired} v WHERE v.retired_at < now() - %s AND {no_text}").format(
                no_text=no_passage_has(connection, index), **_tables(index)
            ),
            (kept_for,),
        ).rowcount


def count_retired(connection: psycopg.Connection, index: RegisteredIndex, kept_for: timedelta) -> tuple[int, int]:
    """The retired vectors of the index's space, and those of them that have been retired for longer."""
    row = connection.execute(
        sql.SQL("SELECT count(*), count(*) FILTER (WHERE v.retired_at < now() - %s) FROM {retired} v").format(
            **_tables(index)
        ),
        (kept_for,),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def erase_unneeded(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Removes every vector of the index's space whose text no passage has, searched or retired. Returns how many.

    Call it in a transaction that holds the vectors alone.
    """
    return sum(
        connection.execute(
            sql.SQL("DELETE FROM {} v WHERE {}").format(
                sql.Identifier(index.schema, table), no_passage_has(connection, index)
            )
        ).rowcount
        for table in (index.vectors, index.retired_vectors)
    )


def still_needed(
    connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[ContentHash]
) -> set[ContentHash]:
    """Which of the texts a passage has, of any generation in the index's space: those that `no_passage_has` leaves."""
    rows = connection.execute(
        sql.SQL(" UNION ").join(
            sql.SQL(
                """
                SELECT p.content_hash FROM {passages} p
                WHERE p.content_hash = ANY(%(hashes)s) AND p.served_hash IS DISTINCT FROM p.content_hash
                UNION
                SELECT p.served_hash FROM {passages} p WHERE p.served_hash = ANY(%(hashes)s)
                """
            ).format(passages=passages)
            for passages in generations.passages_in_space(connection, index)
        ),
        {"hashes": list(hashes)},
    ).fetchall()
    return {content_hash for (content_hash,) in rows}


def no_passage_has(connection: psycopg.Connection, index: RegisteredIndex) -> sql.Composed:
    """SQL over vectors (alias v): the text is in no field of any generation, neither as it is now nor as it is found.

    Two conditions, each with its index: those that wait for their vector, and those that are found by one.
    """
    return sql.SQL(" AND ").join(
        sql.SQL(
            """
            NOT EXISTS (
                SELECT FROM {passages} p
                WHERE p.content_hash = v.content_hash AND p.served_hash IS DISTINCT FROM p.content_hash)
            AND NOT EXISTS (SELECT FROM {passages} p WHERE p.served_hash = v.content_hash)
            """
        ).format(passages=passages)
        for passages in generations.passages_in_space(connection, index)
    )


def discard_dishonest(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Removes vectors that are not honest, retired ones as well, so that their texts are embedded again. Returns how
    many."""
    removed = 0
    with connection.transaction():
        in_transaction(connection, Lock.VECTORS, index.index_id)
        for table in (index.vectors, index.retired_vectors):
            removed += connection.execute(
                sql.SQL("DELETE FROM {} v WHERE NOT {}").format(
                    sql.Identifier(index.schema, table), honest_condition(index)
                )
            ).rowcount
    return removed


def _tables(index: RegisteredIndex) -> dict[str, sql.Composable]:
    return {
        "documents": sql.Identifier(index.schema, "documents"),
        "passages": sql.Identifier(index.schema, index.passages),
        "vectors": sql.Identifier(index.schema, index.vectors),
        "retired": sql.Identifier(index.schema, index.retired_vectors),
    }
