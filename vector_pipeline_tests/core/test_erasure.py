"""Erased rows leave nothing behind in PostgreSQL, and nothing brings them back."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import ErasureError, MassDeletionHeldError
from vector_pipeline.core.reports import ErasureReport
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.locks import Lock
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_answers import POISON
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all


def erase(workbench: Workbench, *keys: str, spec: IndexSpec | None = None) -> ErasureReport:
    with workbench.index(spec or question_only()) as index:
        return index.erase(keys)


def _synced(workbench: Workbench, rows: int = 10, spec: IndexSpec | None = None) -> None:
    workbench.create_faq(rows)
    workbench.sync(spec or question_only())


def _assert_in_step(workbench: Workbench, spec: IndexSpec | None = None) -> None:
    with workbench.index(spec or question_only()) as index:
        index.detect()
        assert not any(state.dirty for state in index.ranges())
        assert index.verify().equal


def _rows_in(workbench: Workbench, *tables: str) -> list[int]:
    return [workbench.postgres(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


def test_a_row_that_is_gone_from_mysql_is_erased_with_its_vectors_and_its_range_is_in_step(
    workbench: Workbench,
) -> None:
    _synced(workbench, spec=faq_spec())
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    report = erase(workbench, "3", spec=faq_spec())
    assert (report.erased, report.absent, report.passages, report.vectors) == (("3",), (), 2, 2)
    assert _rows_in(workbench, "faq.documents", "faq.passages_1", "faq.vectors_1", "faq.retired_vectors_1") == [
        9,
        18,
        18,
        0,
    ]
    _assert_in_step(workbench, faq_spec())


def test_a_row_that_is_still_in_mysql_is_refused_and_no_other_is_erased_with_it(workbench: Workbench) -> None:
    _synced(workbench)
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    with pytest.raises(ErasureError, match=r"still has row '4'.*delete it in MySQL first.*Nothing was erased"):
        erase(workbench, "3", "4")
    assert _rows_in(workbench, "faq.documents") == [10]


def test_a_row_that_the_declaration_leaves_out_is_erased_though_mysql_has_it(workbench: Workbench) -> None:
    _synced(workbench)
    spec = question_only(source={"table": "faq", "primary_key": "id", "where": "link NOT LIKE '%/3'"})
    assert erase(workbench, "3", spec=spec).erased == ("3",)
    _assert_in_step(workbench, spec)


def test_erasing_twice_reports_the_row_as_absent(workbench: Workbench) -> None:
    _synced(workbench)
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    erase(workbench, "3")
    again = erase(workbench, "3", "999")
    assert (again.erased, again.absent) == ((), ("3", "999"))


@pytest.mark.parametrize("key", ["three", "03", " 3", ""])
def test_what_is_no_key_is_an_error_instead_of_an_absent_row(workbench: Workbench, key: str) -> None:
    _synced(workbench)
    with pytest.raises(ErasureError, match=r"keyed by id \(bigint.*give keys as search shows them"):
        erase(workbench, key)


def test_a_text_that_another_row_has_keeps_its_vector(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.mysql("UPDATE faq SET question = 'shared' WHERE id IN (3, 4)")
    workbench.sync(question_only())
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    assert erase(workbench, "3").vectors == 0
    with workbench.index(question_only()) as index:
        assert [hit.key for hit in index.search("shared", limit=1).hits] == ["4"]
        assert index.verify().equal


def test_vectors_of_what_the_row_said_before_go_as_well_and_those_of_rows_that_a_sync_has_deleted(
    workbench: Workbench,
) -> None:
    _synced(workbench)
    workbench.mysql("UPDATE faq SET question = 'said later' WHERE id = 3")
    with workbench.index(question_only()) as index:
        sync_all(index)
        index.refresh_search_index()
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        sync_all(index)
    assert _rows_in(workbench, "faq.vectors_1", "faq.retired_vectors_1") == [10, 1]
    report = erase(workbench, "3")
    assert (report.absent, report.vectors) == (("3",), 2)
    assert _rows_in(workbench, "faq.vectors_1", "faq.retired_vectors_1") == [9, 0]


def test_the_parts_of_a_mean_go_with_it(workbench: Workbench) -> None:
    spec = faq_spec(embedding={"strategy": "average"})
    _synced(workbench, 5, spec)
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    assert erase(workbench, "3", spec=spec).vectors == 3
    _assert_in_step(workbench, spec)


def test_a_row_is_erased_from_every_generation_that_is_kept(workbench: Workbench) -> None:
    _synced(workbench)
    shorter = question_only(embedding={"dimensions": 4})
    with workbench.index(shorter) as index:
        sync_all(index)
        assert index.build_next_generation().switched
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    report = erase(workbench, "3", spec=shorter)
    assert (report.passages, report.vectors) == (2, 2)
    assert _rows_in(workbench, "faq.passages_1", "faq.vectors_1", "faq.passages_2", "faq.vectors_2") == [9, 9, 9, 9]
    _assert_in_step(workbench, shorter)
    with workbench.index(shorter) as index:
        index.roll_back()
        assert [hit.key for hit in index.search("question number 4?", limit=1).hits] == ["4"]


def test_an_erased_row_that_comes_back_as_it_was_has_its_texts_again_after_a_rollback(workbench: Workbench) -> None:
    _synced(workbench)
    shorter = question_only(embedding={"dimensions": 4})
    with workbench.index(shorter) as index:
        sync_all(index)
        assert index.build_next_generation().switched
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        index.erase(["3"])
        workbench.add_faq([3])
        sync_all(index)
        index.roll_back()
        sync_all(index)
        assert index.verify().equal
        assert [hit.key for hit in index.search("question number 3?", limit=1).hits] == ["3"]


def test_a_quarantine_entry_goes_with_its_row(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.mysql("UPDATE faq SET question = %s WHERE id = 3", [(POISON,)])
    workbench.sync(question_only())
    assert _rows_in(workbench, "vector_pipeline.quarantine") == [1]
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    assert erase(workbench, "3").quarantined == 1
    assert _rows_in(workbench, "vector_pipeline.quarantine") == [0]
    _assert_in_step(workbench)


def test_keys_of_several_columns_are_given_as_the_index_shows_them(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE faq (shop VARCHAR(20), nr INT, question TEXT, PRIMARY KEY (shop, nr))")
    rows = [("a|b", 1), ("a", 2), ("b", 1)]
    workbench.mysql("INSERT INTO faq VALUES (%s, %s, 'secret')", rows)
    spec = faq_spec(source={"table": "faq", "primary_key": ["shop", "nr"]}, document={"text": {"question": "question"}})
    workbench.sync(spec)
    with workbench.index(spec) as index:
        shown = {hit.key for hit in index.search("secret", limit=5).hits}
    assert r"a\|b|1" in shown
    workbench.mysql("DELETE FROM faq WHERE nr = 1")
    assert set(erase(workbench, r"a\|b|1", "b|1", spec=spec).erased) == {r"a\|b|1", "b|1"}
    with pytest.raises(ErasureError, match="can't be such a key"):
        erase(workbench, "a|b|1", spec=spec)
    _assert_in_step(workbench, spec)


def test_erasing_many_rows_does_not_trip_the_guard_against_mass_deletion(workbench: Workbench) -> None:
    spec = question_only(deletion_guard={"share": 0.2, "rows": 5}, range_size=10)
    _synced(workbench, 40, spec)
    workbench.mysql("DELETE FROM faq WHERE id <= 20")
    assert len(erase(workbench, *map(str, range(1, 21)), spec=spec).erased) == 20
    with workbench.index(spec) as index:
        sync_all(index)
        assert not index.guarded_deletions().held
        assert index.verify().equal


def test_erasing_all_that_a_held_deletion_waits_for_ends_the_hold(workbench: Workbench) -> None:
    spec = question_only(deletion_guard={"share": 0.2, "rows": 5}, range_size=10)
    _synced(workbench, 40, spec)
    workbench.mysql("DELETE FROM faq WHERE id <= 20")
    with workbench.index(spec) as index, pytest.raises(MassDeletionHeldError):
        sync_all(index)
    erase(workbench, *map(str, range(1, 21)), spec=spec)
    with workbench.index(spec) as index:
        index.detect()
        assert not index.guarded_deletions().held
        sync_all(index)
        assert index.verify().equal


def test_a_sync_that_read_the_row_before_it_was_deleted_does_not_bring_it_back(workbench: Workbench) -> None:
    _synced(workbench)
    workbench.mysql("UPDATE faq SET question = 'newer' WHERE id IN (3, 5)")
    runs = AtOnce()
    with store_connection.connect(workbench.target) as other, other.transaction():
        # Keeps the sync, which has read its rows by then, from writing them.
        other.execute("SELECT FROM faq.documents WHERE key = '5' FOR UPDATE")
        runs.start(lambda: workbench.sync(question_only()))
        wait_until(lambda: _sessions(workbench, "wait_event_type = 'Lock'") == 1)
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        runs.start(lambda: erase(workbench, "3"))
        wait_until(lambda: _sessions(workbench, "query LIKE '%pg_try_advisory_lock%'") == 1)
        assert _rows_in(workbench, "faq.documents") == [10]
    runs.finish()
    assert workbench.postgres("SELECT count(*) FROM faq.documents WHERE question = 'newer'") == [(1,)]
    assert _rows_in(workbench, "faq.documents", "faq.passages_1") == [9, 9]
    _assert_in_step(workbench)


def test_a_text_that_is_at_the_provider_while_its_row_is_erased_is_not_stored(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(10)
    with workbench.index(question_only()) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        provider.reset()
        provider.delay_seconds = 1.0
        runs = AtOnce()
        runs.start(lambda: index.embed(partitions))
        wait_until(lambda: provider.stats()["requests"] > 0)
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        erase(workbench, "3")
        assert _rows_in(workbench, "faq.vectors_1") == [0]
        runs.finish()
    assert _rows_in(workbench, "faq.vectors_1", "faq.retired_vectors_1") == [9, 0]
    _assert_in_step(workbench)


def test_a_text_that_a_run_had_read_before_its_row_was_erased_is_not_sent(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(10)
    with workbench.index(question_only()) as index, store_connection.connect(workbench.target) as eraser:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        provider.reset()
        runs = AtOnce()
        with eraser.transaction():
            # As an erasure does, whose transaction is open while the run has read what it lacks.
            eraser.execute("SELECT pg_advisory_xact_lock(%s, 1)", (int(Lock.VECTORS),))
            runs.start(lambda: index.embed(partitions))
            wait_until(lambda: _sessions(workbench, "wait_event = 'advisory'") == 1)
            eraser.execute("DELETE FROM faq.documents WHERE key = '3'")
        runs.finish()
    assert provider.stats()["texts"] == 9
    assert _rows_in(workbench, "faq.vectors_1", "vector_pipeline.text_claims") == [9, 0]


def test_a_text_that_is_refused_after_its_row_was_erased_is_not_quarantined(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(1)
    workbench.mysql("UPDATE faq SET question = %s", [(POISON,)])
    with workbench.index(question_only()) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        provider.reset()
        provider.delay_seconds = 1.0
        runs = AtOnce()
        runs.start(lambda: index.embed(partitions))
        wait_until(lambda: provider.stats()["requests"] > 0)
        workbench.mysql("DELETE FROM faq")
        erase(workbench, "1")
        runs.finish()
    assert _rows_in(workbench, "vector_pipeline.quarantine") == [0]


def test_postgresqls_statistics_quote_an_erased_row_no_more(workbench: Workbench) -> None:
    _synced(workbench)
    workbench.postgres("ANALYZE faq.documents")
    quoting = "SELECT count(*) FROM pg_stats s WHERE schemaname = 'faq' AND s::text LIKE '%%question number 3?%%'"
    assert workbench.postgres(quoting) != [(0,)]
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    erase(workbench, "3")
    assert workbench.postgres(quoting) == [(0,)]


def _sessions(workbench: Workbench, doing: str) -> int:
    """How many sessions of the index are doing that now."""
    [(count,)] = workbench.postgres(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        f" AND application_name = 'vector-pipeline faq' AND {doing}"
    )
    return int(count)
