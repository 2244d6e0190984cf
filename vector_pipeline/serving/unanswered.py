"""Takes down queries that found nothing, aside of the search: it is neither slowed by it nor does it fail with it.

They wait in memory, each counted once, until a thread writes them together. What can't be written waits for the next
time, as many as there is room for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import psycopg

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.store import unanswered_queries
from vector_pipeline.core.store.unanswered_queries import UnansweredQuery

_FLUSH_SECONDS = 5.0
# How soon after its time a query is gone, also where no other is taken down.
_REMOVE_SECONDS = 3600.0
_MOST_WAITING = 1000

_log = logging.getLogger(__name__)


class UnansweredQueries:
    """One a process.

    Args:
        kept_for: how long a query is kept after it was last asked; zero keeps none.
        connect: gives a connection to PostgreSQL in autocommit mode.
    """

    def __init__(self, kept_for: timedelta, connect: Callable[[], AbstractContextManager[psycopg.Connection]]) -> None:
        self._kept_for = kept_for
        self._connect = connect
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[tuple[str, bytes], UnansweredQuery] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, name="unanswered", daemon=True)
        if self.are_kept:
            self._thread.start()

    @property
    def are_kept(self) -> bool:
        return self._kept_for > timedelta(0)

    def note(self, answer: SearchAnswer) -> None:
        """Takes the query of an answer down if nothing was found. An answer that wasn't complete tells nothing."""
        if not self.are_kept or answer.hits or not answer.complete or answer.like is not None:
            return
        now = datetime.now(UTC)
        threshold = None if answer.mode == "text" else answer.threshold
        self._add(UnansweredQuery(answer.index, answer.query, 1, threshold, answer.filtered, now, now))

    def flush(self) -> None:
        """Writes what waits, and removes what was kept for long enough. Doesn't raise: the log tells."""
        with self._writing:
            with self._lock:
                taken, self._waiting = list(self._waiting.values()), {}
            try:
                with self._connect() as connection, connection.transaction():
                    if taken:
                        unanswered_queries.record(connection, taken, self._kept_for)
                    unanswered_queries.remove_expired(connection, self._kept_for)
            except (VectorPipelineError, psycopg.Error) as error:
                level = logging.WARNING if taken else logging.DEBUG
                _log.log(level, "%d queries that found nothing wait to be kept: %s", len(taken), type(error).__name__)
                for query in taken:
                    self._add(query)

    def close(self) -> None:
        """Writes what waits, and ends."""
        self._stopping.set()
        if self.are_kept:
            self._thread.join()
        if self._waiting:
            self.flush()

    def _add(self, query: UnansweredQuery) -> None:
        with self._lock:
            key = query.index, query.hash
            if key in self._waiting:
                self._waiting[key] += query
            elif len(self._waiting) < _MOST_WAITING:
                self._waiting[key] = query

    def _write_now_and_then(self) -> None:
        flushed = float("-inf")
        while not self._stopping.wait(_FLUSH_SECONDS):
            if self._waiting or time.monotonic() - flushed > _REMOVE_SECONDS:
                self.flush()
                flushed = time.monotonic()
