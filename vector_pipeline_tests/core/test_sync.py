"""Changes of the source arrive in the target, and nothing is paid for twice."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import NotYetSyncedError
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.sync import sync_range
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only


@pytest.fixture
def pg_database(bare_pg_database: TargetSettings) -> TargetSettings:
    """Our own tables are made by what is tested."""
    return bare_pg_database


def test_a_first_sync_ends_equal_to_the_table(any_workbench: Workbench) -> None:
    any_workbench.create_faq(250)
    synced = any_workbench.sync()
    assert synced.inserted == 250
    assert len(synced.documents) == 3
    with any_workbench.index() as index:
        report = index.verify()
    assert report.equal, report
    assert (report.source_rows, report.target_rows, report.passages, report.vectors) == (250, 250, 500, 500)


def test_an_empty_table_is_one_range_and_equal(workbench: Workbench) -> None:
    workbench.create_faq(0)
    workbench.sync()
    with workbench.index() as index:
        report = index.verify()
    assert report.equal
    assert (report.ranges, report.target_rows) == (1, 0)


def test_a_second_sync_asks_nothing_of_the_provider_and_writes_nothing(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(250)
    workbench.sync()
    requests, written = provider.stats()["requests"], row_versions(workbench)
    assert workbench.sync().documents == ()
    assert provider.stats()["requests"] == requests
    assert row_versions(workbench) == written


def row_versions(workbench: Workbench) -> list[list[tuple[object, ...]]]:
    """Place and writing transaction of each stored row: any write of it, even of the same values, changes them."""
    tables = ("documents", "passages_1", "vectors_1")
    return [workbench.postgres(f"SELECT ctid::text, xmin::text FROM faq.{table} ORDER BY ctid") for table in tables]


def test_syncing_ranges_that_are_in_step_writes_no_row(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(250)
    workbench.sync()
    requests, written = provider.stats()["requests"], row_versions(workbench)
    with workbench.index() as index:
        partitions = [state.partition for state in index.ranges()]
        facts = list(index.sync_documents(partitions))
        embedding = index.embed(partitions)
    assert all(range_facts.unchanged for range_facts in facts)
    assert row_versions(workbench) == written
    assert (embedding.texts_needed, embedding.texts_reused) == (500, 500)
    assert provider.stats()["requests"] == requests


def test_a_change_of_metadata_alone_asks_nothing_of_the_provider(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(50)
    workbench.sync()
    requests = provider.stats()["requests"]
    workbench.mysql("UPDATE faq SET link = 'https://example.org/moved' WHERE id <= 10")
    synced = workbench.sync()
    assert (synced.inserted, synced.updated, synced.deleted) == (0, 10, 0)
    assert provider.stats()["requests"] == requests
    assert workbench.postgres("SELECT count(*) FROM faq WHERE link = 'https://example.org/moved'") == [(10,)]


def test_metadata_that_are_renamed_added_or_left_out_are_served_as_declared(
    any_workbench: Workbench, provider: MisbehavingProvider
) -> None:
    any_workbench.create_faq(150)
    any_workbench.sync()
    requests = provider.stats()["requests"]
    text = {"question": "question", "answer": "answer"}
    for metadata in ({"page": "link", "asked": "asked"}, {"page": "link"}, {}, {"page": "link", "number": "id"}):
        spec = faq_spec(document={"text": text, "metadata": metadata})
        with any_workbench.index(spec) as index:
            assert not index.verify().equal
        assert any_workbench.sync(spec).updated == 150
        keys = any_workbench.postgres("SELECT DISTINCT jsonb_object_keys(metadata) FROM faq.documents")
        assert {key for (key,) in keys} == set(metadata)
        with any_workbench.index(spec) as index:
            assert index.verify().equal
    assert provider.stats()["requests"] == requests


def test_equal_texts_are_sent_once(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(100)
    workbench.mysql("UPDATE faq SET question = 'the same for all of us' WHERE id > 90")
    workbench.sync(question_only())
    # One text more is the probe by which the model's dimensions were measured.
    assert provider.stats()["texts"] == 91 + 1
    assert provider.times_sent("the same for all of us") == 1


def test_a_text_in_two_fields_is_sent_once_and_found_in_both(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(0)
    workbench.mysql("INSERT INTO faq (id, question, answer) VALUES (1, 'twin', 'twin'), (2, 'alone', 'twin')")
    workbench.sync()
    assert provider.times_sent("twin") == 1
    with workbench.index() as index:
        assert index.verify().equal
        assert index.search("twin", field="answer").hits[0].score > 0.99
        assert index.search("twin", field="question").hits[0].key == "1"


def test_a_late_commit_an_update_and_a_delete_in_old_ranges_arrive_by_digest_alone(any_workbench: Workbench) -> None:
    any_workbench.create_faq(0)
    any_workbench.add_faq([i for i in range(1, 500) if i != 37])
    any_workbench.sync()
    any_workbench.add_faq([37])
    any_workbench.mysql("UPDATE faq SET answer = 'corrected' WHERE id = 142")
    any_workbench.mysql("DELETE FROM faq WHERE id = 260")
    synced = any_workbench.sync()
    assert (synced.inserted, synced.updated, synced.deleted) == (1, 1, 1)
    assert len(synced.documents) == 3
    with any_workbench.index() as index:
        assert index.verify().equal
        assert "260" not in {hit.key for hit in index.search("question number 260?", limit=500).hits}
        assert index.search("corrected", field="answer").hits[0].key == "142"


def test_a_key_that_moves_to_another_range_is_deleted_there_and_inserted_here(workbench: Workbench) -> None:
    workbench.create_faq(250)
    workbench.sync()
    workbench.mysql("UPDATE faq SET id = 1000 WHERE id = 5")
    workbench.sync()
    with workbench.index() as index:
        assert index.verify().equal


def test_new_rows_at_the_end_get_ranges_of_their_own(workbench: Workbench) -> None:
    workbench.create_faq(150)
    workbench.sync()
    workbench.add_faq(range(151, 601))
    synced = workbench.sync()
    assert synced.deleted == 0
    with workbench.index() as index:
        states = index.ranges()
        assert [state.rows for state in states] == [100] * 6
        assert index.verify().equal


def test_a_range_grown_in_the_middle_is_cut_without_losing_or_paying_anything(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(0)
    workbench.add_faq(range(10, 3010, 10))
    workbench.sync()
    before = provider.stats()["texts"]
    workbench.add_faq([i for i in range(1, 500) if i % 10])
    synced = workbench.sync()
    added = len([i for i in range(1, 500) if i % 10])
    assert (synced.inserted, synced.deleted) == (added, 0)
    assert provider.stats()["texts"] - before == 2 * added
    with workbench.index() as index:
        assert index.verify().equal
        assert max(state.rows for state in index.ranges()) <= 200


@pytest.mark.long
def test_a_range_in_the_middle_is_cut_into_any_number_of_pieces(workbench: Workbench) -> None:
    spec = question_only(range_size=10)
    workbench.create_faq(20)
    workbench.add_faq(range(10_001, 10_021))
    workbench.sync(spec)
    workbench.add_faq(range(101, 2001))
    assert workbench.sync(spec).inserted == 1900
    with workbench.index(spec) as index:
        assert index.verify().equal
        states = index.ranges()
    assert max(state.rows for state in states) <= 20
    lower_keys = [int(state.lower) for state in states if state.lower is not None]
    assert lower_keys == sorted(lower_keys)


def test_a_range_that_has_grown_since_it_was_looked_at_is_cut_before_it_is_read(workbench: Workbench) -> None:
    spec = question_only(range_size=10)
    workbench.create_faq(5)
    workbench.sync(spec)
    workbench.add_faq(range(6, 501))
    with workbench.index(spec) as index:
        [state] = index.ranges()
        served = index._ready()
        synced = sync_range(index._source, index._target, served, [served], index._plan, index.spec, state.range_id)
        assert synced.rows_read == 10
        assert len(index.ranges()) == 50
    assert workbench.sync(spec).inserted == 490
    with workbench.index(spec) as index:
        assert index.verify().equal


def test_a_returning_text_costs_nothing(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(10)
    workbench.sync()
    workbench.mysql("UPDATE faq SET question = 'for a while' WHERE id = 3")
    workbench.sync()
    with workbench.index() as index:
        assert index.refresh_search_index().vectors_retired == 1
    texts = provider.stats()["texts"]
    workbench.mysql("UPDATE faq SET question = 'question number 3?' WHERE id = 3")
    workbench.sync()
    assert provider.stats()["texts"] == texts
    with workbench.index() as index:
        assert index.verify().equal


def test_a_strategy_of_concat_embeds_one_text_a_row(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(10)
    workbench.sync(faq_spec(embedding={"strategy": "concat"}))
    assert provider.times_sent("question number 3?\nthe answer to number 3") == 1
    with workbench.index(faq_spec(embedding={"strategy": "concat"})) as index:
        assert index.verify().equal
        assert index.search("question number 3?\nthe answer to number 3").hits[0].key == "3"


def test_a_declared_condition_leaves_rows_out_and_follows_them(workbench: Workbench) -> None:
    spec = faq_spec(source={"table": "faq", "primary_key": "id", "where": "link NOT LIKE '%hidden%'"})
    workbench.create_faq(20)
    workbench.mysql("UPDATE faq SET link = 'hidden' WHERE id <= 5")
    assert workbench.sync(spec).inserted == 15
    workbench.mysql("UPDATE faq SET link = 'shown' WHERE id = 1")
    workbench.mysql("UPDATE faq SET link = 'hidden' WHERE id = 20")
    synced = workbench.sync(spec)
    assert (synced.inserted, synced.deleted) == (1, 1)
    with workbench.index(spec) as index:
        assert index.verify().equal


def test_names_of_ranges_that_are_gone_are_passed_over_beside_those_that_are_there(workbench: Workbench) -> None:
    workbench.create_faq(150)
    workbench.sync()
    with workbench.index() as index:
        partitions = [state.partition for state in index.ranges()]
        assert [facts.partition for facts in index.sync_documents([*partitions, "long-gone"])] == partitions
        with pytest.raises(NotYetSyncedError, match="long-gone"):
            list(index.sync_documents(["long-gone"]))
