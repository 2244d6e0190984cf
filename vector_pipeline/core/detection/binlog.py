"""Changes found in the server's binary log, whatever they were: inserts, updates, deletions, late commits, new keys.

A look reads the log from where the last one stopped, and names the ranges of the rows that it tells of. Where to go on
is stored with what was named, so nothing is lost between two looks, also where one breaks off.

- The log has a transaction a moment before others can see it. So what a look finds at the log's end is named once more
  by the next look.
- A change of the table itself (TRUNCATE, ALTER, RENAME) names all ranges, and so do columns that are others than at
  the last look.
- A transaction prepared by XA is named when it is prepared and again when it is committed, however much later.
- A long transaction is read in several looks: each begins at its start and passes over what is done. Once it has named
  all ranges, the rest of its rows are passed over too.

What the log doesn't have is left to the scrub: changes by ON DELETE CASCADE in MySQL before 9.6 and in MariaDB, by
sessions with sql_log_bin = 0, of other servers where this one is a replica without log_replica_updates. Where the log
itself is lost or closed, a problem says so and the look goes on at the present.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pymysql
from pymysql.constants import ER

from vector_pipeline.core.detection.binlog_events import (
    Committed,
    Event,
    FileOpened,
    NextFile,
    Prepared,
    RowsLogged,
    StatementLogged,
    StreamFailed,
    Unreadable,
)
from vector_pipeline.core.detection.binlog_keys import (
    LoggedTable,
    RawKey,
    UnreadableKey,
    canonical_keys,
    read_logged_table,
)
from vector_pipeline.core.detection.binlog_server import (
    LogClosed,
    LogMissing,
    Position,
    ServerLog,
    ask_server,
    rights_remedy,
)
from vector_pipeline.core.detection.binlog_statements import Statement, classify, xa_name
from vector_pipeline.core.detection.detector import Finding, State, View
from vector_pipeline.core.errors import without_secrets
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.locate import locate_keys

_KEYS_PER_FINDING = 1000
# The place is noted after so many events of other tables, so that a look that is broken off repeats little.
_EVENTS_PER_FINDING = 20_000
_PAUSE_BETWEEN_QUESTIONS_SECONDS = 0.2
# A transaction that was logged longer ago can be seen by all; semi-synchronous replication may hold one up for seconds.
_SEEN_AFTER_SECONDS = 60
_ACCESS_DENIED = frozenset({ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR})
_LEFT_TO_THE_SCRUB = "are left to the scrub"


class _LogLost(Exception):
    """The log no longer has what comes after the place where the last look stopped."""


@dataclass(frozen=True)
class _Place:
    """How far the log has been read.

    `at` is the end of a transaction and `done` the end of what has been named, which is further on in a long one.
    `created` is when the file of `at` was made, and `columns` the fingerprint of the table's columns. `named` are the
    ranges that were named while the long one was read, `again` those to be named once more, and `prepared` those of XA
    transactions that are neither committed nor rolled back.
    """

    server: str
    at: Position
    done: int
    created: int | None
    columns: str
    named: frozenset[int] = frozenset()
    again: frozenset[int] = frozenset()
    prepared: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State) -> _Place:
        return cls(
            state["server"],
            Position(state["file"], state["position"]),
            state["done"],
            state["created"],
            state["columns"],
            frozenset(state["named"]),
            frozenset(state["again"]),
            dict(state["prepared"]),
        )

    @property
    def state(self) -> State:
        return {
            "server": self.server,
            "file": self.at.file,
            "position": self.at.offset,
            "done": self.done,
            "created": self.created,
            "columns": self.columns,
            "named": sorted(self.named),
            "again": sorted(self.again),
            "prepared": self.prepared,
        }

    def moved(self, position: Position) -> _Place:
        return replace(self, at=position, done=position.offset, named=frozenset())


class Binlog:
    """Names the ranges of the rows that the binary log tells of."""

    name = "binlog"

    def __init__(self, settings: SourceSettings, wait_seconds: float = 0) -> None:
        """Args:
        settings: of the server whose log is read, in a connection of its own.
        wait_seconds: how long a look that finds nothing waits for a change, at most.
        """
        self._settings = settings
        self._wait_seconds = wait_seconds

    def look(self, view: View, ranges: Sequence[KeyRange], state: State | None) -> Iterator[Finding]:
        place = _Place.of(state) if state else None
        try:
            log = ask_server(view.source, view.plan.database)
        except LogMissing as missing:
            yield Finding({}, problem=f"Changes {_LEFT_TO_THE_SCRUB}: {missing}")
            return
        except LogClosed as closed:
            yield Finding(state or {}, problem=self._closed(place, str(closed)))
            return
        table = read_logged_table(view.source, view.plan)
        if table is None:
            return  # whoever reads the table will say what is wrong with it
        if place is None:
            yield from self._start(view, log, table, None)
        elif place.server != log.server:
            another = f"this is another server ({log.server}) than the one whose log was read ({place.server})"
            yield from self._start(view, log, table, self._lost(place, log, another))
        else:
            yield from self._go_on(view, ranges, log, table, place)

    def _start(self, view: View, log: ServerLog, table: LoggedTable, lost: str | None) -> Iterator[Finding]:
        """Begins at the present. Reading from there tells whether it can be done, and when the file was made."""
        place = _Place(log.server, log.end, log.end.offset, None, table.fingerprint)
        reading = _Reading(view, (), table, place, self._settings)
        try:
            place = replace(place, created=reading.created())
        except StreamFailed as failed:
            refused = self._refused(view, place, failed.error)
            lost = f"{lost}. {refused}" if lost else refused
        yield Finding(place.state, problem=lost or log.problem)

    def _go_on(
        self, view: View, ranges: Sequence[KeyRange], log: ServerLog, table: LoggedTable, place: _Place
    ) -> Iterator[Finding]:
        reading = _Reading(view, ranges, table, place, self._settings)
        reading.problem = log.problem
        end = log.end
        until = time.monotonic() + self._wait_seconds
        if view.deadline is not None:
            until = min(until, view.deadline)
        try:
            yield from reading.findings()
            while not reading.has_found and time.monotonic() < until:
                time.sleep(_PAUSE_BETWEEN_QUESTIONS_SECONDS)
                before, end = end, ask_server(view.source, view.plan.database).end
                if end != before:
                    yield from reading.findings()
        except _LogLost as lost:
            yield from self._start(view, log, table, self._lost(reading.noted, log, str(lost)))
        except (LogClosed, LogMissing) as closed:
            yield Finding(reading.noted.state, problem=self._closed(reading.noted, str(closed)))
        except StreamFailed as failed:
            if failed.error.args and failed.error.args[0] == ER.MASTER_FATAL_ERROR_READING_BINLOG:
                yield from self._start(view, log, table, self._lost(reading.noted, log, self._words(failed.error)))
                return
            yield Finding(reading.noted.state, problem=self._refused(view, reading.noted, failed.error))

    def _lost(self, place: _Place, log: ServerLog, reason: str) -> str:
        return (
            f"The binary log after {place.at} is lost: {reason}. Changes between there and {log.end} "
            f"{_LEFT_TO_THE_SCRUB}. Keep the log for longer (binlog_expire_logs_seconds) than the longest pause"
        )

    def _refused(self, view: View, place: _Place, error: pymysql.MySQLError) -> str:
        denied = bool(error.args) and error.args[0] in _ACCESS_DENIED
        remedy = rights_remedy(view.source) if denied else "it is tried again at the next look"
        return self._closed(place, f"{self._words(error)}; {remedy}")

    def _closed(self, place: _Place | None, reason: str) -> str:
        after = f" after {place.at}" if place else ""
        return f"The binary log{after} can't be read, so that changes {_LEFT_TO_THE_SCRUB} until it can: {reason}"

    def _words(self, error: pymysql.MySQLError) -> str:
        number = f" (error {error.args[0]})" if len(error.args) > 1 else ""
        return without_secrets(str(error.args[-1] if error.args else error), [self._settings.password]) + number


class _Reading:
    """One look's way through the log."""

    def __init__(
        self, view: View, ranges: Sequence[KeyRange], table: LoggedTable, place: _Place, settings: SourceSettings
    ) -> None:
        self._view = view
        self._ranges = ranges
        self._all = frozenset(key_range.range_id for key_range in ranges)
        self._table = table
        self._settings = settings
        self.noted = place
        self.problem: str | None = None
        self.has_found = False
        self._place = replace(place, again=frozenset(), columns=table.fingerprint)
        self._keys: dict[RawKey, None] = {}
        self._suspects = self._all if place.columns != table.fingerprint else place.again & self._all
        self._fresh: frozenset[int] = frozenset()
        self._xa_name = ""
        self._latest = 0
        self._server_clock = 0

    def _events(self) -> Iterator[Event]:
        # The package that it needs is an extra: who doesn't declare `binlog` does without it.
        from vector_pipeline.core.detection.binlog_stream import read_events  # noqa: PLC0415

        return read_events(self._settings, self._place.at, self._table)

    def created(self) -> int | None:
        """When the file in which the reading begins was made, by the server's clock."""
        for event in self._events():
            if isinstance(event, FileOpened):
                return event.created
        return None

    def findings(self) -> Iterator[Finding]:
        """Reads to the present end of the log, or to the deadline.

        Raises:
            _LogLost: the file is another one than that which was read before.
            StreamFailed: the server doesn't give the log.
        """
        self._server_clock = self._read_clock()
        start = self._place
        for events, event in enumerate(self._events(), start=1):
            self._take(event)
            # A look that has come no further would be of no use to the next one.
            moved = (self._place.at, self._place.done) != (start.at, start.done)
            late = moved and self._view.deadline is not None and time.monotonic() >= self._view.deadline
            if late or len(self._keys) >= _KEYS_PER_FINDING or events % _EVENTS_PER_FINDING == 0:
                yield from self._finding()
            if late:
                return
        yield from self._finding()

    def _finding(self) -> Iterator[Finding]:
        """What has been read since the last one, where that makes a difference."""
        self._locate()
        if self._within_transaction or self._latest >= self._server_clock - _SEEN_AFTER_SECONDS:
            self._place = replace(self._place, again=self._place.again | self._fresh)
        finding = Finding(self._place.state, self._suspects, self.problem)
        self.has_found = self.has_found or bool(self._fresh)
        self._suspects = self._fresh = frozenset()
        self.problem, self._latest = None, 0
        if finding.suspects or finding.problem or finding.state != self.noted.state:
            self.noted = self._place
            yield finding

    @property
    def _within_transaction(self) -> bool:
        return self._place.done != self._place.at.offset

    def _suspect(self, ranges: frozenset[int]) -> None:
        self._suspects |= ranges
        self._fresh |= ranges
        if self._within_transaction:
            self._place = replace(self._place, named=self._place.named | ranges)

    def _locate(self) -> None:
        if self._keys:
            keys = canonical_keys(self._view.source, self._keys)
            self._keys = {}
            self._suspect(frozenset(locate_keys(self._view.source, self._view.plan, keys, self._ranges).values()))

    def _take(self, event: Event) -> None:
        self._latest = max(self._latest, event.at)
        match event:
            case FileOpened():
                if self._place.created not in (None, event.created) and event.position.file == self._place.at.file:
                    raise _LogLost(f"{event.position.file} is another file than the one of this name before")
                self._place = replace(self._place, created=event.created)
            case NextFile():
                if event.position.file != self._place.at.file:
                    self._place = replace(self._place.moved(event.position), created=None)
            case RowsLogged():
                if event.position.offset > self._place.done:
                    self._take_rows(event)
            case StatementLogged():
                self._take_statement(event.statement, event.position)
            case Prepared():
                self._locate()
                if self._place.named:
                    ranges = sorted(self._place.named)
                    self._place = replace(self._place, prepared=self._place.prepared | {self._xa_name: ranges})
                self._end_transaction(event.position)
            case Committed():
                self._end_transaction(event.position)
            case Unreadable():
                self._take_unreadable(event)

    def _take_rows(self, event: RowsLogged) -> None:
        try:
            # The log had all of the transaction when the ranges were named: the rest can tell nothing more, and to
            # unpack it is what takes the time.
            for key in () if self._all <= self._place.named else event.changed_keys():
                self._keys[key] = None
        except UnreadableKey as unreadable:
            self.problem = self.problem or (
                f"Rows that were changed before {event.position} of the binary log have no key that can be read "
                f"({unreadable}), and {_LEFT_TO_THE_SCRUB}; unless the table was being altered, set binlog_row_image "
                "to FULL, or see that source.primary_key is the table's primary key"
            )
        self._place = replace(self._place, done=event.position.offset)

    def _take_statement(self, statement: str, position: Position) -> None:
        match classify(statement, self._table.name):
            case Statement.END_OF_TRANSACTION | Statement.OTHER_TABLE:
                self._end_transaction(position)
            case Statement.WHOLE_TABLE:
                self._suspect(self._all)
                self._end_transaction(position)
            case Statement.ROWS_UNNAMED:
                self.problem = self.problem or self._without_rows(position, "a statement")
            case Statement.XA_END:
                self._xa_name = xa_name(statement)
            case Statement.XA_COMMIT | Statement.XA_ROLLBACK as kind:
                prepared = dict(self._place.prepared)
                ranges = frozenset(prepared.pop(xa_name(statement), ()))
                self._place = replace(self._place, prepared=prepared)
                if kind is Statement.XA_COMMIT:
                    self._suspect(ranges & self._all)
                self._end_transaction(position)
            case Statement.WITHOUT_EFFECT:
                pass

    def _take_unreadable(self, event: Unreadable) -> None:
        self.problem = self.problem or self._without_rows(event.position, event.what)
        if event.ends_transaction:
            self._end_transaction(event.position)

    def _without_rows(self, position: Position, what: str) -> str:
        return (
            f"At {position} the binary log has {what}, which names no rows; what it changed {_LEFT_TO_THE_SCRUB}. Set "
            "binlog_format to ROW and binlog_transaction_compression to OFF, for sessions too"
        )

    def _end_transaction(self, position: Position) -> None:
        self._xa_name = ""
        self._place = self._place.moved(position)

    def _read_clock(self) -> int:
        with self._view.source.cursor() as cursor:
            cursor.execute("SELECT UNIX_TIMESTAMP()")
            row: tuple[Any, ...] | None = cursor.fetchone()
        return int(row[0]) if row else 0
