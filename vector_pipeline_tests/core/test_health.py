"""What PostgreSQL's own numbers say of an index's tables and ANN indexes, and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from vector_pipeline.core.findings import Verdict
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.ann_health import AnnHealth
from vector_pipeline.core.store.ann_index import Graph
from vector_pipeline.core.store.ann_method import AnnOrder, Method
from vector_pipeline.core.store.registry import VectorSpace
from vector_pipeline.core.store.table_health import Holder, TableHealth, TablesHealth
from vector_pipeline_tests.workbench import Workbench, question_only

TABLE = TableHealth(
    schema="faq",
    name="documents",
    size=10_000_000,
    index_size=1_000_000,
    rows=100_000,
    dead=0,
    dead_share=0.0,
    age=1000,
    multixact_age=0,
    vacuumed_at=None,
    analyzed_at=None,
    autovacuum=True,
)

TABLES = TablesHealth((TABLE,), True, 200_000_000, 400_000_000, None)
SPACE = VectorSpace(1, "openai", "numbers", 1024, 1024)
GRAPH = Graph("question", "vectors_1_hnsw", AnnOrder(SPACE, Method.VECTOR, 1024), 100_000, 0, 600 * 1024 * 1024)
GRAPHS = AnnHealth((GRAPH,), GRAPH.size, 4 * 1024**3, 4 * 1024**3, ())


def tables(**changes: Any) -> TablesHealth:
    return replace(TABLES, tables=(replace(TABLE, analyzed_at=datetime.now(UTC), **changes),))


def test_tables_that_autovacuum_keeps_up_with_are_well() -> None:
    assert tables(dead=15_000, dead_share=0.13).findings == ()


def test_a_table_of_dead_rows_is_to_be_vacuumed_and_what_keeps_them_is_named() -> None:
    [finding] = tables(dead=100_000, dead_share=0.5).findings
    assert finding.remedy == "VACUUM (ANALYZE) faq.documents"
    held = replace(tables(dead=100_000, dead_share=0.5), holder=Holder("a transaction of anna (process 7)", 7200.0))
    assert (
        "a transaction of anna (process 7) keeps dead rows from being removed for 2.0 hours" in held.findings[0].found
    )


def test_a_table_whose_transactions_grow_too_old_is_a_warning_and_then_an_error() -> None:
    [late] = tables(age=400_000_000).findings
    assert (late.verdict, late.remedy) == (Verdict.WARNING, "VACUUM (FREEZE, VERBOSE) faq.documents")
    [very_late] = tables(age=1_500_000_000).findings
    assert very_late.verdict is Verdict.WRONG
    assert tables(age=210_000_000).findings == ()


def test_autovacuum_that_is_off_is_told_for_the_server_and_for_a_table() -> None:
    off = replace(tables(autovacuum=False), autovacuum=False)
    assert [finding.what for finding in off.findings] == ["autovacuum", "faq.documents"]


def test_graphs_that_fit_and_are_full_are_well() -> None:
    assert GRAPHS.findings == ()


def test_graphs_larger_than_shared_buffers_are_told_with_the_memory_that_would_do() -> None:
    [finding] = replace(GRAPHS, all_bytes=8 * 1024**3).findings
    assert "8,192 MB" in finding.found and "at least 10,240 MB" in finding.remedy


def test_a_graph_that_cannot_be_built_in_memory_is_told_with_the_setting() -> None:
    [finding] = replace(GRAPHS, build_cap=256 * 1024**2).findings
    assert "maintenance_work_mem" in finding.remedy


def test_a_hollow_graph_and_a_wreck_are_told() -> None:
    hollow = replace(GRAPHS, graphs=(replace(GRAPH, deleted=60_000),), wrecks=("vectors_1_hnsw_ccnew",))
    assert [finding.what for finding in hollow.findings] == ["vectors_1_hnsw", "vectors_1_hnsw_ccnew"]


def test_the_tables_of_a_real_index_are_looked_at(workbench: Workbench) -> None:
    workbench.create_faq(rows=20)
    spec = question_only(search={"threshold": -1.0, "ann_from_vectors": 1})
    workbench.sync(spec)
    with workbench.index(spec) as index:
        index.refresh_search_index()
        found, graphs, kept = index.look_at_tables(), index.look_at_graphs(), index.kept()
    [documents] = [one for one in found.tables if one.named == "faq.documents"]
    assert documents.size > 0 and documents.age > 0 and documents.autovacuum
    assert [(graph.field, graph.vectors, graph.deleted) for graph in graphs.graphs] == [("question", 20, 0)]
    assert graphs.all_bytes >= graphs.graphs[0].size > 0 and graphs.shared_buffers > 0
    assert (kept.vectors, kept.generations) == (0, 0)


def test_what_holds_dead_rows_back_is_found(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    workbench.create_faq(rows=1)
    workbench.sync()
    monkeypatch.setattr("vector_pipeline.core.store.table_health._HELD_SECONDS", 0.0)
    with store_connection.connect(workbench.target) as reader, reader.transaction(), workbench.index() as index:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM faq.documents")
        holder, process = index.look_at_tables().holder, reader.info.backend_pid
    assert holder is not None and f"process {process}" in holder.what


def test_what_a_missed_refresh_should_have_removed_is_counted(workbench: Workbench) -> None:
    workbench.create_faq(rows=3)
    workbench.sync()
    workbench.mysql("DELETE FROM faq WHERE id = 2")
    workbench.sync()
    with workbench.index() as index:
        index.refresh_search_index()
        workbench.postgres("UPDATE faq.retired_vectors_1 SET retired_at = now() - interval '32 days'")
        kept = index.kept()
    assert kept.vectors == kept.vectors_due == 2
