"""Making a range's documents and passages equal to its rows: only what differs is written, in one transaction.

What is stored is compared by hashes recomputed from it, so damage done by hand is mended like any change.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import ContentHash, RenderingError, storable
from vector_pipeline.core.documents.splitting import Span
from vector_pipeline.core.errors import SourceKeyError, SourceValueError
from vector_pipeline.core.source.digest import EMPTY, Digest
from vector_pipeline.core.source.plan import PlannedColumn, ReadingPlan
from vector_pipeline.core.source.rows import SourceRow
from vector_pipeline.core.store import generations, quarantine
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.means import lacks_a_quarantined_part
from vector_pipeline.core.store.registry import RegisteredIndex

PassageKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """What is stored of a passage; `span` is None for one that is the whole text of its field."""

    content_hash: ContentHash
    span: Span | None = None


@dataclass
class PassageChanges:
    """What has to be written so that a range's passages in one generation are those of its rows.

    `places` are the positions of the generation's texts among those of a row that is read; `stored` what is still to
    be found in the rows; `error` why nothing can be written: the texts of a row can't be made as declared.
    """

    index: RegisteredIndex
    places: tuple[int, ...]
    stored: dict[PassageKey, StoredPassage]
    written: list[tuple[PassageKey, StoredPassage]] = field(default_factory=list)
    gone: list[PassageKey] = field(default_factory=list)
    error: SourceValueError | None = None

    def compare(self, row: SourceRow) -> None:
        """Takes in one row."""
        if self.error is not None:
            return
        try:
            passages = list(self.index.generation.rendering.passages([row.texts[place] for place in self.places]))
        except RenderingError as error:
            self.error = SourceValueError(
                f"the row with the key {row.key!r}: {error}; correct the row or the declaration"
            )
            return
        for passage in passages:
            key = (row.key, passage.field, passage.ordinal)
            wanted = StoredPassage(passage.content_hash, passage.span)
            if self.stored.pop(key, None) != wanted:
                self.written.append((key, wanted))


@dataclass
class RangeChanges:
    """What has to be written so that a range equals the rows read; `digest` is that of exactly those rows."""

    passages: Sequence[PassageChanges]
    digest: Digest = EMPTY
    inserted: int = 0
    rows: list[SourceRow] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def updated(self) -> int:
        return len(self.rows) - self.inserted

    @property
    def passages_written(self) -> int:
        return sum(len(changes.written) + len(changes.gone) for changes in self.passages)


def passages_of_range(
    connection: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, range_id: int
) -> PassageChanges:
    """The passages of a range in the index's generation, to be compared with rows that are read by the plan."""
    places = {column.served: place for place, column in enumerate(plan.texts)}
    return PassageChanges(
        index,
        tuple(places[column] for column in index.generation.columns),
        stored_passages(connection, index, range_id),
    )


def compare(rows: Iterable[SourceRow], stored: dict[str, int], passages: Sequence[PassageChanges]) -> RangeChanges:
    """Compares the rows of a range with what is stored of it. Consumes `rows` and empties `stored`.

    Args:
        passages: of each generation that the rows go to.

    Raises:
        SourceKeyError: the declared key is not one.
    """
    changes = RangeChanges(passages)
    seen: set[str] = set()
    for row in rows:
        if row.key in seen:
            raise SourceKeyError(f"two rows have the key {row.key!r}")
        seen.add(row.key)
        changes.digest = changes.digest.with_row(row.row_hash)
        known = stored.pop(row.key, None)
        if known != row.row_hash:
            changes.rows.append(row)
            changes.inserted += known is None
        for generation in passages:
            generation.compare(row)
    changes.gone.extend(stored)
    gone = set(changes.gone)
    for generation in passages:
        generation.gone.extend(key for key in generation.stored if key[0] not in gone)
    return changes


def stored_passages(
    connection: psycopg.Connection, index: RegisteredIndex, range_id: int
) -> dict[PassageKey, StoredPassage]:
    """What is stored of each passage of a range."""
    rows = connection.execute(
        sql.SQL(
            """
            SELECT p.key, p.field, p.ordinal, p.content_hash, p.char_start, p.char_end
            FROM {documents} d
            JOIN {passages} p ON p.key = d.key
            WHERE d.range_id = %s
            """
        ).format(
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
        ),
        (range_id,),
    ).fetchall()
    return {
        (key, field_, ordinal): StoredPassage(content_hash, Span(start, end) if start is not None else None)
        for key, field_, ordinal, content_hash, start, end in rows
    }


def write_changes(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    range_id: int,
    changes: RangeChanges,
) -> None:
    """Writes a range's changes and the digest of the rows they were made from, in one transaction.

    A generation whose texts can't be made of a row keeps its passages, and has the range before it as before.
    """
    with connection.transaction():
        # Vectors must not be retired between finding them here and committing.
        in_transaction(connection, Lock.VECTORS, index.index_id, shared=True)
        generations_made = [passages for passages in changes.passages if passages.error is None]
        replaced = [_replaced_hashes(connection, passages, changes.gone) for passages in generations_made]
        if changes.rows:
            _write_documents(connection, index, plan, range_id, changes.rows)
        if changes.gone:
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE key = ANY(%s) AND range_id = %s").format(
                    sql.Identifier(index.schema, "documents")
                ),
                (changes.gone, range_id),
            )
        for passages, hashes in zip(generations_made, replaced, strict=True):
            _write_passages(connection, passages)
            if hashes:
                _clear_quarantine(connection, passages.index, hashes)
            serve_current_vectors(connection, passages.index, range_id)
        # After all else, states before ranges: whoever takes several locks takes them in this order.
        _lock_states(connection, range_id)
        if changes.gone:
            _forget_other_generations(connection, range_id, generations_made)
        for passages in generations_made:
            _write_state(connection, passages.index, range_id, changes.digest)
        for passages in generations_made:
            settle_vectors_complete(connection, passages.index, range_id)


def _write_documents(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    range_id: int,
    rows: Sequence[SourceRow],
) -> None:
    names = [column.served for column in plan.texts]
    columns = sql.SQL(", ").join(map(sql.Identifier, ["key", "sort_key", "range_id", *names, "metadata", "unstorable"]))
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
        for name in ["sort_key", "range_id", *names, "metadata", "unstorable", "updated_at"]
    )
    documents = sql.Identifier(index.schema, "documents")
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE staged_documents (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP").format(documents)
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY staged_documents ({}) FROM STDIN").format(columns)) as copy,
    ):
        for row in rows:
            copy.write_row(
                (
                    row.key,
                    row.sort_key,
                    range_id,
                    *(storable(text) for text in row.texts),
                    metadata_json(plan, row.metadata),
                    _unstorable_json(plan, row),
                )
            )
    # In key order, so that two transactions that meet on a key wait for each other instead of deadlocking.
    connection.execute(
        sql.SQL(
            """
            INSERT INTO {documents} ({columns})
            SELECT {columns} FROM staged_documents ORDER BY key
            ON CONFLICT (key) DO UPDATE SET {assignments}
            """
        ).format(documents=documents, columns=columns, assignments=assignments)
    )
    connection.execute("DROP TABLE staged_documents")


def metadata_json(plan: ReadingPlan, values: Sequence[str | None]) -> str:
    """The metadata object: exact numbers as JSON numbers, everything else in its text form."""
    pairs = (
        json.dumps(column.served) + ": " + _json_value(column, value)
        for column, value in zip(plan.metadata, values, strict=True)
    )
    return "{" + ", ".join(pairs) + "}"


def _json_value(column: PlannedColumn, value: str | None) -> str:
    if value is None:
        return "null"
    return value if column.exact_number else json.dumps(storable(value), ensure_ascii=False)


def _unstorable_json(plan: ReadingPlan, row: SourceRow) -> str | None:
    """The true bytes of each value with a NUL character, which PostgreSQL's text cannot hold."""
    served = (column.served for column in plan.columns)
    values = (row.key, *row.texts, *row.metadata)
    unstorable = {
        name: base64.b64encode(value.encode()).decode()
        for name, value in zip(served, values, strict=True)
        if value and "\0" in value
    }
    return json.dumps(unstorable) if unstorable else None


def _write_passages(connection: psycopg.Connection, changes: PassageChanges) -> None:
    passages = sql.Identifier(changes.index.schema, changes.index.passages)
    if changes.gone:
        keys, fields, ordinals = zip(*changes.gone, strict=True)
        connection.execute(
            sql.SQL(
                """
                DELETE FROM {} p USING unnest(%s::text[], %s::text[], %s::smallint[]) gone(key, field, ordinal)
                WHERE p.key = gone.key AND p.field = gone.field AND p.ordinal = gone.ordinal
                """
            ).format(passages),
            (list(keys), list(fields), list(ordinals)),
        )
    if not changes.written:
        return
    connection.execute(
        'CREATE TEMPORARY TABLE staged_passages (key text COLLATE "C", field text, ordinal smallint,'
        " content_hash bytea, char_start integer, char_end integer) ON COMMIT DROP"
    )
    with connection.cursor() as cursor, cursor.copy("COPY staged_passages FROM STDIN") as copy:
        for key, passage in changes.written:
            place = (passage.span.start, passage.span.end) if passage.span is not None else (None, None)
            copy.write_row((*key, passage.content_hash, *place))
    # served_hash stays: the row remains findable by its previous vector until the new one is in.
    connection.execute(
        sql.SQL(
            """
            INSERT INTO {} (key, field, ordinal, content_hash, char_start, char_end)
            SELECT key, field, ordinal, content_hash, char_start, char_end FROM staged_passages
            ORDER BY key, field, ordinal
            ON CONFLICT (key, field, ordinal) DO UPDATE
            SET content_hash = excluded.content_hash, char_start = excluded.char_start, char_end = excluded.char_end
            """
        ).format(passages)
    )
    connection.execute("DROP TABLE staged_passages")


def _replaced_hashes(
    connection: psycopg.Connection, changes: PassageChanges, documents_gone: Sequence[str]
) -> list[bytes]:
    """Quarantined hashes that passages have now and are about to lose."""
    index = changes.index
    keys = [*documents_gone, *{key[0] for key, _ in changes.written}, *{key[0] for key in changes.gone}]
    rows = connection.execute(
        sql.SQL(
            """
            SELECT DISTINCT q.content_hash
            FROM vector_pipeline.quarantine q
            JOIN {} p ON p.content_hash = q.content_hash
            WHERE q.index_id = %s AND q.space = %s AND p.key = ANY(%s)
            """
        ).format(sql.Identifier(index.schema, index.passages)),
        (index.index_id, index.generation.space.number, keys),
    ).fetchall()
    return [content_hash for (content_hash,) in rows]


def _clear_quarantine(connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[bytes]) -> None:
    """Removes the entries of texts that no passage of any generation has any more."""
    needed = connection.execute(
        sql.SQL(" UNION ").join(
            sql.SQL("SELECT content_hash FROM {} WHERE content_hash = ANY(%(hashes)s)").format(passages)
            for passages in generations.passages_in_space(connection, index)
        ),
        {"hashes": list(hashes)},
    ).fetchall()
    quarantine.release(connection, index, list(set(hashes) - {content_hash for (content_hash,) in needed}))


def serve_current_vectors(connection: psycopg.Connection, index: RegisteredIndex, range_id: int) -> None:
    """Lets each passage of a range be found by its current vector, where that vector is there."""
    connection.execute(
        sql.SQL(
            """
            UPDATE {passages} p
            SET served_hash = p.content_hash
            FROM {documents} d
            WHERE d.key = p.key AND d.range_id = %s AND p.served_hash IS DISTINCT FROM p.content_hash
              AND EXISTS (SELECT FROM {vectors} v WHERE v.content_hash = p.content_hash AND v.field = p.field)
            """
        ).format(
            passages=sql.Identifier(index.schema, index.passages),
            documents=sql.Identifier(index.schema, "documents"),
            vectors=sql.Identifier(index.schema, index.vectors),
        ),
        (range_id,),
    )


def _write_state(connection: psycopg.Connection, index: RegisteredIndex, range_id: int, digest: Digest) -> None:
    connection.execute(
        """
        INSERT INTO vector_pipeline.range_states (range_id, generation, rows, digest, vectors_complete)
        VALUES (%s, %s, %s, %s, false)
        ON CONFLICT (range_id, generation) DO UPDATE
        SET rows = excluded.rows, digest = excluded.digest, vectors_complete = false, synced_at = now()
        """,
        (range_id, index.generation.number, digest.rows, str(digest)),
    )


def _lock_states(connection: psycopg.Connection, range_id: int) -> None:
    connection.execute(
        "SELECT FROM vector_pipeline.range_states WHERE range_id = %s ORDER BY generation FOR NO KEY UPDATE",
        (range_id,),
    )


def _forget_other_generations(connection: psycopg.Connection, range_id: int, written: Sequence[PassageChanges]) -> None:
    """Has generations that don't follow the source, and lose passages with the documents, look at the range again when
    they are taken up: the rows may be back by then, just as they were."""
    connection.execute(
        """
        UPDATE vector_pipeline.range_states SET digest = NULL
        WHERE range_id = %s AND digest IS NOT NULL AND generation <> ALL(%s)
        """,
        (range_id, [passages.index.generation.number for passages in written]),
    )


@dataclass(frozen=True)
class PassageCounts:
    """Of a range's passages: all, those neither found by their vector nor in quarantine, those in quarantine."""

    passages: int
    missing: int
    quarantined: int


def settle_vectors_complete(connection: psycopg.Connection, index: RegisteredIndex, range_id: int) -> PassageCounts:
    """Records whether each passage of a range is found by its vector or in quarantine. Call it in a transaction."""
    # The lock first, the count in a statement after it: so the count sees what the other holder committed.
    connection.execute(
        "SELECT FROM vector_pipeline.range_states WHERE range_id = %s AND generation = %s FOR UPDATE",
        (range_id, index.generation.number),
    )
    row = connection.execute(
        sql.SQL(
            """
            SELECT count(*),
                   count(*) FILTER (
                       WHERE q.content_hash IS NULL AND NOT {lacks_a_part}
                         AND (v.content_hash IS NULL OR p.served_hash IS DISTINCT FROM p.content_hash)),
                   count(*) FILTER (WHERE v.content_hash IS NULL AND (q.content_hash IS NOT NULL OR {lacks_a_part}))
            FROM {documents} d
            JOIN {passages} p ON p.key = d.key
            LEFT JOIN {vectors} v ON v.content_hash = p.content_hash AND v.field = p.field
            LEFT JOIN vector_pipeline.quarantine q
                ON q.index_id = %s AND q.space = %s AND q.content_hash = p.content_hash
            WHERE d.range_id = %s
            """
        ).format(
            lacks_a_part=lacks_a_quarantined_part(index),
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
            vectors=sql.Identifier(index.schema, index.vectors),
        ),
        (index.index_id, index.generation.space.number, range_id),
    ).fetchone()
    assert row is not None
    counts = PassageCounts(*row)
    connection.execute(
        """
        UPDATE vector_pipeline.range_states SET vectors_complete = %s
        WHERE range_id = %s AND generation = %s
        """,
        (counts.missing == 0, range_id, index.generation.number),
    )
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges r
        SET attempts = CASE WHEN s.vectors_complete THEN 0 ELSE r.attempts END,
            next_attempt_at = CASE WHEN s.vectors_complete THEN NULL ELSE r.next_attempt_at END,
            -- What differs by now came after the rows that were synced.
            dirty_since = CASE WHEN NOT s.vectors_complete THEN coalesce(r.dirty_since, now())
                               WHEN s.digest IS DISTINCT FROM r.source_digest THEN greatest(r.dirty_since, s.synced_at)
                          END,
            refused_digest = CASE WHEN s.digest = r.source_digest THEN NULL ELSE r.refused_digest END,
            refused_deletions = CASE WHEN s.digest = r.source_digest THEN NULL ELSE r.refused_deletions END
        FROM vector_pipeline.range_states s
        WHERE s.range_id = r.range_id AND s.generation = %(generation)s AND r.range_id = %(range)s
          -- Tries, and how long a range is behind, are told of what is served.
          AND EXISTS (
              SELECT FROM vector_pipeline.embedding_indexes i
              WHERE i.index_id = r.index_id AND i.active_generation = %(generation)s)
        """,
        {"generation": index.generation.number, "range": range_id},
    )
    return counts
