"""What is wrong with the declaration of a detector, given the table as MySQL's catalogue describes it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.spec import IndexSpec

_UPDATED_AT, _BINLOG = "source.updated_at", "source.binlog"


def detector_problems(spec: IndexSpec, table: SourceTable) -> Iterator[DeclarationProblem]:
    """Problems of `source.updated_at` and `source.binlog`."""
    if spec.source.updated_at is not None:
        yield from _updated_at_problems(spec.source.updated_at, table)
    if spec.source.binlog:
        yield from _binlog_problems(table)


def _updated_at_problems(name: str, table: SourceTable) -> Iterator[DeclarationProblem]:
    column, full_name = table.column(name), f"{table.database}.{table.name}"
    if column is None:
        there = ", ".join(column.name for column in table.columns.values())
        yield DeclarationProblem(
            _UPDATED_AT, f"{full_name} has no column {name!r}", f"name one of its columns, or leave it out: {there}"
        )
    elif column.data_type not in {"datetime", "timestamp"}:
        yield DeclarationProblem(
            _UPDATED_AT,
            f"column {column.name!r} of {full_name} has type {column.column_type}",
            "name a DATETIME or TIMESTAMP column, or leave it out",
        )
    # A view has no index of its own, and nobody can tell whether those of its tables serve it.
    elif not table.is_view and not any(index.columns[:1] == (name.lower(),) for index in table.indexes):
        yield DeclarationProblem(
            _UPDATED_AT,
            f"no index of {full_name} begins with {column.name!r}, so that each look would read the whole table",
            f"create one (CREATE INDEX … ON {table.name} ({column.name})), or leave it out",
        )


def _binlog_problems(table: SourceTable) -> Iterator[DeclarationProblem]:
    if table.is_view:
        yield DeclarationProblem(
            _BINLOG,
            f"{table.database}.{table.name} is a view, and the binary log knows tables alone",
            "leave it out, or declare the table",
        )
    if find_spec("pymysqlreplication") is None:
        yield DeclarationProblem(
            _BINLOG,
            "the package mysql-replication is not installed",
            "install the extra (pip install 'vector-pipeline[binlog]'), or leave it out",
        )
