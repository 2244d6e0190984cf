"""Keys of one or several columns: their one text form, how it is given back to MySQL, and how keys are compared.

The text form of a key of several columns is that of each, joined by `|`, with `\\` before each `\\` and `|` of the
columns' own. MySQL makes it; here it is only taken apart again, for bounds. No comparison is made here either: the SQL
for one is, over columns or over literals of the columns' own type, character set and collation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Literal

from vector_pipeline.core.source.catalog import SourceColumn
from vector_pipeline.core.source.connection import identifier

_USABLE_TYPES = "integer, DECIMAL, CHAR, VARCHAR, BINARY, VARBINARY, DATE, DATETIME, TIMESTAMP or YEAR"
_SEPARATOR = "|"
_PART = re.compile(r"(?:[^\\|]|\\.)*", re.DOTALL)
_SIGN_BIT = 1 << 63
# Orders DECIMAL(65), the longest, with its sign: 10**65 is below 2**216.
_DECIMAL_SIGN_BIT, _DECIMAL_BYTES = 1 << 216, 28
# Longer texts, which only a view can have for a key, are not padded: that would be some 100 kB a row.
_LONGEST_PADDED_CHARACTERS = 768

Parameter = int | Decimal | str


class KeyKind(Enum):
    """How a column's text form is given back to MySQL, and how it is ordered in PostgreSQL."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    BINARY = "binary"
    MOMENT = "moment"


_KINDS = (
    dict.fromkeys(["tinyint", "smallint", "mediumint", "int", "bigint", "year"], KeyKind.INTEGER)
    | dict.fromkeys(["char", "varchar"], KeyKind.TEXT)
    | dict.fromkeys(["binary", "varbinary"], KeyKind.BINARY)
    | dict.fromkeys(["date", "datetime", "timestamp"], KeyKind.MOMENT)
    | {"decimal": KeyKind.DECIMAL}
)
_NUMBER = re.compile(r"-?\d{1,65}(\.\d{1,65})?", re.ASCII)  # more digits than either server has for one
# Why a type can't be a key, and the way out.
_REFUSALS = {
    **dict.fromkeys(["float", "double"], ("is not exact", "declare a view with CAST(… AS DECIMAL(…))")),
    **dict.fromkeys(
        ["enum", "set"],
        ("is ordered by number and compared as text", "declare a view with CAST(… AS CHAR(…)) or with … + 0"),
    ),
    "bit": ("is neither number nor text", "declare a view with … + 0"),
    "time": ("is ordered by number and not by its text", "declare a view with TIME_TO_SEC(…)"),
    **dict.fromkeys(
        ["tinytext", "text", "mediumtext", "longtext"],
        ("has no index over all of it", "make it VARCHAR, or declare a view with CAST(… AS CHAR(…))"),
    ),
    **dict.fromkeys(
        ["tinyblob", "blob", "mediumblob", "longblob"],
        ("has no index over all of it", "make it VARBINARY, or declare a view with CAST(… AS BINARY(…))"),
    ),
    "json": ("has no order", "declare a view with the value that identifies the row"),
}


@dataclass(frozen=True)
class KeyColumn:
    """One column of a key.

    `literal` is SQL with one placeholder for its text form; `weight` is SQL for the bytes, in hexadecimal, that order
    it, where only MySQL knows them; `fixed_length` says whether all its values are ordered by equally many bytes.
    """

    name: str
    kind: KeyKind
    literal: str
    weight: str | None
    fixed_length: bool


def unusable_as_key(column: SourceColumn) -> tuple[str, str] | None:
    """Why a column's type can't be part of a key and the remedy, None where it can."""
    if column.data_type == "char" and "_nopad_" in (column.collation or ""):
        # MariaDB's indexes order CHAR with its spaces, its comparisons without them: rows would be in no range.
        return f"is not ordered by its collation {column.collation} as it is compared", "make it VARCHAR"
    if column.data_type in _KINDS:
        return None
    why, remedy = _REFUSALS.get(column.data_type, ("has no order that both servers share", "declare a view with one"))
    return why, f"use an {_USABLE_TYPES} column, or {remedy}"


def key_column(column: SourceColumn) -> KeyColumn:
    """A column as part of a key. Only for one that is not `unusable_as_key`."""
    kind = _KINDS[column.data_type]
    fixed_length = kind is not KeyKind.TEXT and column.data_type != "varbinary"
    return KeyColumn(column.name, kind, _literal(column, kind), _weight(column, kind), fixed_length)


def _literal(column: SourceColumn, kind: KeyKind) -> str:
    if kind is KeyKind.BINARY:
        return "UNHEX(%s)"
    if kind is KeyKind.MOMENT:
        if column.data_type == "date":
            return "CAST(%s AS DATE)"
        digits = re.search(r"\((\d)\)", column.column_type)
        return f"CAST(%s AS DATETIME({digits.group(1) if digits else 0}))"
    if kind is KeyKind.TEXT and column.character_set is not None and column.collation is not None:
        return f"CONVERT(%s USING {_word(column.character_set)}) COLLATE {_word(column.collation)}"
    return "%s"


def _weight(column: SourceColumn, kind: KeyKind) -> str | None:
    """Padded to the column's length, since most collations order 'a\\t' before 'a', which stands for 'a' and spaces."""
    if kind is not KeyKind.TEXT:
        return None
    name, characters = identifier(column.name), max(column.maximum_characters or 1, 1)
    if characters > _LONGEST_PADDED_CHARACTERS:
        return f"HEX(WEIGHT_STRING({name}))"
    weight = f"WEIGHT_STRING({name} AS CHAR({characters:d}))"
    if column.character_set is None or column.collation is None or "_0900_" in column.collation:
        return f"HEX({weight})"
    # MySQL pads by characters, which have no weight, one or several: equal texts would not be of equal length.
    blank = f"CONVERT(' ' USING {_word(column.character_set)}) COLLATE {_word(column.collation)}"
    length = f"LENGTH(WEIGHT_STRING({blank} AS CHAR({characters:d})))"
    return f"HEX(RPAD({weight}, {length}, WEIGHT_STRING({blank})))"


def _word(name: str) -> str:
    """A name of the server's own catalogue, checked to be no more than that."""
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"{name!r} is no name of a character set or collation")
    return name


def joined_expression(expressions: Sequence[tuple[KeyColumn, str]]) -> str:
    """SQL for the text form of a key, from that of each of its columns. NULL where one of them is."""
    if len(expressions) == 1:
        return expressions[0][1]
    parts = [
        rf"REPLACE(REPLACE({form}, '\\', '\\\\'), '|', '\\|')" if column.kind is KeyKind.TEXT else form
        for column, form in expressions
    ]
    return "CONCAT(" + f", '{_SEPARATOR}', ".join(parts) + ")"


def split_key(key: str, columns: int) -> tuple[str, ...]:
    """The text forms of a key's columns.

    Raises:
        ValueError: it is not the text form of a key of so many columns.
    """
    if columns == 1:
        return (key,)
    parts, position = [], 0
    while True:
        found = _PART.match(key, position)
        assert found is not None
        parts.append(re.sub(r"\\(.)", r"\1", found.group(), flags=re.DOTALL))
        position = found.end() + 1
        if position > len(key):
            break
        if key[found.end()] != _SEPARATOR:
            raise ValueError(f"{key!r} is no key: a backslash ends it")
    if len(parts) != columns:
        raise ValueError(f"{key!r} is no key of {columns} columns")
    return tuple(parts)


@dataclass(frozen=True)
class Operand:
    """One side of a comparison, column by column: SQL and the parameters of its placeholders."""

    sql: str
    parameters: tuple[Parameter, ...] = ()


def column_operands(columns: Sequence[KeyColumn]) -> list[Operand]:
    """The key of the row that is looked at."""
    return [Operand(identifier(column.name)) for column in columns]


def literal_operands(columns: Sequence[KeyColumn], key: str) -> list[Operand]:
    """A key given as its text form; numbers as numbers, texts in their column's collation, so that an index is used.

    Raises:
        ValueError: it is not the text form of such a key.
    """
    parts = split_key(key, len(columns))
    return [
        Operand(column.literal, (_parameter(column.kind, part),)) for column, part in zip(columns, parts, strict=True)
    ]


def _parameter(kind: KeyKind, text: str) -> Parameter:
    if kind not in {KeyKind.INTEGER, KeyKind.DECIMAL}:
        return text
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return int(text) if kind is KeyKind.INTEGER else Decimal(text)


def comparison(
    left: Sequence[Operand], operator: Literal[">=", ">", "<=", "<"], right: Sequence[Operand]
) -> tuple[str, tuple[Parameter, ...]]:
    """SQL that compares two keys column by column.

    Row constructors, (a, b) >= (x, y), say the same, but neither server reads an index by them.
    """
    alternatives: list[str] = []
    parameters: list[Parameter] = []
    for last in range(len(left)):
        terms = []
        for position in range(last + 1):
            sign = "=" if position < last else operator if last == len(left) - 1 else operator[0]
            terms.append(f"{left[position].sql} {sign} {right[position].sql}")
            parameters += left[position].parameters + right[position].parameters
        alternatives.append(" AND ".join(terms))
    if len(alternatives) == 1:
        return alternatives[0], tuple(parameters)
    return "(" + " OR ".join(f"({terms})" for terms in alternatives) + ")", tuple(parameters)


def sort_key(columns: Sequence[KeyColumn], key: str, weights: Sequence[str | None]) -> bytes:
    """Bytes that order keys as MySQL does. `weights` are the values of those columns' `weight` that have one."""
    if len(columns) == 1:
        return _component_order(columns[0], key, weights[0] if weights else None)
    remaining = iter(weights)
    parts = []
    for column, part in zip(columns, split_key(key, len(columns)), strict=True):
        order = _component_order(column, part, next(remaining) if column.weight is not None else None)
        # The end of a shorter value comes before whatever a longer one has in its place.
        parts.append(order if column.fixed_length else order.replace(b"\0", b"\0\xff") + b"\0\0")
    return b"".join(parts)


def is_whole_number(key: str, order: bytes) -> bool:
    """Whether a key of one column, whose `sort_key` is `order`, is a whole number by its column's type."""
    return re.fullmatch(r"-?[0-9]{1,20}", key) is not None and order == (int(key) + _SIGN_BIT).to_bytes(9, "big")


def _component_order(column: KeyColumn, text: str, weight: str | None) -> bytes:
    match column.kind:
        case KeyKind.INTEGER:
            return (int(text) + _SIGN_BIT).to_bytes(9, "big")
        case KeyKind.DECIMAL:
            # MySQL shows all values of a column with equally many digits behind the point.
            return (int(text.replace(".", "")) + _DECIMAL_SIGN_BIT).to_bytes(_DECIMAL_BYTES, "big")
        case KeyKind.TEXT:
            return bytes.fromhex(weight or "")
        case KeyKind.BINARY:
            return bytes.fromhex(text)
        case KeyKind.MOMENT:
            return text.encode()
