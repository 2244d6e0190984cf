"""Runs that several callers share: two calls at once give one run, and still each finds its changes synced.

A run of such a job works in rounds. Whoever joins one that is at work asks it for one more round, since the one it is
in may have looked at the caller's rows already. A run closes itself when a round was the last, and no caller can join
it any more: both are decided under one lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from vector_pipeline.core.store import locks, schema
from vector_pipeline.core.store.locks import Lock

_KEPT = "7 days"


@contextmanager
def alone(connection: psycopg.Connection, job: str) -> Iterator[None]:
    """Nobody else looks for a run of this job, launches one, or closes one meanwhile."""
    schema.create_registry(connection)
    with locks.held(connection, Lock.RUN_REQUESTS, locks.number_of(job)):
        yield


def ask(connection: psycopg.Connection, run_id: str) -> bool:
    """Asks a run for a round that begins after now. Returns whether it will have one; not, where it is closed."""
    connection.execute(
        "DELETE FROM vector_pipeline.open_runs WHERE asked_at < now() - %s::interval AND run_id <> %s", (_KEPT, run_id)
    )
    asked = connection.execute(
        """
        INSERT INTO vector_pipeline.open_runs AS o (run_id) VALUES (%s)
        ON CONFLICT (run_id) DO UPDATE SET asked_at = clock_timestamp() WHERE NOT o.closed
        RETURNING run_id
        """,
        (run_id,),
    ).fetchone()
    return asked is not None


def now(connection: psycopg.Connection) -> datetime:
    """The moment at which a round begins, by the clock that tells when it was asked for."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def close_unless_asked(connection: psycopg.Connection, job: str, run_id: str, round_began: datetime) -> bool:
    """Closes the run if nobody has asked for a round since its last began. Returns whether it did."""
    with alone(connection, job):
        row = connection.execute(
            "SELECT asked_at > %s FROM vector_pipeline.open_runs WHERE run_id = %s", (round_began, run_id)
        ).fetchone()
        if row is not None and row[0]:
            return False
        connection.execute(
            """
            INSERT INTO vector_pipeline.open_runs (run_id, closed) VALUES (%s, true)
            ON CONFLICT (run_id) DO UPDATE SET closed = true
            """,
            (run_id,),
        )
    return True
