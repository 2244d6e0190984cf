"""Texts that the provider refused or gave no honest vector for: visible, and tried again with a growing pause.

An entry is of a text, and so of each row that has it. Somebody may have it ignored: it stays visible, and is not tried
again. Whatever is said of an entry ends with it: a row with another text has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import ContentHash, shown_field
from vector_pipeline.core.errors import NotQuarantinedError
from vector_pipeline.core.reports import QuarantineEntry
from vector_pipeline.core.store import generations, names
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.stored_documents import is_possible_key

FIRST_PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=1)
_LONGEST_MESSAGE = 2000
_MOST_KEYS = 20  # that an error names

REFUSED = "refused by the provider"
NOT_HONEST = "no honest vector"


@dataclass(frozen=True)
class Refusal:
    """Why a text has no vector: `reason` is ours, `message` the provider's words without secrets."""

    content_hash: ContentHash
    reason: str
    message: str


def put(connection: psycopg.Connection, index: RegisteredIndex, refusals: Sequence[Refusal]) -> None:
    """Enters refusals, or counts one more attempt of those that are there; the pause grows fourfold each time.

    A text that no passage has any more is not entered: nothing would ever take it out again.
    """
    # Two conditions, each with its index: a passage that waits for its vector, and one whose vector is lost.
    insert = sql.SQL(
        """
        INSERT INTO vector_pipeline.quarantine AS q
            (index_id, space, content_hash, reason, message, next_attempt_at)
        SELECT %(index)s, %(space)s, %(hash)s, %(reason)s, %(message)s, now() + %(first)s
        WHERE EXISTS (
            SELECT FROM {passages}
            WHERE content_hash = %(hash)s AND served_hash IS DISTINCT FROM content_hash)
           OR EXISTS (SELECT FROM {passages} WHERE served_hash = %(hash)s AND content_hash = %(hash)s)
        ON CONFLICT (index_id, space, content_hash) DO UPDATE
        SET reason = excluded.reason, message = excluded.message, attempts = q.attempts + 1,
            last_failed_at = now(),
            next_attempt_at = CASE WHEN q.ignored_at IS NULL
                THEN now() + least(%(first)s * power(4, least(q.attempts, 10)), %(longest)s) END
        """
    ).format(passages=sql.Identifier(index.schema, index.passages))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            insert,
            [
                {
                    "index": index.index_id,
                    "space": index.generation.space.number,
                    "hash": refusal.content_hash,
                    "reason": refusal.reason,
                    "message": storable(refusal.message),
                    "first": FIRST_PAUSE,
                    "longest": LONGEST_PAUSE,
                }
                for refusal in sorted(refusals, key=lambda refusal: refusal.content_hash)
            ],
        )


def storable(message: str) -> str:
    """The beginning of a message as PostgreSQL can store it: foreign words may hold NUL characters and halves of
    surrogate pairs."""
    return message[:_LONGEST_MESSAGE].replace("\0", "").encode("utf-8", "replace").decode()


def release(connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[bytes]) -> None:
    """Removes the entries of these texts, in their order, so that two transactions never wait for each other.

    Ranges that were complete without a vector for these texts, in whatever generation, are incomplete from then on.
    """
    if not _has_entries(connection, index):
        return
    removed = connection.execute(
        """
        DELETE FROM vector_pipeline.quarantine q
        USING (
            SELECT content_hash FROM vector_pipeline.quarantine
            WHERE index_id = %(index)s AND space = %(space)s AND content_hash = ANY(%(hashes)s)
            ORDER BY content_hash
            FOR UPDATE) released
        WHERE q.index_id = %(index)s AND q.space = %(space)s AND q.content_hash = released.content_hash
        RETURNING q.content_hash
        """,
        {"index": index.index_id, "space": index.generation.space.number, "hashes": list(hashes)},
    ).fetchall()
    if removed:
        _note_incomplete(connection, index, [content_hash for (content_hash,) in removed])


def _note_incomplete(connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[bytes]) -> None:
    """Has the ranges with a passage that is not found by its text, one of these, looked at again."""
    waiting = sql.SQL(" UNION ").join(
        sql.SQL(
            """
            SELECT d.range_id, {generation} AS generation
            FROM {passages} p JOIN {documents} d ON d.key = p.key
            WHERE p.content_hash = ANY(%(hashes)s) AND p.served_hash IS DISTINCT FROM p.content_hash
            """
        ).format(
            generation=sql.Literal(number),
            passages=sql.Identifier(index.schema, names.passages_table(number)),
            documents=sql.Identifier(index.schema, "documents"),
        )
        for number in generations.numbers_in_space(connection, index)
    )
    # In their order, as everyone takes states.
    connection.execute(
        sql.SQL(
            """
            UPDATE vector_pipeline.range_states s SET vectors_complete = false
            FROM (
                SELECT range_id, generation FROM vector_pipeline.range_states
                WHERE (range_id, generation) IN ({waiting}) AND vectors_complete
                ORDER BY range_id, generation
                FOR NO KEY UPDATE) incomplete
            WHERE (s.range_id, s.generation) = (incomplete.range_id, incomplete.generation)
            """
        ).format(waiting=waiting),
        {"hashes": list(hashes)},
    )


def _has_entries(connection: psycopg.Connection, index: RegisteredIndex) -> bool:
    """Whether there is anything to look through: there mostly is not."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM vector_pipeline.quarantine WHERE index_id = %s AND space = %s)",
        (index.index_id, index.generation.space.number),
    ).fetchone()
    return bool(row and row[0])


def paused(connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[ContentHash]) -> set[ContentHash]:
    """Which of the texts are not to be tried now."""
    rows = connection.execute(
        """
        SELECT content_hash FROM vector_pipeline.quarantine
        WHERE index_id = %s AND space = %s AND content_hash = ANY(%s)
          AND (next_attempt_at IS NULL OR next_attempt_at > now())
        """,
        (index.index_id, index.generation.space.number, list(hashes)),
    ).fetchall()
    return {content_hash for (content_hash,) in rows}


def release_unneeded(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Removes the entries of texts that no passage of any generation has any more. Returns how many."""
    with connection.transaction():
        # No passage may come to count on an entry that is about to go.
        in_transaction(connection, Lock.VECTORS, index.index_id)
        unneeded = connection.execute(
            sql.SQL(
                """
                SELECT q.content_hash FROM vector_pipeline.quarantine q
                WHERE q.index_id = %s AND q.space = %s AND {}
                """
            ).format(
                sql.SQL(" AND ").join(
                    sql.SQL("NOT EXISTS (SELECT FROM {} p WHERE p.content_hash = q.content_hash)").format(passages)
                    for passages in generations.passages_in_space(connection, index)
                )
            ),
            (index.index_id, index.generation.space.number),
        ).fetchall()
        if unneeded:
            release(connection, index, [content_hash for (content_hash,) in unneeded])
    return len(unneeded)


def entries(
    connection: psycopg.Connection, index: RegisteredIndex, limit: int | None = None, offset: int = 0
) -> list[QuarantineEntry]:
    """One entry per row and field that a quarantined text stands in, in key order; all of them, or a part."""
    rows = connection.execute(
        sql.SQL(
            """
            SELECT p.key, p.field, q.reason, q.message, q.attempts, q.first_failed_at, q.last_failed_at,
                   q.next_attempt_at, q.ignored_at
            FROM vector_pipeline.quarantine q
            JOIN {passages} p ON p.content_hash = q.content_hash
                             AND p.served_hash IS DISTINCT FROM p.content_hash
            JOIN {documents} d ON d.key = p.key
            WHERE q.index_id = %s AND q.space = %s
            ORDER BY d.sort_key, p.field
            LIMIT %s OFFSET %s
            """
        ).format(
            passages=sql.Identifier(index.schema, index.passages),
            documents=sql.Identifier(index.schema, "documents"),
        ),
        (index.index_id, index.generation.space.number, limit, offset),
    ).fetchall()
    return [QuarantineEntry(key, shown_field(field), *rest) for key, field, *rest in rows]


def retry(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str] | None = None) -> int:
    """Ends the pauses of these rows' texts, or of all but the ignored, so that the next sync tries them again.

    Returns how many texts there are.

    Raises:
        NotQuarantinedError: one of the rows has no text in quarantine, or only ignored ones; nothing is changed then.
    """
    with connection.transaction():
        texts = None if keys is None else _texts_of(connection, index, keys)
        ignored = {text.key for text in texts or ()} - {text.key for text in texts or () if not text.ignored}
        if ignored:
            raise NotQuarantinedError(
                f"index {index.name!r} ignores the quarantined texts of {_rows(sorted(ignored))}; "
                f"`vector-pipeline quarantine {index.name} --unignore` with the keys lets them be tried again"
            )
        return _update(connection, index, sql.SQL("next_attempt_at = now()"), sql.SQL("ignored_at IS NULL"), texts)


def ignore(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str]) -> int:
    """Leaves the texts of these rows alone until they change. Returns how many texts are ignored by that.

    Raises:
        NotQuarantinedError: one of the rows has no text in quarantine; nothing is changed then.
    """
    with connection.transaction():
        change = sql.SQL("ignored_at = now(), next_attempt_at = NULL")
        return _update(connection, index, change, sql.SQL("ignored_at IS NULL"), _texts_of(connection, index, keys))


def unignore(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str]) -> int:
    """Takes `ignore` back: the next sync tries the texts of these rows again. Returns how many texts.

    Raises:
        NotQuarantinedError: one of the rows has no text in quarantine; nothing is changed then.
    """
    with connection.transaction():
        change = sql.SQL("ignored_at = NULL, next_attempt_at = now()")
        return _update(connection, index, change, sql.SQL("ignored_at IS NOT NULL"), _texts_of(connection, index, keys))


@dataclass(frozen=True)
class _QuarantinedText:
    """One of those that a row has in quarantine."""

    key: str
    content_hash: bytes
    ignored: bool


def _texts_of(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str]) -> list[_QuarantinedText]:
    """The quarantined texts of these rows, each of which has one."""
    rows = connection.execute(
        sql.SQL(
            """
            SELECT DISTINCT p.key, q.content_hash, q.ignored_at IS NOT NULL
            FROM {passages} p
            JOIN vector_pipeline.quarantine q
                ON q.index_id = %s AND q.space = %s AND q.content_hash = p.content_hash
            WHERE p.key = ANY(%s) AND p.served_hash IS DISTINCT FROM p.content_hash
            """
        ).format(passages=sql.Identifier(index.schema, index.passages)),
        (index.index_id, index.generation.space.number, [key for key in keys if is_possible_key(key)]),
    ).fetchall()
    found = [_QuarantinedText(*row) for row in rows]
    unknown = sorted(set(keys) - {text.key for text in found})
    if unknown:
        raise NotQuarantinedError(
            f"index {index.name!r} has no text in quarantine of {_rows(unknown)}; "
            f"`vector-pipeline quarantine {index.name}` lists those that it has"
        )
    return found


def _update(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    change: sql.SQL,
    condition: sql.SQL,
    texts: Sequence[_QuarantinedText] | None,
) -> int:
    """Changes the entries of these texts, or of all, in their order, as `release` takes them. Returns how many."""
    cursor = connection.execute(
        sql.SQL(
            """
            UPDATE vector_pipeline.quarantine q
            SET {}
            FROM (
                SELECT content_hash FROM vector_pipeline.quarantine
                WHERE index_id = %(index)s AND space = %(space)s AND {}
                  AND (%(hashes)s::bytea[] IS NULL OR content_hash = ANY(%(hashes)s))
                ORDER BY content_hash
                FOR UPDATE) chosen
            WHERE q.index_id = %(index)s AND q.space = %(space)s AND q.content_hash = chosen.content_hash
            """
        ).format(change, condition),
        {
            "index": index.index_id,
            "space": index.generation.space.number,
            "hashes": None if texts is None else [text.content_hash for text in texts],
        },
    )
    return cursor.rowcount


def _rows(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
    return ("row " if len(keys) == 1 else "rows ") + ", ".join(map(repr, keys[:_MOST_KEYS])) + more
