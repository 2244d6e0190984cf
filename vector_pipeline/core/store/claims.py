"""Claims on texts: of several runs that need the same text at the same moment, one sends it to the provider.

A run claims the texts of a batch before it sends them, in the order of their hashes, so that two runs never wait for
each other; a claim goes with the transaction that stores the text's vector or its refusal. Its holder is a number
whose advisory lock the run's connection holds for as long as it lives: a claim whose holder's lock is free is a dead
run's, and is taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.store import locks
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex


class Claims:
    """The claims of one run, for as long as the connection lives that they are made on."""

    def __init__(self, connection: psycopg.Connection, index: RegisteredIndex) -> None:
        self._connection = connection
        self._key = {"index": index.index_id, "space": index.generation.space.number}
        row = connection.execute("SELECT nextval('vector_pipeline.claim_holders')::integer").fetchone()
        assert row is not None
        self.holder: int = row[0]
        locks.wait_for(connection, Lock.CLAIM_HOLDER, self.holder)
        self._remove_dead()

    def claim(self, hashes: Sequence[ContentHash]) -> set[ContentHash]:
        """Claims those of the texts that no other living run has claimed. Returns the ones that are this run's now."""
        if not hashes:
            return set()
        mine = self._insert(hashes)
        if len(mine) < len(set(hashes)):
            mine |= self._take_over_dead([content_hash for content_hash in hashes if content_hash not in mine])
        return mine

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

    def _insert(self, hashes: Sequence[ContentHash]) -> set[ContentHash]:
        rows = self._connection.execute(
            """
            INSERT INTO vector_pipeline.text_claims (index_id, space, content_hash, holder)
            SELECT %(index)s, %(space)s, content_hash, %(holder)s FROM unnest(%(hashes)s::bytea[]) content_hash
            ON CONFLICT DO NOTHING
            RETURNING content_hash
            """,
            self._key | {"holder": self.holder, "hashes": sorted(set(hashes))},
        ).fetchall()
        return {content_hash for (content_hash,) in rows}

    def _take_over_dead(self, hashes: Sequence[ContentHash]) -> set[ContentHash]:
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
) -> None:
    """Ends the holder's claims on these texts."""
    connection.execute(
        """
        DELETE FROM vector_pipeline.text_claims
        WHERE index_id = %s AND space = %s AND content_hash = ANY(%s) AND holder = %s
        """,
        (index_id, space, list(hashes), holder),
    )
