"""Building an ANN index while searches and syncs go on: the memory and the workers that it gets, and how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from vector_pipeline.core.store.ann_method import AnnOrder, Method

_MEGABYTE = 1024 * 1024
_LEAST_CAP = 256 * _MEGABYTE
# pgvector 0.8 keeps for each element, with 16 links and twice as many on the ground level, about a kilobyte beside the
# indexed value (hnsw.h: HnswElementData, HnswNeighborArray).
_BYTES_OF_AN_ELEMENT = 1024
# PostgreSQL tells of a full /dev/shm as of a full disk (dsm_impl.c); the driver's errors of one class are no family.
_NO_SHARED_MEMORY = (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory, psycopg.errors.InsufficientResources)
_BYTES_OF_A_NUMBER = {Method.VECTOR: 4.0, Method.HALFVEC: 2.0, Method.BIT: 1 / 8}


@dataclass(frozen=True)
class BuildProgress:
    """How far the building of a field's ANN index is: vectors that are in it, of all."""

    field: str
    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class Observer:
    """Is told now and then how far a build is, as seen by a connection of its own."""

    open_connection: Callable[[], AbstractContextManager[psycopg.Connection]]
    on_progress: Callable[[BuildProgress], None]
    look_seconds: float = 2.0


@contextmanager
def settings_for(
    connection: psycopg.Connection, order: AnnOrder, vectors: int, most_megabytes: int | None
) -> Iterator[None]:
    """Gives the session what building an index of so many vectors needs, and takes it back.

    A graph that doesn't fit into the memory is built on, many times slower.
    """
    needed = build_bytes(order, vectors)
    cap = most_megabytes * _MEGABYTE if most_megabytes is not None else server_cap(connection)
    # A table whose vectors are stored out of line (TOAST) looks too small to PostgreSQL to send workers.
    values = {"maintenance_work_mem": f"{max(64 * _MEGABYTE, min(needed, cap)) // 1024}kB"}
    values["min_parallel_table_scan_size"] = "0"
    for name, value in values.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    try:
        yield
    finally:
        if not connection.closed:
            for name in values:
                connection.execute(sql.SQL("RESET {}").format(sql.Identifier(name)))


def build_bytes(order: AnnOrder, vectors: int) -> int:
    """The memory that building an index of so many vectors needs, about."""
    return int(vectors * (order.width * _BYTES_OF_A_NUMBER[order.method] + _BYTES_OF_AN_ELEMENT) * 1.1)


def server_cap(connection: psycopg.Connection) -> int:
    """What the server may be taken to bear, in bytes: whoever gave it memory has said so in one of these."""
    row = connection.execute(
        """
        SELECT greatest(pg_size_bytes(current_setting('shared_buffers')),
                        pg_size_bytes(current_setting('maintenance_work_mem')))
        """
    ).fetchone()
    assert row is not None
    return max(_LEAST_CAP, int(row[0]))


def build(connection: psycopg.Connection, statement: sql.Composed, clean_up: Callable[[], None]) -> None:
    """Executes a CREATE INDEX or REINDEX; without workers where there is too little shared memory for them.

    Args:
        clean_up: removes what a failed try has left behind.
    """
    try:
        connection.execute(statement)
    except _NO_SHARED_MEMORY:
        # Containers often have 64 MB of /dev/shm, and workers need the whole graph there.
        clean_up()
        connection.execute("SET max_parallel_maintenance_workers = 0")
        try:
            connection.execute(statement)
        finally:
            connection.execute("RESET max_parallel_maintenance_workers")


@contextmanager
def observed(connection: psycopg.Connection, field: str, vectors: int, observer: Observer | None) -> Iterator[None]:
    """Tells the observer of what `connection` builds in the block."""
    if observer is None:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(observer, over, connection.info.backend_pid, field, vectors), name="ann-build-watcher"
    )
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(observer: Observer, over: threading.Event, pid: int, field: str, vectors: int) -> None:
    with observer.open_connection() as connection:
        while not over.wait(observer.look_seconds):
            row = connection.execute(
                "SELECT phase, tuples_done FROM pg_stat_progress_create_index WHERE pid = %s", (pid,)
            ).fetchone()
            if row is not None:
                observer.on_progress(BuildProgress(field, row[0], min(int(row[1]), vectors), vectors))
