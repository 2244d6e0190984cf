"""The memory of a sync has a bound, and does not grow with the number of rows."""

from __future__ import annotations

import pytest

from benchmarks import memory
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.workbench import Workbench, question_only


@pytest.mark.long
def test_a_sync_of_twice_as_many_rows_takes_no_more_memory(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with provider_process(memory.DIMENSIONS) as provider:
        workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        fewer = memory.sync_in_a_process(workbench, memory.ROWS)
        with workbench.index(question_only()) as index:
            index.drop()
        workbench.mysql("DROP TABLE faq")
        more = memory.sync_in_a_process(workbench, memory.MORE_ROWS)
    assert all(figure.holds for figure in memory.figures(fewer, more)), (fewer, more)
