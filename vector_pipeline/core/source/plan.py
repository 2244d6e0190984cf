"""A declaration against a real table: which columns are read, in which order, in which form.

The order of `columns` is the order of a digest: the key, the texts, the metadata, each as declared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vector_pipeline.core.source.canonical import (
    canonical_expression,
    enters_by_its_own_hash,
    is_exact_number,
)
from vector_pipeline.core.source.catalog import SourceColumn, SourceTable
from vector_pipeline.core.source.connection import identifier
from vector_pipeline.core.source.keys import KeyColumn, joined_expression, key_column
from vector_pipeline.core.spec import ColumnReference, IndexSpec


@dataclass(frozen=True)
class PlannedColumn:
    """One column as it is read, or the several of a key. `served` is the name under which the target stores it.

    `absent` is SQL that is true where there is no value, whatever becomes of its text form.
    """

    served: str
    source: str
    source_type: str
    expression: str
    by_hash: bool
    exact_number: bool
    absent: str


@dataclass(frozen=True)
class ReadingPlan:
    """How rows are read from one table. `relation` is what stands after FROM, `is_derived` whether it is a query."""

    database: str
    table: str
    relation: str
    is_derived: bool
    where: str | None
    key_columns: tuple[KeyColumn, ...]
    key: PlannedColumn
    texts: tuple[PlannedColumn, ...]
    metadata: tuple[PlannedColumn, ...]

    @property
    def columns(self) -> tuple[PlannedColumn, ...]:
        return (self.key, *self.texts, *self.metadata)

    @property
    def form(self) -> str:
        """Hexadecimal digits that stand for the names under which the values are served.

        Part of each row's hash, so that a name that is new or gone makes every row another one.
        """
        served = [[column.served for column in columns] for columns in (self.texts, self.metadata)]
        return hashlib.sha256(json.dumps(served).encode()).hexdigest()[:16]


def source_column_name(reference: ColumnReference) -> str:
    """The column that a declaration's entry names."""
    return reference if isinstance(reference, str) else reference.column


def is_optional(reference: ColumnReference) -> bool:
    """Whether the declaration does without the column where the table hasn't got it."""
    return not isinstance(reference, str) and reference.optional


def plan_reading(
    spec: IndexSpec,
    table: SourceTable,
    texts: Mapping[str, ColumnReference] | None = None,
    metadata: Mapping[str, ColumnReference] | None = None,
) -> ReadingPlan:
    """Binds a declaration that `declaration.catalogue_problems` found right to its table.

    Args:
        texts: the texts to read, by the column of the documents that holds them, where they aren't just the declared
            ones: while one generation is built beside another, those of both.
        metadata: the metadata to read, where they aren't just the declared ones.
    """
    key_sources = [column for name in spec.source.key_columns if (column := table.column(name)) is not None]
    key_columns = tuple(map(key_column, key_sources))
    return ReadingPlan(
        database=table.database,
        table=table.name,
        relation=table.relation,
        is_derived=table.derived is not None,
        where=spec.source.where,
        key_columns=key_columns,
        key=_planned_key(key_sources, key_columns),
        texts=_planned_all(spec.document.text if texts is None else texts, table),
        metadata=_planned_all(spec.document.metadata if metadata is None else metadata, table),
    )


def _planned_all(references: Mapping[str, ColumnReference], table: SourceTable) -> tuple[PlannedColumn, ...]:
    found = ((served, table.column(source_column_name(entry))) for served, entry in references.items())
    return tuple(_planned(served, column) for served, column in found if column is not None)


def _planned_key(sources: Sequence[SourceColumn], columns: Sequence[KeyColumn]) -> PlannedColumn:
    parts = [_planned("id", source) for source in sources]
    if len(parts) == 1:
        return parts[0]
    return PlannedColumn(
        "id",
        ", ".join(part.source for part in parts),
        ", ".join(part.source_type for part in parts),
        joined_expression([(column, part.expression) for column, part in zip(columns, parts, strict=True)]),
        any(part.by_hash for part in parts),
        False,
        " OR ".join(part.absent for part in parts),
    )


def _planned(served: str, column: SourceColumn) -> PlannedColumn:
    expression = canonical_expression(column)
    assert expression is not None
    return PlannedColumn(
        served,
        column.name,
        column.column_type,
        expression,
        enters_by_its_own_hash(column),
        is_exact_number(column),
        f"{identifier(column.name)} IS NULL",
    )
