"""Columns of the source that have become something else since the index was made.

A column that was dropped or renamed is found by the declaration alone. One that was retyped still fits it, and each of
its rows may now read differently: somebody has to say that this is meant. A key that orders its values otherwise can't
be accepted, since the ranges were cut in the old order and rows would be missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from vector_pipeline.core.errors import DeclarationProblem, IndexSpecError
from vector_pipeline.core.source.canonical import BINARY_TYPES, INTEGER_TYPES, TEXT_TYPES
from vector_pipeline.core.source.catalog import SourceColumn, SourceTable
from vector_pipeline.core.source.plan import source_column_name
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import source_columns
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.source_columns import AcceptedColumn

_FAMILIES = (
    dict.fromkeys(TEXT_TYPES, "text") | dict.fromkeys(INTEGER_TYPES, "integer") | dict.fromkeys(BINARY_TYPES, "binary")
)
# All values of such a column are shown with equally many digits behind the point: the last number of the full type.
_FRACTION = {
    **dict.fromkeys(("datetime", "timestamp", "time"), re.compile(r"\((\d+)\)")),
    **dict.fromkeys(("decimal", "double"), re.compile(r"\(\d+,(\d+)\)")),
}


@dataclass(frozen=True)
class SchemaChange:
    """One column that is another than the one that was accepted. `field` is where it is declared."""

    field: str
    column: str
    was: AcceptedColumn
    now: AcceptedColumn
    of_the_key: bool

    def __str__(self) -> str:
        return f"column {self.column!r} was {self.was} when the index was accepted, and is {self.now} now"

    def problem(self, index: str) -> DeclarationProblem:
        """The change as something that somebody has to decide on."""
        if self.of_the_key:
            remedy = (
                "change it back, or remove the index, whose ranges were cut by the column as it was, and let it be "
                f"built anew: `vector-pipeline drop {index}`"
            )
        else:
            remedy = f"change it back, or accept it: `vector-pipeline accept-schema {index}`"
        return DeclarationProblem(self.field, str(self), remedy)


def schema_changes(
    target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, table: SourceTable
) -> list[SchemaChange]:
    """What has become of the columns that both the accepted declaration and this one read."""
    accepted = source_columns.load(target, index)
    return [
        SchemaChange(field, column.name, was, now, of_the_key)
        for field, column, of_the_key in _read(spec, table)
        if (was := accepted.get(column.name.lower())) is not None
        and _is_another(was, now := _looks(column, of_the_key), of_the_key)
    ]


def refuse_schema_changes(
    target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, table: SourceTable, origin: str
) -> None:
    """Keeps rows that read differently out of the index until somebody says that they are meant.

    Raises:
        IndexSpecError: columns have become something else; each is named, with the remedy.
    """
    changes = schema_changes(target, index, spec, table)
    if changes:
        raise IndexSpecError(origin, [change.problem(spec.name) for change in changes])


def accept_schema(
    target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, table: SourceTable, origin: str
) -> list[SchemaChange]:
    """Takes the columns as they are now for those of the index. Returns what had changed.

    Raises:
        IndexSpecError: a column of the key has changed, which can't be accepted.
    """
    changes = schema_changes(target, index, spec, table)
    of_the_key = [change.problem(spec.name) for change in changes if change.of_the_key]
    if of_the_key:
        raise IndexSpecError(origin, of_the_key)
    if changes:
        keep_schema(target, index, spec, table)
    return changes


def keep_schema(target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, table: SourceTable) -> None:
    """Notes how the columns look now; for where nothing has changed but what is new or wider."""
    # A text may be a column of the key as well, which comes last and says more of it.
    read = sorted(_read(spec, table), key=lambda entry: entry[2])
    source_columns.keep(target, index, {column.name.lower(): _looks(column, key) for _, column, key in read})


def _read(spec: IndexSpec, table: SourceTable) -> Iterator[tuple[str, SourceColumn, bool]]:
    """Each column that the declaration reads and the table has: its field, and whether it is of the key."""
    for name in spec.source.key_columns:
        if (column := table.column(name)) is not None:
            yield "source.primary_key", column, True
    for part, references in (("text", spec.document.text), ("metadata", spec.document.metadata)):
        for served, reference in references.items():
            if (column := table.column(source_column_name(reference))) is not None:
                yield f"document.{part}.{served}", column, False


def _looks(column: SourceColumn, of_the_key: bool) -> AcceptedColumn:
    if not of_the_key:
        return AcceptedColumn(_family(column), column.column_type)
    return AcceptedColumn(_family(column), column.column_type, column.character_set, column.collation)


def _family(column: SourceColumn) -> str:
    kind = column.data_type
    digits = _FRACTION[kind].search(column.column_type) if kind in _FRACTION else None
    return _FAMILIES.get(kind, kind) if digits is None else f"{kind} with {digits.group(1)} digits of a fraction"


def _is_another(was: AcceptedColumn, now: AcceptedColumn, of_the_key: bool) -> bool:
    if was.family != now.family or _is_padded_otherwise(was, now):
        return True
    return of_the_key and _order(was) != _order(now)


def _is_padded_otherwise(was: AcceptedColumn, now: AcceptedColumn) -> bool:
    # BINARY alone fills its values up with zeros, which are seen.
    return now.type.startswith("binary(") and now.type != was.type


def _order(column: AcceptedColumn) -> tuple[str | None, str | None]:
    return _by_newer_name(column.character_set), _by_newer_name(column.collation)


def _by_newer_name(name: str | None) -> str | None:
    """What older servers call utf8 is utf8mb3 to newer ones."""
    return name and re.sub(r"^utf8(?=_|$)", "utf8mb3", name)
