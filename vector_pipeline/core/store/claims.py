"""Claims on texts: of several runs that need the same text at the same moment, one sends it to the provider.

A run claims the texts of a batch before it sends them, in the order of their hashes, so that two runs never wait for
each other; a claim goes with the transaction that stores the text's vector or its refusal. Its holder is a number
whose advisory lock the run's connection holds for as long as it lives: a claim whose holder's lock is free is a dead
run's, and is taken over.

A claim is also what tells an erasure of texts that are at a provider: it takes the claim away, and what comes of the
text is not stored.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.store import locks, vectors
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class Claimed:
    """Texts that are this run's to send, and those that another living run has claimed."""

    mine: set[ContentHash]
    others: set[ContentHash]


class Claims:
    """The claims of one run, for as long as the connection lives that they are made on."""

    def __init__(self, connection: psycopg.Connection, index: RegisteredIndex) -> None:
        self._connection = connection
        self._index = index
        self._key = {"index": index.index_id, "space": index.generation.space.number}
        row = connection.execute("SELECT nextval('vector_pipeline.claim_holders')::integer").fetchone()
        assert row is not None
        self.holder: int = row[0]
        locks.wait_for(connection, Lock.CLAIM_HOLDER, self.holder)
        self._remove_dead()

    def claim(self, hashes: Sequence[ContentHash]) -> Claimed:
        """Claims those of the texts that a passage has and no other living run has claimed."""
        if not hashes:
            return Claimed(set(), set())
        with self._connection.transaction():
            # An erasure comes before, and its texts are needed no more, or after, and sees the claims.
            in_transaction(self._connection, Lock.VECTORS, self._index.index_id, shared=True)
            needed = vectors.still_needed(self._connection, self._index, hashes)
            mine = self._insert(needed)
        if mine < needed:
            mine |= self._take_over_dead(needed - mine)
        return Claimed(mine, needed - mine)

    def release(self, hashes: Sequence[ContentHash]) -> None:
        """Gives up claims on texts that need not be sent."""
        if hashes:
            release(self._connection, self._key["index"], self._key["space"], self.holder, hashes)

    def end(self) -> None:
        """Gives up all claims. Nothing to do where the connection is gone: they are a dead run's then."""
        with suppress(psycopg.OperationalError):
            self._connection.execute(
                """
                DELETE FROM vector_pipeline.text_claims
                WHERE index_id = %(index)s AND space = %(space)s AND holder = %(holder)s
                """,
                self._key | {"holder": self.holder},
            )
            locks.release(self._connection, Lock.CLAIM_HOLDER, self.holder)

    def _insert(self, hashes: Set[ContentHash]) -> set[ContentHash]:
        rows = self._connection.execute(
            """
            INSERT INTO vector_pipeline.text_claims (index_id, space, content_hash, holder)
            SELECT %(index)s, %(space)s, content_hash, %(holder)s FROM unnest(%(hashes)s::bytea[]) content_hash
            ON CONFLICT DO NOTHING
            RETURNING content_hash
            """,
            self._key | {"holder": self.holder, "hashes": sorted(hashes)},
        ).fetchall()
        return {content_hash for (content_hash,) in rows}

    def _take_over_dead(self, hashes: Set[ContentHash]) -> set[ContentHash]:
        rows = self._connection.execute(
            "SELECT DISTINCT holder FROM vector_pipeline.text_claims"
            " WHERE index_id = %(index)s AND space = %(space)s AND content_hash = ANY(%(hashes)s)",
            self._key | {"hashes": list(hashes)},
        ).fetchall()
        dead = self._dead(rows)
        if not dead:
            return set()
        taken = self._connection.execute(
            """
            WITH dead AS (
                SELECT content_hash FROM vector_pipeline.text_claims
                WHERE index_id = %(index)s AND space = %(space)s AND content_hash = ANY(%(hashes)s)
                  AND holder = ANY(%(dead)s)
                ORDER BY content_hash
                FOR UPDATE)
            UPDATE vector_pipeline.text_claims c
            SET holder = %(holder)s
            FROM dead
            WHERE c.index_id = %(index)s AND c.space = %(space)s AND c.content_hash = dead.content_hash
              AND c.holder = ANY(%(dead)s)
            RETURNING c.content_hash
            """,
            self._key | {"holder": self.holder, "hashes": list(hashes), "dead": dead},
        ).fetchall()
        return {content_hash for (content_hash,) in taken}

    def _remove_dead(self) -> None:
        rows = self._connection.execute(
            "SELECT DISTINCT holder FROM vector_pipeline.text_claims WHERE index_id = %(index)s AND space = %(space)s",
            self._key,
        ).fetchall()
        if dead := self._dead(rows):
            self._connection.execute(
                """
                DELETE FROM vector_pipeline.text_claims c
                USING (
                    SELECT content_hash FROM vector_pipeline.text_claims
                    WHERE index_id = %(index)s AND space = %(space)s AND holder = ANY(%(dead)s)
                    FOR UPDATE SKIP LOCKED) left_behind
                WHERE c.index_id = %(index)s AND c.space = %(space)s AND c.content_hash = left_behind.content_hash
                  AND c.holder = ANY(%(dead)s)
                """,
                self._key | {"dead": dead},
            )

    def _dead(self, holders: Sequence[tuple[int]]) -> list[int]:
        """Those of the holders of claims that are dead: a holder has its lock before its first claim, and no number
        comes twice."""
        if not holders:
            return []
        living = locks.holders(self._connection, Lock.CLAIM_HOLDER)
        return [holder for (holder,) in holders if holder not in living]


def release(
    connection: psycopg.Connection, index_id: int, space: int, holder: int, hashes: Sequence[ContentHash]
) -> set[ContentHash]:
    """Ends the holder's claims on these texts. Returns the texts that were still claimed."""
    rows = connection.execute(
        """
        DELETE FROM vector_pipeline.text_claims
        WHERE index_id = %s AND space = %s AND content_hash = ANY(%s) AND holder = %s
        RETURNING content_hash
        """,
        (index_id, space, list(hashes), holder),
    ).fetchall()
    return {content_hash for (content_hash,) in rows}


def erase_unneeded(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Ends all claims on texts that no passage has, whoever holds them: what comes of those texts is not stored.

    Call it in a transaction that holds the vectors alone.
    """
    rows = connection.execute(
        "SELECT content_hash FROM vector_pipeline.text_claims WHERE index_id = %s AND space = %s",
        (index.index_id, index.generation.space.number),
    ).fetchall()
    claimed = [content_hash for (content_hash,) in rows]
    unneeded = sorted(set(claimed) - vectors.still_needed(connection, index, claimed))
    connection.execute(
        "DELETE FROM vector_pipeline.text_claims WHERE index_id = %s AND space = %s AND content_hash = ANY(%s)",
        (index.index_id, index.generation.space.number, unneeded),
    )
