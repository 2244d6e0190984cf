"""Where each detector of an index goes on, and what it says it may have missed."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from vector_pipeline.core.store.key_ranges import changing
from vector_pipeline.core.store.registry import RegisteredIndex


def load(connection: psycopg.Connection, index: RegisteredIndex, detector: str) -> dict[str, Any] | None:
    """The state of its last finding; None at its first look."""
    row = connection.execute(
        "SELECT state FROM vector_pipeline.detector_states WHERE index_id = %s AND detector = %s",
        (index.index_id, detector),
    ).fetchone()
    return row[0] if row else None


def note_finding(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    detector: str,
    state: dict[str, Any],
    suspects: Set[int],
    problem: str | None,
) -> None:
    """Stores suspicion and state in one transaction. A problem stays until a whole round has come after it."""
    with changing(connection, index, range_ids=list(suspects)):
        if suspects:
            connection.execute(
                """
                UPDATE vector_pipeline.key_ranges SET suspected_at = clock_timestamp()
                WHERE index_id = %s AND range_id = ANY(%s)
                """,
                (index.index_id, list(suspects)),
            )
        connection.execute(
            """
            INSERT INTO vector_pipeline.detector_states AS s (index_id, detector, state, problem, problem_since)
            VALUES (%(index)s, %(detector)s, %(state)s, %(problem)s::text,
                    CASE WHEN %(problem)s::text IS NULL THEN NULL ELSE now() END)
            ON CONFLICT (index_id, detector) DO UPDATE
            SET state = excluded.state,
                problem = coalesce(excluded.problem, s.problem),
                problem_since = CASE WHEN excluded.problem IS NULL THEN s.problem_since ELSE now() END
            """,
            {"index": index.index_id, "detector": detector, "state": Jsonb(state), "problem": problem},
        )


def note_problem(connection: psycopg.Connection, index: RegisteredIndex, detector: str, problem: str) -> None:
    """Stores what a detector may have missed, and leaves its state as it is."""
    connection.execute(
        """
        INSERT INTO vector_pipeline.detector_states (index_id, detector, problem, problem_since)
        VALUES (%s, %s, %s, now())
        ON CONFLICT (index_id, detector) DO UPDATE
        SET problem = excluded.problem, problem_since = excluded.problem_since
        """,
        (index.index_id, detector, problem),
    )


def problems(connection: psycopg.Connection, index: RegisteredIndex) -> dict[str, str]:
    """What detectors say they may have missed and the scrub has not caught up with yet."""
    # The round that was under way when the problem came may have passed the ranges that it is about: it takes the
    # one after it.
    rows = connection.execute(
        """
        SELECT detector, problem FROM vector_pipeline.detector_states s
        WHERE index_id = %s AND problem IS NOT NULL
          AND EXISTS (SELECT FROM vector_pipeline.key_ranges r
                      WHERE r.index_id = s.index_id
                        AND (r.source_checked_at IS NULL OR r.source_checked_at < s.problem_since))
        ORDER BY detector
        """,
        (index.index_id,),
    ).fetchall()
    return dict(rows)
