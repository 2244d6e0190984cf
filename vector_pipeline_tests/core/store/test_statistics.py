"""PostgreSQL plans by what the tables hold, not by what it assumes of tables that it has never looked at."""

from __future__ import annotations

from vector_pipeline_tests.workbench import Workbench


def _analysed_rows(workbench: Workbench) -> dict[str, float]:
    return dict(
        workbench.postgres("SELECT relname, reltuples FROM pg_class WHERE relname IN ('documents', 'passages_1')")
    )


def test_the_first_sync_of_a_table_leaves_its_statistics(workbench: Workbench) -> None:
    workbench.create_faq(50)
    workbench.sync()
    assert _analysed_rows(workbench) == {"documents": 50, "passages_1": 100}


def test_statistics_are_renewed_when_a_table_has_outgrown_them(workbench: Workbench) -> None:
    workbench.create_faq(50)
    workbench.sync()
    workbench.add_faq(range(51, 1001))
    workbench.sync()
    assert _analysed_rows(workbench) == {"documents": 1000, "passages_1": 2000}
