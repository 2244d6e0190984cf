"""The binary log as a stream of the few events that matter for one table.

The reading itself is mysql-replication's, an optional package (extra `binlog`), so this is the one module that imports
it. It is used for what it does well, the protocol and the packing of rows; two habits of it are kept away from keys:
text is taken as bytes, since it would decode all of it as UTF-8 where the log says nothing of character sets, and signs
of numbers come from the catalogue.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pymysql
from pymysql.constants import CR
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.event import (
    FormatDescriptionEvent,
    NotImplementedEvent,
    QueryEvent,
    RotateEvent,
    XAPrepareEvent,
    XidEvent,
)
from pymysqlreplication.row_event import (
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    RowsEvent,
    UpdateRowsEvent,
    WriteRowsEvent,
)

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
from vector_pipeline.core.detection.binlog_keys import LoggedTable, RawKey, UnreadableKey
from vector_pipeline.core.detection.binlog_server import Position
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.tls import session_class, tls_arguments

_EVENTS = (
    FormatDescriptionEvent,
    RotateEvent,
    QueryEvent,
    XidEvent,
    XAPrepareEvent,
    WriteRowsEvent,
    UpdateRowsEvent,
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    NotImplementedEvent,
)
_COMPRESSED_TRANSACTION = 40  # TRANSACTION_PAYLOAD_EVENT of MySQL
# Servers know their replicas by these numbers, and drop one whose number comes again: real ones have small numbers.
_REPLICA_NUMBERS = range(1 << 31, (1 << 32) - 1)
_NOT_LOGGED = "cols bitmap"

_MOST_UNREADABLE = 10_000

# It warns of each connection to a server whose binlog_row_metadata is not FULL, which is not needed here.
logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)


_BYTES = frozenset({FIELD_TYPE.VARCHAR, FIELD_TYPE.STRING, FIELD_TYPE.VAR_STRING, FIELD_TYPE.BLOB})


def _rows(event: RowsEvent) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = event.rows
    except Exception as error:  # whatever the package meets in a type that it doesn't know
        raise UnreadableKey(type(error).__name__) from None
    return rows


def read_events(settings: SourceSettings, start: Position, table: LoggedTable) -> Iterator[Event]:
    """Reads the log from a position to its present end. Other tables' rows are passed over.

    Raises:
        StreamFailed: the server doesn't give the log, or not from there, or no further.
    """
    unreadable = 0
    reader = BinLogStreamReader(
        {
            "host": settings.host,
            "port": settings.port,
            "user": settings.user,
            "password": settings.password,
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "read_timeout": 60,
            **tls_arguments(settings.tls),
        },
        server_id=random.choice(_REPLICA_NUMBERS),
        log_file=start.file,
        log_pos=start.offset,
        resume_stream=True,
        only_events=_EVENTS,
        filter_non_implemented_events=False,
        only_schemas=[table.database],
        only_tables=[table.name],
        enable_logging=False,
        pymysql_wrapper=_Connections(session_class(settings.tls)),
    )
    with closing(reader):
        while True:
            try:
                event = reader.fetchone()
            except pymysql.MySQLError as error:
                raise StreamFailed(error) from None
            except Exception as error:  # an event that the package can't read; the next one follows it
                unreadable += 1
                if unreadable > _MOST_UNREADABLE:
                    raise StreamFailed(pymysql.err.InternalError(f"{unreadable} events can't be read")) from None
                name = type(error).__name__
                yield Unreadable(
                    Position(reader.log_file, reader.log_pos), 0, f"an event that can't be read ({name})", False
                )
                continue
            if event is None:
                return
            found = _event(event, Position(reader.log_file, reader.log_pos), table)
            if found is not None:
                yield found


class _Connections:
    """Opens the reader's two connections, and no third: it would reconnect for as long as the server is away."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        self._kind = kind
        self._opened = 0

    def __call__(self, **arguments: Any) -> Any:
        if self._opened == 2:
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the server has ended the stream of its binary log")
        self._opened += 1
        if "db" in arguments:  # PyMySQL's old name of it, against which it warns
            arguments["database"] = arguments.pop("db")
        return self._kind(**arguments)


def _event(event: Any, position: Position, table: LoggedTable) -> Event | None:
    at: int = event.timestamp
    found: Event | None = None
    match event:
        case RowsEvent():
            found = RowsLogged(position, at, partial(_keys, event, table))
        case FormatDescriptionEvent():
            found = FileOpened(position, at, created=at)
        case RotateEvent():
            found = NextFile(position, at)
        case XidEvent():
            found = Committed(position, at)
        case XAPrepareEvent():
            found = Committed(position, at) if event.one_phase else Prepared(position, at)
        case QueryEvent():
            found = StatementLogged(position, at, event.query)
        case NotImplementedEvent() if event.event_type == _COMPRESSED_TRANSACTION:
            found = Unreadable(position, at, "a compressed transaction", True)
    return found


def _keys(event: RowsEvent, table: LoggedTable) -> Iterator[RawKey]:
    """The keys of each row before and after.

    Raises:
        UnreadableKey: a row has no key that can be read, or the key is not logged.
    """
    columns = _key_columns(event, table)
    for row in _rows(event):
        before = row.get("before_values")
        for values, sources in (
            (row.get("values", before), row.get("none_sources", row.get("before_none_sources", {}))),
            (row.get("after_values"), row.get("after_none_sources", {})),
        ):
            if values is None:
                continue
            missing = [name for name in columns if sources.get(name) == _NOT_LOGGED]
            # An image that holds changed columns alone says that the key, or a part of it, is as it was.
            if missing and before is not None and values is not before:
                values |= {name: before[name] for name in missing}
            elif missing:
                raise UnreadableKey(missing[0])
            yield tuple(column.text(values[name]) for name, column in zip(columns, table.key, strict=True))


def _key_columns(event: RowsEvent, table: LoggedTable) -> list[str]:
    """The names under which the reader has the columns of the key.

    Raises:
        UnreadableKey: the table had other columns.
    """
    logged = event.columns
    named = event.table_map[event.table_id].column_name_flag
    for place, column in enumerate(logged):
        if not named:
            column.name = f"#{place}"
        if column.type in _BYTES:
            column.character_set_name = "binary"
        if column.type == FIELD_TYPE.JSON and not isinstance(event, PartialUpdateRowsEvent):
            column.type = FIELD_TYPE.BLOB  # packed alike, and not worth unpacking
            column.character_set_name = "binary"
    found = []
    for wanted in table.key:
        if named:
            place = next((i for i, c in enumerate(logged) if c.name.lower() == wanted.name.lower()), len(logged))
        else:
            place = wanted.place
        if place >= len(logged):
            raise UnreadableKey(wanted.name)
        if not named:
            logged[place].unsigned = wanted.unsigned
        found.append(logged[place].name)
    return found
