"""The size of a table, as the server estimates it."""

from __future__ import annotations

from contextlib import closing

import pytest

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.catalog import read_table
from vector_pipeline.core.source.connection import connect
from vector_pipeline.core.source.plan import plan_reading
from vector_pipeline.core.source.size import estimate_rows
from vector_pipeline_tests.workbench import Workbench, faq_spec


def _estimate(source: SourceSettings, table: str) -> int:
    spec = faq_spec(
        source={"table": table, "primary_key": "id"}, document={"text": {"question": "question"}, "metadata": {}}
    )
    with closing(connect(source)) as connection:
        found = read_table(connection, source.database, table)
        assert found is not None
        return estimate_rows(connection, plan_reading(spec, found))


@pytest.mark.parametrize(
    "view", ["SELECT id, question FROM faq", "SELECT f.id, t.t question FROM faq f JOIN t USING (id)"]
)
def test_the_rows_of_tables_and_views_are_estimated(any_workbench: Workbench, view: str) -> None:
    any_workbench.create_faq(2000)
    any_workbench.mysql("CREATE TABLE t (id BIGINT PRIMARY KEY, t TEXT)")
    any_workbench.mysql("INSERT INTO t SELECT id, question FROM faq")
    any_workbench.mysql("ANALYZE TABLE faq, t")
    any_workbench.mysql(f"CREATE VIEW faq_view AS {view}")
    for table in ("faq", "faq_view"):
        assert 1000 <= _estimate(any_workbench.source, table) <= 4000


def test_an_empty_table_has_hardly_any_rows(any_workbench: Workbench) -> None:
    any_workbench.create_faq()
    assert _estimate(any_workbench.source, "faq") <= 1
