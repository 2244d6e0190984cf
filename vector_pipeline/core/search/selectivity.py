"""How many documents a filter leaves, as PostgreSQL's planner estimates it.

An estimate costs as much as a fast search, and the same filters come again and again: it is kept for a minute, in which
statistics hardly change.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

import psycopg
from psycopg import sql

from vector_pipeline.core.search.statement import Restriction
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.store.registry import RegisteredIndex

_KEPT = 256
_KEPT_SECONDS = 60.0

_Asked = tuple[str, bytes, str]


class Selectivity:
    """Safe to use from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Asked, tuple[float, int]] = OrderedDict()

    def documents_left(
        self, connection: psycopg.Connection, index: RegisteredIndex, restriction: Restriction, time_limit: TimeLimit
    ) -> int:
        """The planner's estimate of how many documents there are for which the restriction, which has a condition, is
        true; no older than a minute.

        Raises:
            OutOfTimeError: the time was over before.
        """
        asked = (index.schema, restriction.written, repr(sorted(restriction.parameters.items())))
        with self._lock:
            kept = self._kept.get(asked)
        if kept is not None and kept[0] > time.monotonic() - _KEPT_SECONDS:
            return kept[1]
        estimate = _estimated(connection, index, restriction, time_limit)
        with self._lock:
            self._kept[asked] = time.monotonic(), estimate
            self._kept.move_to_end(asked)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return estimate


def _estimated(
    connection: psycopg.Connection, index: RegisteredIndex, restriction: Restriction, time_limit: TimeLimit
) -> int:
    explain = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} d WHERE {}").format(
        sql.Identifier(index.schema, "documents"), restriction.condition
    )
    [(plan,)] = time_limit.read(connection, explain, restriction.parameters)
    return int(plan[0]["Plan"]["Plan Rows"])
