"""From a filter and the columns of the metadata to a condition on documents, with parameters.

A document without a value, or with one that is none of its column's kind, fits no comparison but `is_null`; `!=` and
`not` find exactly what the rest leaves out. A date and a moment are compared by their days. Moments are compared as
they are stored: those of a TIMESTAMP in UTC, those of a DATETIME as somebody wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from psycopg import sql

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search.filters import And, Comparison, Filter, Not, Operator, Or, Value, parsed, shown
from vector_pipeline.core.search.served import Served
from vector_pipeline.core.search.statement import EVERYTHING, Restriction
from vector_pipeline.core.store.metadata_columns import (
    LONGEST_INDEXED,
    Kind,
    MetadataColumn,
    described,
)

_DOCUMENTS = "d"

_EQUALITY = {Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN, Operator.IS_NULL}
_ORDER = {Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST, Operator.BETWEEN}
_TAKEN = {
    Kind.TEXT: _EQUALITY | _ORDER | {Operator.PREFIX},
    Kind.NUMBER: _EQUALITY | _ORDER,
    Kind.BOOLEAN: _EQUALITY | _ORDER,
    Kind.DATE: _EQUALITY | _ORDER,
    Kind.MOMENT: _EQUALITY | _ORDER,
    # 100:00:00 and −01:00:00 are times in MySQL.
    Kind.TIME: _EQUALITY,
    Kind.BYTES: _EQUALITY | {Operator.PREFIX},
    Kind.OTHER: {Operator.IS_NULL},
}


def operators_of(kind: Kind) -> tuple[str, ...]:
    """What values of a kind can be compared by."""
    return tuple(operator.value for operator in Operator if operator in _TAKEN[kind])


_TYPES = {"text": "text", "number": "numeric", "date": "date", "moment": "timestamp"}


def restrict(served: Served, filter: Filter | Mapping[str, Any] | None) -> Restriction:
    """What documents of the index must be, by a filter as it is written or parsed.

    Args:
        served: read with what is needed for a filter.

    Raises:
        SearchRequestError: it is no filter, or none on the metadata of this index.
    """
    if filter is None:
        return EVERYTHING
    wanted = parsed(filter)
    name = served.index.name
    if not served.columns and served.accepted.document.metadata:
        # It was made by a version that didn't keep them.
        raise SearchRequestError(
            f"the kinds of the metadata of {name!r} are not known yet; run: vector-pipeline sync {name}"
        )
    return restriction(wanted, name, served.columns, served.index.generation.rendering.names)


def restriction(
    filter: Filter, index: str, columns: Mapping[str, MetadataColumn], texts: tuple[str, ...]
) -> Restriction:
    """What documents must be for the filter to be true of them.

    Args:
        index: its name, for people.
        columns: the metadata by served name.
        texts: the served texts, which can't be filtered by.

    Raises:
        SearchRequestError: a column that isn't there, or a comparison that its kind doesn't take; names what is.
    """
    compiler = _Compiler(index, columns, texts)
    condition = compiler.condition(filter)
    return Restriction(condition, compiler.parameters)


@dataclass(frozen=True)
class _Span:
    """A value as it is compared: all from `low` to `high`, both included, which mostly are one."""

    low: object
    high: object

    @property
    def is_point(self) -> bool:
        return self.low == self.high


class _Compiler:
    def __init__(self, index: str, columns: Mapping[str, MetadataColumn], texts: tuple[str, ...]) -> None:
        self._index = index
        self._columns = columns
        self._texts = texts
        self.parameters: dict[str, object] = {}

    def condition(self, filter: Filter) -> sql.Composable:
        match filter:
            case And(parts):
                return _joined(" AND ", "true", [self.condition(part) for part in parts])
            case Or(parts):
                return _joined(" OR ", "false", [self.condition(part) for part in parts])
            case Not(part):
                # NULL, which a document without a value gives, is as good as false.
                return sql.SQL("(({}) IS NOT TRUE)").format(self.condition(part))
            case Comparison():
                column = self._column(filter)
                found = self._comparison(column, filter)
                return sql.SQL("(({}) IS NOT TRUE)").format(found) if filter.operator is Operator.NOT_EQUAL else found

    def _column(self, comparison: Comparison) -> MetadataColumn:
        column = self._columns.get(comparison.field)
        if column is None:
            wrong = "is a text, not metadata" if comparison.field in self._texts else "is no metadata"
            there = f"filter by {described(self._columns.values())}" if self._columns else "it has none to filter by"
            raise SearchRequestError(f"{shown(comparison.field)} {wrong} of {self._index!r}; {there}")
        if comparison.operator not in _TAKEN[column.kind]:
            taken = ", ".join(operators_of(column.kind))
            raise SearchRequestError(
                f"{described([column])} can't be compared by {comparison.operator.value}; it takes {taken}"
            )
        return column

    def _comparison(self, column: MetadataColumn, comparison: Comparison) -> sql.Composable:
        value = column.compared(_DOCUMENTS)
        if comparison.operator is Operator.IS_NULL:
            return sql.SQL("{} IS NULL").format(value)
        if comparison.operator is Operator.PREFIX:
            return self._prefix(column, _text_of(column, comparison.values[0]))
        if column.way == "text":
            return self._comparison_of_texts(column, comparison)
        spans = [_span(column, given) for given in comparison.values]
        if comparison.operator in (Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN):
            return self._one_of(column, spans)
        low, high = spans[0], spans[-1]
        if comparison.operator is Operator.BETWEEN:
            return self._between(column, _Span(low.low, high.high))
        end = high.high if comparison.operator in (Operator.AT_MOST, Operator.GREATER) else low.low
        return sql.SQL("{} {} {}").format(
            value, sql.SQL(comparison.operator.value), self._parameter(end, _TYPES[column.way])
        )

    def _one_of(self, column: MetadataColumn, spans: list[_Span]) -> sql.Composable:
        points = [span.low for span in spans if span.is_point]
        ways = [self._between(column, span) for span in spans if not span.is_point]
        if points or not ways:
            ways.append(self._equals(column.compared(_DOCUMENTS), points, _TYPES[column.way]))
        return _joined(" OR ", "false", ways)

    def _equals(self, value: sql.Composable, points: list[object], type_: str) -> sql.Composable:
        if len(points) == 1:
            return sql.SQL("{} = {}").format(value, self._parameter(points[0], type_))
        return sql.SQL("{} = ANY({})").format(value, self._parameter(points, f"{type_}[]"))

    def _between(self, column: MetadataColumn, span: _Span) -> sql.Composable:
        type_ = _TYPES[column.way]
        return sql.SQL("({0} >= {1} AND {0} <= {2})").format(
            column.compared(_DOCUMENTS), self._parameter(span.low, type_), self._parameter(span.high, type_)
        )

    def _comparison_of_texts(self, column: MetadataColumn, comparison: Comparison) -> sql.Composable:
        """What is indexed is the beginning of a text, which tells all of a comparison with a shorter one."""
        texts = [_text_of(column, given) for given in comparison.values]
        beginning, whole = column.compared(_DOCUMENTS), sql.SQL('{} COLLATE "C"').format(column.text(_DOCUMENTS))
        is_told = all(len(text) < LONGEST_INDEXED for text in texts)
        if comparison.operator in (Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN):
            by_beginning = self._equals(beginning, [text[:LONGEST_INDEXED] for text in texts], "text")
            if is_told:
                return by_beginning
            return _joined(" AND ", "true", [by_beginning, self._equals(whole, list(texts), "text")])
        value = beginning if is_told else whole
        if comparison.operator is Operator.BETWEEN:
            return sql.SQL("({0} >= {1} AND {0} <= {2})").format(
                value, self._parameter(texts[0], "text"), self._parameter(texts[1], "text")
            )
        return sql.SQL("{} {} {}").format(value, sql.SQL(comparison.operator.value), self._parameter(texts[0], "text"))

    def _prefix(self, column: MetadataColumn, prefix: str) -> sql.Composable:
        conditions = [(column.compared(_DOCUMENTS), prefix[:LONGEST_INDEXED])]
        if len(prefix) > LONGEST_INDEXED:
            conditions.append((column.text(_DOCUMENTS), prefix))
        return _joined(
            " AND ",
            "true",
            [
                sql.SQL("{} LIKE {}").format(value, self._parameter(_literally(start) + "%", "text"))
                for value, start in conditions
            ],
        )

    def _parameter(self, value: object, type_: str) -> sql.Composable:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return sql.SQL("{}::{}").format(sql.Placeholder(name), sql.SQL(type_))


def _joined(word: str, of_none: str, conditions: list[sql.Composable]) -> sql.Composable:
    if not conditions:
        return sql.SQL(of_none)
    return conditions[0] if len(conditions) == 1 else sql.SQL("({})").format(sql.SQL(word).join(conditions))


def _literally(text: str) -> str:
    """As a pattern of LIKE that stands for itself."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _wrong(column: MetadataColumn, given: Value, remedy: str) -> SearchRequestError:
    return SearchRequestError(f"{described([column])} can't be compared with {shown(given)}; {remedy}")


def _text_of(column: MetadataColumn, given: Value) -> str:
    if not isinstance(given, str):
        raise _wrong(column, given, f'give a text, "{given}"')
    if column.kind is Kind.BYTES:
        if re.fullmatch(r"[0-9A-Fa-f]*", given) is None:
            raise _wrong(column, given, "give bytes in hexadecimal, as hits show them")
        return given.upper()
    return given.replace("\0", "")  # as it is stored


def _span(column: MetadataColumn, given: Value) -> _Span:
    if column.kind in (Kind.DATE, Kind.MOMENT):
        return _span_of_time(column, given)
    number = _number(column, given)
    return _Span(number, number)


# What PostgreSQL can hold, and a column of MySQL.
_NUMBER = re.compile(r"\s*[-+]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][-+]?[0-9]{1,3})?\s*")


def _number(column: MetadataColumn, given: Value) -> Decimal:
    if column.kind is Kind.BOOLEAN and given in (True, False, "true", "false"):
        return Decimal(given in (True, "true"))
    if isinstance(given, bool | date):
        raise _wrong(column, given, "give a number")
    # What JavaScript can't hold comes as a text.
    if _NUMBER.fullmatch(str(given)) is None:
        raise _wrong(column, given, "give true or false" if column.kind is Kind.BOOLEAN else "give a number")
    return Decimal(str(given).strip())


def _span_of_time(column: MetadataColumn, given: Value) -> _Span:
    moment = _moment_or_day(column, given)
    if isinstance(moment, datetime) and column.kind is Kind.MOMENT:
        return _Span(moment, moment)
    day = moment.date() if isinstance(moment, datetime) else moment
    if column.kind is Kind.DATE:
        return _Span(day, day)
    return _Span(datetime.combine(day, time.min), datetime.combine(day, time.max))


def _moment_or_day(column: MetadataColumn, given: Value) -> date | datetime:
    """A moment without a time zone, or a day."""
    remedy = 'give a date, "2026-01-31", or a moment, "2026-01-31 12:00:00"'
    if isinstance(given, str):
        try:
            found: date = date.fromisoformat(given) if len(given) == 10 else datetime.fromisoformat(given)
        except ValueError:
            raise _wrong(column, given, remedy) from None
    elif isinstance(given, date):
        found = given
    else:
        raise _wrong(column, given, remedy)
    if not isinstance(found, datetime) or found.tzinfo is None:
        return found
    if not column.in_utc:
        raise _wrong(column, given, "it is stored without a time zone; give it as it is stored, without one")
    try:
        return found.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise _wrong(column, given, remedy) from None
