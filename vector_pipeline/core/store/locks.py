"""Advisory locks: who works on what, for as long as its connection lives and no longer.

A lock dies with the process that holds it, so a killed run freezes nothing. The first number of a lock's
pair says what is locked, the second which one.

Whoever waits for long asks again and again, between statements: a statement that waits keeps its snapshot, and
CREATE INDEX CONCURRENTLY waits for every snapshot, so the two would wait for each other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum

import psycopg

_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.2
# What a search may have to wait at worst; a lock that nobody holds for long is free sooner.
LONGEST_TABLE_WAIT_SECONDS = 1.0


class Lock(IntEnum):
    """What is locked. The values keep clear of other applications in the same database."""

    SCHEMA = 0x56500000
    RANGE_DOCUMENTS = 0x56500001
    RANGE_EMBEDDING = 0x56500002
    RUN = 0x56500003
    VECTORS = 0x56500004
    RANGES = 0x56500005
    SEARCH_INDEX = 0x56500006
    CLAIM_HOLDER = 0x56500007
    OFFLINE_BATCHES = 0x56500008
    RUN_REQUESTS = 0x56500009


@contextmanager
def held(connection: psycopg.Connection, lock: Lock, which: int) -> Iterator[None]:
    """Waits for the lock and holds it. Take it outside of a transaction: it must outlive its commit."""
    wait_for(connection, lock, which)
    try:
        yield
    finally:
        release(connection, lock, which)


def wait_for(
    connection: psycopg.Connection, lock: Lock, which: int, abandoned: Callable[[], bool] = lambda: False
) -> bool:
    """Takes the lock as soon as it is free; `release` gives it back. Not for use in a transaction.

    Args:
        abandoned: whether it is not wanted any more. Returns False then, without the lock.
    """
    pause = _FIRST_PAUSE_SECONDS
    while not abandoned():
        if try_hold(connection, lock, which):
            return True
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return False


def try_hold(connection: psycopg.Connection, lock: Lock, which: int) -> bool:
    """Takes the lock if it is free; `release` gives it back."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (int(lock), which)).fetchone()
    return bool(row and row[0])


def release(connection: psycopg.Connection, lock: Lock, which: int) -> None:
    """Gives a session's lock back; nothing to do where the connection is gone, since the lock went with it."""
    if not connection.closed and not connection.broken:
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", (int(lock), which))


def is_held(connection: psycopg.Connection, lock: Lock, which: int) -> bool:
    """Whether any session holds the lock."""
    row = connection.execute(
        """
        SELECT EXISTS (
            SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND objsubid = 2
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND classid::bigint = %s AND objid::bigint = %s)
        """,
        (int(lock), which),
    ).fetchone()
    return bool(row and row[0])


def holders(connection: psycopg.Connection, lock: Lock) -> list[int]:
    """The second numbers of all locks of this kind that any session holds."""
    rows = connection.execute(
        """
        SELECT objid::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 2
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint = %s
        """,
        (int(lock),),
    ).fetchall()
    return [which for (which,) in rows]


def in_transaction(connection: psycopg.Connection, lock: Lock, which: int, *, shared: bool = False) -> None:
    """Takes the lock until the end of the current transaction."""
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    connection.execute(f"SELECT {function}(%s, %s)", (int(lock), which))


def number_of(name: str) -> int:
    """A name as the second number of a lock: positive, so that it reads the same in pg_locks."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") & 0x7FFFFFFF


@contextmanager
def not_waiting_long_for_tables(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction, or a part of one, that gives up where somebody works on a table for longer.

    Whoever waits to alter a table keeps waiting all who come after: every search would wait until a report, or a dump,
    has been read to its end. Take advisory locks before it: they have all the time.

    Raises:
        psycopg.errors.LockNotAvailable: nothing is changed.
    """
    with connection.transaction():
        before = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
        assert before is not None
        _set_lock_timeout(connection, f"{1000 * LONGEST_TABLE_WAIT_SECONDS:.0f}ms")
        yield
        _set_lock_timeout(connection, before[0])


def _set_lock_timeout(connection: psycopg.Connection, timeout: str) -> None:
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (timeout,))
