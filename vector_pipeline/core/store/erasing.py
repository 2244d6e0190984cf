"""Taking rows, and everything that only they needed, out of the tables of an index: in one transaction, and then out of
the tables' pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from vector_pipeline.core.source.digest import Digest, read_digest
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.store import (
    claims,
    filter_indexes,
    generations,
    key_ranges,
    names,
    offline_batches,
    quarantine,
    text_index,
    vectors,
)
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.stored_digest import row_hashes_of


@dataclass
class Erased:
    """What was taken out; passages, vectors and quarantine entries of all generations and vector spaces."""

    keys: set[str] = field(default_factory=set)
    passages: int = 0
    vectors: int = 0
    quarantined: int = 0


def ranges_of_documents(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str]) -> set[int]:
    """The ranges that the documents with these keys are in."""
    rows = connection.execute(
        sql.SQL("SELECT DISTINCT range_id FROM {} WHERE key = ANY(%s)").format(_documents(index)), (list(keys),)
    ).fetchall()
    return {range_id for (range_id,) in rows}


def erase_documents(
    connection: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, keys: Sequence[str]
) -> Erased:
    """Removes these documents, and every vector, quarantine entry, claim and debt of an offline batch whose text no row
    has any more.

    Nobody else may be writing the documents' ranges. The states of the ranges stay true: what is stored of them is what
    the source has without these rows, so that no guard ever takes them for rows that the source has lost.
    """
    erased = Erased()
    with connection.transaction():
        # No vector may come in, or be counted on, until all that is to go has gone.
        in_transaction(connection, Lock.VECTORS, index.index_id)
        gone = row_hashes_of(connection, index, plan, keys)
        for record in generations.load_records(connection, index):
            passages = sql.Identifier(index.schema, names.passages_table(record.number))
            erased.passages += connection.execute(
                sql.SQL("DELETE FROM {} WHERE key = ANY(%s)").format(passages), (list(keys),)
            ).rowcount
        connection.execute(sql.SQL("DELETE FROM {} WHERE key = ANY(%s)").format(_documents(index)), (list(keys),))
        erased.keys = {row.key for row in gone}
        for space in generations.spaces(connection, index):
            erased.vectors += vectors.erase_unneeded(connection, space)
            erased.quarantined += quarantine.release_unneeded(connection, space)
            claims.erase_unneeded(connection, space)
            offline_batches.erase_unneeded(connection, space)
        hashes: dict[int, list[int]] = defaultdict(list)
        for row in gone:
            hashes[row.range_id].append(row.row_hash)
        _settle_states(connection, index, hashes)
    return erased


def _settle_states(connection: psycopg.Connection, index: RegisteredIndex, gone: dict[int, list[int]]) -> None:
    """Takes the rows out of the digests that say what the ranges hold, in the generations that follow the source; the
    others, as after any deletion, look at the ranges again when they are taken up."""
    live = [generation.generation.number for generation in generations.live(connection, index)]
    # States first, as all do that change ranges (`key_ranges.changing`).
    states = connection.execute(
        """
        SELECT range_id, generation, rows, CASE WHEN generation = ANY(%(live)s) THEN digest END
        FROM vector_pipeline.range_states
        WHERE range_id = ANY(%(ranges)s)
        ORDER BY range_id, generation FOR NO KEY UPDATE
        """,
        {"ranges": list(gone), "live": live},
    ).fetchall()
    with key_ranges.changing(connection, index, range_ids=list(gone)):
        for range_id, generation, rows, digest in states:
            connection.execute(
                """
                UPDATE vector_pipeline.range_states SET rows = greatest(%s, 0), digest = %s
                WHERE range_id = %s AND generation = %s
                """,
                (rows - len(gone[range_id]), _without(digest, gone[range_id]), range_id, generation),
            )
        for range_id, hashes in gone.items():
            connection.execute(
                """
                UPDATE vector_pipeline.key_ranges SET refused_deletions = greatest(refused_deletions - %s, 0)
                WHERE range_id = %s AND refused_deletions IS NOT NULL
                """,
                (len(hashes), range_id),
            )


def _without(digest: str | None, hashes: Sequence[int]) -> str | None:
    """A range that is digested otherwise than by these hashes gets a digest of nothing, and so is synced again."""
    if digest is None:
        return None
    left: Digest = read_digest(digest)
    for row_hash in hashes:
        left = left.without_row(row_hash)
    return str(left)


def vacuum(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Has PostgreSQL clear deleted rows out of the tables' pages and indexes, the ANN indexes included, and out of its
    statistics.

    What another transaction may still see stays until autovacuum comes by. Not for use in a transaction.
    """
    tables = [names.passages_table(record.number) for record in generations.load_records(connection, index)]
    for space in generations.spaces(connection, index):
        tables += [space.vectors, space.retired_vectors]
    ours = [sql.Identifier(index.schema, table) for table in tables]
    for identifier in [*ours, sql.Identifier("vector_pipeline", "text_claims")]:
        # Without being told so, PostgreSQL leaves the few dead entries in an index for later.
        connection.execute(sql.SQL("VACUUM (INDEX_CLEANUP ON) {}").format(identifier))
    text_index.rebuild(connection, index)
    with_words = [sql.Identifier("vector_pipeline", table) for table in ("quarantine", "offline_batches")]
    for identifier in (_documents(index), *with_words):
        # Statistics quote values of columns; those of hashes and vectors tell nobody anything.
        connection.execute(sql.SQL("VACUUM (ANALYZE, INDEX_CLEANUP ON) {}").format(identifier))
    filter_indexes.rebuild(connection, index)


def _documents(index: RegisteredIndex) -> sql.Identifier:
    return sql.Identifier(index.schema, "documents")
