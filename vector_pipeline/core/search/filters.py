"""A filter on the metadata of documents, as it is written in JSON or YAML.

    {"field": "asked", "op": ">=", "value": "2026-01-01"}
    {"and": [{"category": ["health", "sports"]}, {"not": {"field": "link", "op": "is_null"}}]}

Short forms: `{"category": "health"}` (equal), `{"category": ["health", "sports"]}` (one of these), `{"link": null}`
(none), `{"asked": {">=": "2026-01-01", "<": "2026-02-01"}}`; what stands in one object holds together. On the command
line also `category=health` and `asked>=2026-01-01`. Which columns there are, and what they can be compared with, is
told by `restricting`, not here.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from vector_pipeline.core.errors import SearchRequestError

Value = str | int | float | bool | Decimal | date | datetime
"""What a column can be compared with."""

# Enough for people and programs; little for somebody who means harm.
DEEPEST = 10
MOST_COMPARISONS = 100
MOST_VALUES = 1000
LONGEST_VALUE = 10_000
_MOST_BITS = 1328


class Operator(Enum):
    """How a comparison is written."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    IN = "in"
    BETWEEN = "between"
    PREFIX = "prefix"
    IS_NULL = "is_null"


_OPERATORS = {operator.value: operator for operator in Operator}
_SIGNS = ", ".join(_OPERATORS)


@dataclass(frozen=True)
class Comparison:
    """One column and what it is compared with: one value, none for `is_null`, both ends for `between`."""

    field: str
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class And:
    """All of these hold; always true of none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Or:
    """One of these holds; never true of none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    """True of exactly the documents that `part` is not true of, those without a value included."""

    part: Filter


Filter = Comparison | And | Or | Not

FILTER_SCHEMA: dict[str, Any] = {
    "title": "Filter",
    "description": "Conditions on metadata. Short: {column: value}, {column: [values]}, {column: null}, "
    "{column: {operator: value}}; several columns hold together.",
    "$defs": {
        "value": {"type": ["string", "number", "boolean"]},
        "filter": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "field": {"type": "string", "description": "A metadata column."},
                        "op": {"enum": list(_OPERATORS)},
                        "value": {
                            "description": "A list for `in`; [lowest, highest] for `between`; none for `is_null`.",
                            "anyOf": [
                                {"$ref": "#/$defs/value"},
                                {"type": "array", "items": {"$ref": "#/$defs/value"}},
                            ],
                        },
                    },
                    "required": ["field", "op"],
                    "additionalProperties": False,
                },
                *(
                    {
                        "type": "object",
                        "properties": {word: {"type": "array", "items": {"$ref": "#/$defs/filter"}}},
                        "required": [word],
                        "additionalProperties": False,
                    }
                    for word in ("and", "or")
                ),
                {
                    "type": "object",
                    "properties": {"not": {"$ref": "#/$defs/filter"}},
                    "required": ["not"],
                    "additionalProperties": False,
                },
                {"type": "object"},
            ]
        },
    },
    "$ref": "#/$defs/filter",
}
"""The JSON schema of what `parsed` takes."""


def parsed(written: object) -> Filter:
    """The filter that is written so.

    Raises:
        SearchRequestError: it is none, or larger than a filter may be; says where.
    """
    if isinstance(written, Comparison | And | Or | Not):
        written = to_json(written)
    return _Parser().parse(written, "filter", 1)


def parsed_texts(written: Sequence[str]) -> Filter | None:
    """What the command line is given: each one as JSON, or as column, sign and value; all of them hold. None of none.

    Raises:
        SearchRequestError: one of them is no filter.
    """
    if not written:
        return None
    return parsed({"and": [_from_text(text) for text in written]} if len(written) > 1 else _from_text(written[0]))


def to_json(filter: Filter) -> dict[str, Any]:
    """The filter as it is written at length."""
    match filter:
        case And(parts):
            return {"and": [to_json(part) for part in parts]}
        case Or(parts):
            return {"or": [to_json(part) for part in parts]}
        case Not(part):
            return {"not": to_json(part)}
        case Comparison(field, operator, values):
            written: dict[str, Any] = {"field": field, "op": operator.value}
            if operator in (Operator.IN, Operator.BETWEEN):
                written["value"] = list(values)
            elif values:
                [written["value"]] = values
            return written


# The shortest column before a sign; `<=` before `<`.
_SIGNED = re.compile(r"\s*(?P<field>.+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*)", re.DOTALL)


def _from_text(text: str) -> object:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise SearchRequestError(f"the filter {shown(text)} is no JSON: {error}") from None
    match = _SIGNED.fullmatch(text)
    if match is None:
        raise SearchRequestError(
            f"the filter {shown(text)} is neither JSON nor a column, a sign and a value; write for example "
            "category=health or asked>=2026-01-01"
        )
    return {"field": match["field"], "op": match["sign"], "value": match["value"]}


class _Parser:
    """Counts what it meets, so that it never goes on for longer than a filter may be."""

    def __init__(self) -> None:
        self._comparisons = 0
        self._values = 0

    def parse(self, written: object, where: str, depth: int) -> Filter:
        if depth > DEEPEST:
            raise SearchRequestError(f"the filter is nested deeper than {DEEPEST} levels; write it flatter")
        if not isinstance(written, Mapping) or not all(isinstance(name, str) for name in written):
            raise SearchRequestError(
                f"{where}: {shown(written)} is no condition; write "
                '{"field": …, "op": …, "value": …}, {"and": […]}, {"or": […]}, {"not": {…}} or {column: value}'
            )
        if _is_at_length(written):
            return self._comparison(written["field"], written.get("op", "="), _value(written), where)
        if len(written) == 1:
            [(name, inner)] = written.items()
            if name in ("and", "or") and isinstance(inner, list | tuple):
                parts = tuple(self.parse(one, f"{where}.{name}[{i}]", depth + 1) for i, one in enumerate(inner))
                return And(parts) if name == "and" else Or(parts)
            if name == "not" and isinstance(inner, Mapping):
                return Not(self.parse(inner, f"{where}.not", depth + 1))
        parts = tuple(self._short_forms(written, where))
        return parts[0] if len(parts) == 1 else And(parts)

    def _short_forms(self, written: Mapping[str, Any], where: str) -> Iterator[Filter]:
        for field, value in written.items():
            if field in ("and", "or", "not"):
                raise SearchRequestError(
                    f"{where}: {field!r} takes {'one condition' if field == 'not' else 'a list of conditions'}, and "
                    "stands in an object by itself"
                )
            if isinstance(value, Mapping):
                for operator, operand in value.items():
                    yield self._comparison(field, operator, (operand,), f"{where}.{shown(field)}")
            elif value is None:
                yield self._comparison(field, "is_null", (), where)
            else:
                yield self._comparison(field, "in" if isinstance(value, list | tuple) else "=", (value,), where)

    def _comparison(self, field: object, sign: object, operands: tuple[Any, ...], where: str) -> Filter:
        """Args:
        operands: what is written as the value; () where nothing is.
        """
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise SearchRequestError(f"the filter has more than {MOST_COMPARISONS} comparisons")
        if not isinstance(field, str):
            raise SearchRequestError(f"{where}: {shown(field)} is no name of a column")
        operator = _OPERATORS.get(sign) if isinstance(sign, str) else None
        if operator is None:
            raise SearchRequestError(f"{where}: {shown(sign)} is no operator; use {_SIGNS}")
        if operator is Operator.IS_NULL:
            return self._is_null(field, operands, where)
        [operand] = operands or (None,)
        if operator not in (Operator.IN, Operator.BETWEEN):
            return Comparison(field, operator, (self._one(operand, field, operator, where),))
        if not isinstance(operand, list | tuple):
            raise SearchRequestError(f"{where}: {sign} takes a list, {field}: {shown(operand)} is none")
        if operator is Operator.BETWEEN and len(operand) != 2:
            raise SearchRequestError(f"{where}: between takes the lowest and the highest value, [lowest, highest]")
        return Comparison(field, operator, tuple(self._one(value, field, operator, where) for value in operand))

    def _is_null(self, field: str, operands: tuple[Any, ...], where: str) -> Filter:
        """`true` and `false` may be said of it."""
        is_null = Comparison(field, Operator.IS_NULL)
        if operands in ((), (None,)) or operands[0] is True:
            return is_null
        if operands[0] is False:
            return Not(is_null)
        raise SearchRequestError(f"{where}: is_null takes no value but true or false")

    def _one(self, value: object, field: str, operator: Operator, where: str) -> Value:
        self._values += 1
        if self._values > MOST_VALUES:
            raise SearchRequestError(f"the filter has more than {MOST_VALUES} values")
        if value is None:
            raise SearchRequestError(
                f'{where}: {operator.value} takes a value; to ask for {field} without one write {{"field": '
                f'{json.dumps(field)}, "op": "is_null"}}'
            )
        if not isinstance(value, str | int | float | Decimal | date):
            raise SearchRequestError(f"{where}: {shown(value)} is no value to compare {field} with by {operator.value}")
        if isinstance(value, str):
            _refuse_unusable_text(value, where)
        elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise SearchRequestError(f"{where}: a number of more than 400 digits")
        return value


def _is_at_length(written: Mapping[str, Any]) -> bool:
    """Not a column that is called so."""
    return "field" in written and ("op" in written or "value" in written) and written.keys() <= {"field", "op", "value"}


def _value(written: Mapping[str, Any]) -> tuple[Any, ...]:
    return (written["value"],) if "value" in written else ()


def _refuse_unusable_text(value: str, where: str) -> None:
    if len(value) > LONGEST_VALUE:
        raise SearchRequestError(f"{where}: a text of {len(value)} characters; {LONGEST_VALUE} are the most")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SearchRequestError(f"{where}: {shown(value)} is no proper text: half of a character is missing") from None


def shown(value: object) -> str:
    """As people are shown what they wrote; of what is long or deep the beginning."""
    return reprlib.repr(value).encode("utf-8", "backslashreplace").decode()
