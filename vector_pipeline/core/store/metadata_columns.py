"""The metadata of documents as what they are in the source: numbers, dates, texts; in SQL that compares them as such.

Documents hold metadata in jsonb: whole numbers and decimals as JSON numbers, all else in its text form. What is no
value of its kind, such as a date of zeros, counts as none, and never fails a statement. The expressions are immutable,
so that they can be indexed, and the planner keeps statistics of what it has an index of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import LiteralString

from psycopg import sql

from vector_pipeline.core.source.canonical import BINARY_TYPES, INTEGER_TYPES, TEXT_TYPES
from vector_pipeline.core.source.plan import source_column_name
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.source_columns import AcceptedColumn

LONGEST_INDEXED = 200
"""Characters of a text that are indexed: PostgreSQL refuses to index values of more than 2,704 bytes."""


class Kind(Enum):
    """What a column's values are, in words for people."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "true or false"
    DATE = "date"
    MOMENT = "date and time"
    TIME = "time of day"
    BYTES = "bytes in hexadecimal"
    OTHER = "other"


_KINDS = {
    **dict.fromkeys(TEXT_TYPES | {"uuid", "inet4", "inet6"}, Kind.TEXT),
    **dict.fromkeys(INTEGER_TYPES | {"decimal", "float", "double", "year", "bit"}, Kind.NUMBER),
    **dict.fromkeys(BINARY_TYPES, Kind.BYTES),
    "date": Kind.DATE,
    "datetime": Kind.MOMENT,
    "timestamp": Kind.MOMENT,
    "time": Kind.TIME,
}

# MySQL calls a BOOLEAN so.
_BOOLEANS = ("tinyint(1)", "bit(1)")

_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$"
_DATE = r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r" ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"

# CASE keeps a cast from what it would fail on. make_date and make_time, unlike casts of text, depend on no setting; the
# day is added, since a MySQL column may hold a 31st of February.
_DAY = "make_date(substr({text}, 1, 4)::int, substr({text}, 6, 2)::int, 1) + (substr({text}, 9, 2)::int - 1)"
_CLOCK = "make_time(substr({text}, 12, 2)::int, substr({text}, 15, 2)::int, substr({text}, 18)::float8)"
_AS_TEXT = 'left({text}, {longest}) COLLATE "C"'
_AS_NUMBER = "CASE WHEN {text} ~ {valid} THEN ({text})::numeric END"
_AS_DATE = "CASE WHEN {text} ~ {valid} THEN " + _DAY + " END"
_AS_MOMENT = "CASE WHEN {text} ~ {valid} THEN (" + _DAY + ") + " + _CLOCK + " END"


@dataclass(frozen=True)
class _Way:
    """How values are compared: an expression of `text`, and what a text has to look like to be a value."""

    name: str
    expression: LiteralString
    valid: str = ""


_TEXT_WAY = _Way("text", _AS_TEXT)
_NUMBER_WAY = _Way("number", _AS_NUMBER, _NUMBER)
_WAYS = {
    Kind.NUMBER: _NUMBER_WAY,
    Kind.BOOLEAN: _NUMBER_WAY,
    Kind.DATE: _Way("date", _AS_DATE, f"{_DATE}$"),
    Kind.MOMENT: _Way("moment", _AS_MOMENT, _DATE + _TIME),
}


@dataclass(frozen=True)
class MetadataColumn:
    """One column of the metadata, by its served name. `in_utc` is one whose moments are stored as those of UTC; others
    are as somebody wrote them, in whatever time zone."""

    name: str
    kind: Kind
    in_utc: bool = False

    @property
    def is_indexable(self) -> bool:
        return self.kind is not Kind.OTHER

    @property
    def way(self) -> str:
        """In a word, how its values are compared; columns of two kinds may be compared in one way."""
        return self._way.name

    @property
    def _way(self) -> _Way:
        return _WAYS.get(self.kind, _TEXT_WAY)

    def compared(self, documents: str | None = None) -> sql.Composed:
        """SQL: the value as it is compared, NULL where there is none; of texts the first 200 characters.

        Args:
            documents: alias of the documents in the statement.
        """
        expression = sql.SQL(self._way.expression).format(
            text=self.text(documents), valid=sql.Literal(self._way.valid), longest=sql.Literal(LONGEST_INDEXED)
        )
        return sql.SQL("({})").format(expression)

    def text(self, documents: str | None = None) -> sql.Composed:
        """SQL: the whole value as text."""
        alias = sql.SQL("") if documents is None else sql.SQL("{}.").format(sql.Identifier(documents))
        return sql.SQL("({}metadata ->> {})").format(alias, sql.Literal(self.name))


def metadata_columns(accepted: IndexSpec, source: Mapping[str, AcceptedColumn]) -> dict[str, MetadataColumn]:
    """What documents carry, by served name; without what the table hasn't got.

    Args:
        source: the columns of the source by name in lower case.
    """
    found = (
        (name, source.get(source_column_name(reference).lower()))
        for name, reference in accepted.document.metadata.items()
    )
    return {name: _column(name, column) for name, column in found if column is not None}


def _column(name: str, column: AcceptedColumn) -> MetadataColumn:
    match = re.match(r"[a-z0-9]+", column.type)
    bare = match.group() if match else ""
    kind = Kind.BOOLEAN if column.type.startswith(_BOOLEANS) else _KINDS.get(bare, Kind.OTHER)
    return MetadataColumn(name, kind, in_utc=bare == "timestamp")


def described(columns: Iterable[MetadataColumn]) -> str:
    """Names and kinds, for people."""
    return ", ".join(f"{column.name} ({column.kind.value})" for column in columns)
