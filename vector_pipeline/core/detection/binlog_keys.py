"""The canonical text of keys from the values that a logged row has for them.

The log holds values as they are stored, without names of columns and without signs unless binlog_row_metadata is FULL.
So columns are told by their place in the table as the catalogue has it now. Where the table had other columns at the
time, a key may come out wrong; that is harmless, since whoever reads the log names all ranges when the columns have
changed. Values of text come as the stored bytes, in the column's own character set.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.keys import KeyKind
from vector_pipeline.core.source.plan import ReadingPlan

_UTF8 = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii"})
_VALUES_PER_STATEMENT = 500
_NO_YEAR = 1900
"""What the reader makes of YEAR 0000, which the type holds beside 1901 to 2155."""


@dataclass(frozen=True)
class StoredText:
    """Text of a character set that only MySQL converts."""

    value: bytes
    character_set: str


RawKey = tuple[str | StoredText, ...]
"""The text forms of a key's columns."""


class UnreadableKey(Exception):
    """A value that is none of its column's type: the table had other columns, or a date is none."""


@dataclass(frozen=True)
class LoggedColumn:
    """One column of the key. `place` counts from 0 in the table."""

    name: str
    place: int
    kind: KeyKind
    data_type: str
    unsigned: bool
    maximum_bytes: int
    character_set: str | None
    fraction_digits: int

    def text(self, value: Any) -> str | StoredText:
        """The text form of a value as the reader gives it.

        Raises:
            UnreadableKey: the value is none of this type.
        """
        try:
            return _FORMS[self.kind](self, value)
        except (TypeError, ValueError, AttributeError):
            raise UnreadableKey(self.name) from None


def _integer(column: LoggedColumn, value: int) -> str:
    return "0000" if column.data_type == "year" and value == _NO_YEAR else f"{value:d}"


def _decimal(column: LoggedColumn, value: Decimal) -> str:  # noqa: ARG001
    return f"{value:f}"


def _text(column: LoggedColumn, value: bytes) -> str | StoredText:
    if column.character_set in _UTF8:
        return value.decode()
    return StoredText(bytes(value), column.character_set or "binary")


def _binary(column: LoggedColumn, value: bytes) -> str:
    # The log leaves out the zero bytes at the end of a BINARY.
    length = column.maximum_bytes if column.data_type == "binary" else 0
    return value.ljust(length, b"\0").hex().upper()


def _moment(column: LoggedColumn, value: date) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    fraction = f".{value.microsecond:06d}"[: column.fraction_digits + 1] if column.fraction_digits else ""
    return value.replace(tzinfo=None).isoformat(" ", "seconds") + fraction


_FORMS: Mapping[KeyKind, Callable[[LoggedColumn, Any], str | StoredText]] = {
    KeyKind.INTEGER: _integer,
    KeyKind.DECIMAL: _decimal,
    KeyKind.TEXT: _text,
    KeyKind.BINARY: _binary,
    KeyKind.MOMENT: _moment,
}


@dataclass(frozen=True)
class LoggedTable:
    """A table as the log knows it. `fingerprint` is another one when its columns are others."""

    database: str
    name: str
    key: tuple[LoggedColumn, ...]
    fingerprint: str


def read_logged_table(connection: Connection, plan: ReadingPlan) -> LoggedTable | None:
    """What the catalogue says now; None where the table, or a column of the key, is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name, column_name, column_type, data_type, character_octet_length,"
            " character_set_name, datetime_precision, collation_name"
            " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (plan.database, plan.table),
        )
        rows = [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in cursor.fetchall()]
    places = {str(row[2]).lower(): place for place, row in enumerate(rows)}
    if not rows or any(column.name.lower() not in places for column in plan.key_columns):
        return None
    key = []
    for column in plan.key_columns:
        place = places[column.name.lower()]
        _, _, name, full_type, data_type, octets, character_set, digits, _ = rows[place]
        key.append(
            LoggedColumn(
                name=str(name),
                place=place,
                kind=column.kind,
                data_type=str(data_type).lower(),
                unsigned="unsigned" in str(full_type).lower() or "zerofill" in str(full_type).lower(),
                maximum_bytes=int(octets or 0),
                character_set=None if character_set is None else str(character_set),
                fraction_digits=int(digits or 0),
            )
        )
    columns = [(row[2], row[3], row[8]) for row in rows]
    fingerprint = hashlib.sha256(repr(columns).encode()).hexdigest()[:16]
    return LoggedTable(str(rows[0][0]), str(rows[0][1]), tuple(key), fingerprint)


def canonical_keys(connection: Connection, keys: Iterable[RawKey]) -> list[str]:
    """The canonical text of keys; MySQL is asked where a character set takes it."""
    raw = list(keys)
    stored = list({part: None for key in raw for part in key if isinstance(part, StoredText)})
    texts: dict[StoredText, str] = {}
    for start in range(0, len(stored), _VALUES_PER_STATEMENT):
        some = stored[start : start + _VALUES_PER_STATEMENT]
        forms = ", ".join(
            f"CONVERT(CONVERT(UNHEX(%s) USING {_word(part.character_set)}) USING utf8mb4)" for part in some
        )
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {forms}", [part.value.hex() for part in some])
            row = cursor.fetchone()
        texts |= {part: str(text) for part, text in zip(some, row or (), strict=True)}
    return [_joined([texts[part] if isinstance(part, StoredText) else part for part in key]) for key in raw]


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def _word(name: str) -> str:
    """A name of the server's own catalogue, checked to be no more than that."""
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"{name!r} is no name of a character set")
    return name
