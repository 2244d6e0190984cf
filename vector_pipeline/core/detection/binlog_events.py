"""What the binary log tells of one table, in the order of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pymysql

from vector_pipeline.core.detection.binlog_keys import RawKey
from vector_pipeline.core.detection.binlog_server import Position


class StreamFailed(Exception):
    """The server doesn't give the log, or not from there, or ended the stream in its midst. `error` is the driver's."""

    def __init__(self, error: pymysql.MySQLError) -> None:
        self.error = error
        super().__init__()


@dataclass(frozen=True)
class Event:
    """`position` is where the log goes on after it; `at` the server's clock in seconds when it was logged."""

    position: Position
    at: int


@dataclass(frozen=True)
class FileOpened(Event):
    """A file begins, or the stream begins in it; `created` tells it from an earlier one of the same name."""

    created: int


@dataclass(frozen=True)
class NextFile(Event):
    """The log goes on in another file."""


@dataclass(frozen=True)
class Committed(Event):
    """A transaction ends. All that was logged of it has come before."""


@dataclass(frozen=True)
class Prepared(Event):
    """The first phase of a distributed transaction ends: it can't be seen until it is committed."""


@dataclass(frozen=True)
class StatementLogged(Event):
    """What is no row."""

    statement: str


@dataclass(frozen=True)
class Unreadable(Event):
    """Something that can't be read; what it changed is not known."""

    what: str
    ends_transaction: bool


@dataclass(frozen=True)
class RowsLogged(Event):
    """Rows of the table. `changed_keys` unpacks their keys, before and after; it raises `UnreadableKey`."""

    changed_keys: Callable[[], Iterator[RawKey]]
