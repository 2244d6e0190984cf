"""A detector that the table can't have is refused by its field, with the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline_tests.workbench import Workbench, faq_spec

TABLE = "CREATE TABLE faq (id BIGINT PRIMARY KEY, question TEXT, changed TIMESTAMP NULL, asked DATETIME, born DATE, {})"


def _problems(workbench: Workbench, indexes: str, table: str = "faq", **source: Any) -> list[DeclarationProblem]:
    workbench.mysql(TABLE.format(indexes))
    workbench.mysql("CREATE VIEW faq_view AS SELECT id, question, changed FROM faq")
    spec = faq_spec(source={"table": table, "primary_key": "id"} | source, document={"text": {"question": "question"}})
    with workbench.index(spec) as index:
        return index.check_declaration()


@pytest.mark.parametrize("column", ["changed", "CHANGED", "asked"])
def test_an_indexed_moment_can_be_updated_at(any_workbench: Workbench, column: str) -> None:
    assert _problems(any_workbench, "INDEX (changed, born), INDEX (asked DESC)", updated_at=column) == []


@pytest.mark.parametrize(
    ("column", "problem", "remedy"),
    [
        ("edited", "has no column 'edited'", "name one of its columns, or leave it out: id, question, changed"),
        ("born", "has type date", "name a DATETIME or TIMESTAMP column"),
        ("changed", "no index of", "CREATE INDEX … ON faq (changed)"),
    ],
)
def test_a_column_that_cannot_be_updated_at_is_refused(
    any_workbench: Workbench, column: str, problem: str, remedy: str
) -> None:
    [found] = _problems(any_workbench, "INDEX (born, changed)", updated_at=column)
    assert found.field == "source.updated_at"
    assert problem in found.problem and remedy in found.remedy


def test_a_views_column_can_be_updated_at(any_workbench: Workbench) -> None:
    assert _problems(any_workbench, "INDEX (changed)", table="faq_view", updated_at="changed") == []


def test_the_log_of_a_table_can_be_read(any_workbench: Workbench) -> None:
    assert _problems(any_workbench, "INDEX (changed)", binlog=True) == []


def test_the_log_of_a_view_is_refused(any_workbench: Workbench) -> None:
    [found] = _problems(any_workbench, "INDEX (changed)", table="faq_view", binlog=True)
    assert found.field == "source.binlog"
    assert "faq_view is a view" in found.problem


def test_the_log_without_its_package_is_refused_by_the_name_of_the_extra(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vector_pipeline.core.detection.declared.find_spec", lambda _: None)
    [found] = _problems(workbench, "INDEX (changed)", binlog=True)
    assert found.field == "source.binlog"
    assert "vector-pipeline[binlog]" in found.remedy
