"""One text form for each value, whatever its column's type: what is stored, compared, hashed and shown.

The text form is made by MySQL in the fixed session of `connection`, and stored as it is; so PostgreSQL can
recompute a digest from what it stores. Binary types are written in hexadecimal.
"""

from __future__ import annotations

from vector_pipeline.core.source.catalog import SourceColumn
from vector_pipeline.core.source.connection import identifier

TEXT_TYPES = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
INTEGER_TYPES = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_PLAIN_TYPES = frozenset(
    {"decimal", "double", "date", "datetime", "timestamp", "time", "year", "uuid", "inet4", "inet6"}
)
BINARY_TYPES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_GEOMETRY_TYPES = frozenset(
    {
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geomcollection",
        "geometrycollection",
    }
)
_LONG_TYPES = (
    frozenset({"tinytext", "text", "mediumtext", "longtext", "json", "set"})
    | BINARY_TYPES - {"binary"}
    | _GEOMETRY_TYPES
)
_SPECIAL_FORMS = {
    "json": "CONVERT(CAST({} AS CHAR) USING utf8mb4)",
    # CAST of a FLOAT shows six digits, which makes different values equal; as a DOUBLE it shows all.
    "float": "CAST({} + 0e0 AS CHAR)",
    "bit": "CAST({} + 0 AS CHAR)",
}
# Above this a value enters the row's hash by its own hash, so that no concatenation can reach
# max_allowed_packet (which would make it NULL, which BIT_XOR skips).
_LONGEST_INLINE_BYTES = 1024


def canonical_expression(column: SourceColumn) -> str | None:
    """SQL that gives the column's value as utf8mb4 text, or None for a type that has no such form."""
    form = _form(column)
    return None if form is None else form.replace("{}", identifier(column.name))


def _form(column: SourceColumn) -> str | None:
    kind = column.data_type
    if kind in TEXT_TYPES:
        return "CONVERT({} USING utf8mb4)"
    if kind in BINARY_TYPES or kind in _GEOMETRY_TYPES:
        return "HEX({})"
    if "zerofill" in column.column_type:
        return "CAST({} + 0 AS CHAR)"
    if kind in INTEGER_TYPES or kind in _PLAIN_TYPES:
        return "CAST({} AS CHAR)"
    return _SPECIAL_FORMS.get(kind)


def enters_by_its_own_hash(column: SourceColumn) -> bool:
    """Whether the value may be too long to enter the row's hash as it is."""
    return column.data_type in _LONG_TYPES or (column.maximum_bytes or 0) > _LONGEST_INLINE_BYTES


def is_exact_number(column: SourceColumn) -> bool:
    """Whether the text form is also a JSON number that PostgreSQL gives back to the letter."""
    return column.data_type in INTEGER_TYPES or column.data_type == "decimal"
