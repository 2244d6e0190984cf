"""What a provider does wrong costs as little as it can: one text, or a pause, and never what was paid already."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from vector_pipeline.core.errors import (
    DimensionMismatchError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
    SourceKeyError,
    SourceUnavailableError,
    TargetUnavailableError,
    VectorPipelineError,
)
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import locks, registry
from vector_pipeline.core.store.locks import Lock
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


def _impatient(texts_per_request: int = 128, **changes: Any) -> IndexSpec:
    """An index that asks once only, so that a test of an outage does not wait."""
    provider = {"type": "openai", "attempts": 1, "texts_per_request": texts_per_request, "requests_in_flight": 2}
    return question_only(**({"embedding": {"provider": provider}} | changes))


def _end_pauses(workbench: Workbench) -> None:
    workbench.postgres("UPDATE vector_pipeline.quarantine SET next_attempt_at = now() - interval '1 second'")


def test_of_500_changed_rows_one_that_is_refused_costs_the_others_nothing(workbench: Workbench) -> None:
    workbench.create_faq(500)
    workbench.sync(question_only())
    workbench.mysql("UPDATE faq SET question = CONCAT('now ', IF(id = 321, 'poison ', ''), question)")
    synced = workbench.sync(question_only())
    assert synced.updated == 500
    assert synced.embedding is not None
    assert (synced.embedding.texts_embedded, synced.embedding.texts_quarantined) == (499, 1)
    with workbench.index(question_only()) as index:
        [entry] = index.quarantine()
        [hit] = index.search("question number 321?", limit=1).hits
        others = index.search("now question number 320?", limit=1).hits
        assert index.verify().equal
        assert index.due_ranges() == []
    assert (entry.key, entry.field, entry.attempts) == ("321", "question", 1)
    assert "is not to be embedded" in entry.message
    assert (hit.key, hit.vector_behind, hit.score) == ("321", True, pytest.approx(1))
    assert hit.texts["question"] == "now poison question number 321?"
    assert (others[0].key, others[0].vector_behind) == ("320", False)


def test_a_text_over_which_the_server_stumbles_costs_its_neighbours_nothing(workbench: Workbench) -> None:
    workbench.create_faq(30)
    workbench.mysql("UPDATE faq SET question = 'stumble' WHERE id = 7")
    workbench.sync(_impatient())
    with workbench.index(_impatient()) as index:
        [entry] = index.quarantine()
        assert index.due_ranges() == []
        assert index.verify().vectors == 29
    assert entry.key == "7"
    assert "HTTP 500: input is too large to process" in entry.message


def test_a_row_that_never_had_a_vector_is_stored_without_one(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET question = 'poison from the start' WHERE id = 2")
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        report = index.verify()
        assert {hit.key for hit in index.search("anything", limit=10).hits} == {"1", "3"}
    assert report.equal
    assert (report.target_rows, report.vectors, report.quarantined) == (3, 2, 1)


def test_words_that_end_in_half_a_character_are_kept_as_far_as_they_can_be(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(1)
    workbench.sync(question_only())
    workbench.mysql("UPDATE faq SET question = 'now another'")
    # Servers in JavaScript cut a text that they repeat between the two halves of an emoji.
    provider.behave("status", 1, status=400, message="cannot embed 'now \ud83d")
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        [entry] = index.quarantine()
    assert entry.message == "HTTP 400: cannot embed 'now ?"


@pytest.mark.parametrize(
    "change",
    ["UPDATE faq SET question = 'harmless' WHERE id = 2", "DELETE FROM faq WHERE id = 2"],
    ids=["changed", "deleted"],
)
def test_a_row_that_changes_leaves_the_quarantine(workbench: Workbench, change: str) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET question = 'poison' WHERE id = 2")
    workbench.sync(question_only())
    workbench.mysql(change)
    workbench.sync(question_only())
    assert workbench.postgres("SELECT count(*) FROM vector_pipeline.quarantine") == [(0,)]
    with workbench.index(question_only()) as index:
        assert index.quarantine() == []
        assert index.verify().equal


def _quarantined(workbench: Workbench) -> int:
    [(entries,)] = workbench.postgres("SELECT count(*) FROM vector_pipeline.quarantine")
    return int(entries)


def test_a_text_that_is_refused_after_its_row_has_gone_does_not_enter_the_quarantine(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(3)
    workbench.sync(question_only())
    workbench.mysql("UPDATE faq SET question = 'poison' WHERE id = 2")
    with workbench.index(question_only()) as embedding, workbench.index(question_only()) as syncing:
        [partition] = [state.partition for state in syncing.ranges()]
        list(syncing.sync_documents([partition]))
        provider.delay_seconds = 1
        with ThreadPoolExecutor(1) as thread:
            asked = provider.stats()["requests"]
            embedded = thread.submit(embedding.embed, [partition])
            while provider.stats()["requests"] == asked:
                time.sleep(0.01)
            workbench.mysql("DELETE FROM faq WHERE id = 2")
            list(syncing.sync_documents([partition]))
            embedded.result()
    assert _quarantined(workbench) == 0


def test_an_entry_without_a_row_leaves_the_quarantine_with_the_next_refresh(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET question = 'poison' WHERE id = 2")
    workbench.sync(question_only())
    workbench.postgres(
        "INSERT INTO vector_pipeline.quarantine (index_id, space, content_hash, reason, message)"
        " SELECT index_id, space, 'gone', reason, message FROM vector_pipeline.quarantine"
    )
    assert _quarantined(workbench) == 2
    with workbench.index(question_only()) as index:
        index.refresh_search_index()
        assert [entry.key for entry in index.quarantine()] == ["2"]
    assert _quarantined(workbench) == 1


def test_a_connection_that_is_lost_is_told_as_such_and_nothing_more_is_paid_for(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    block = {"type": "openai", "texts_per_request": 1, "requests_in_flight": 1}
    spec = question_only(embedding={"provider": block})
    workbench.create_faq(50)
    with workbench.index(spec) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        provider.reset()
        provider.delay_seconds = 0.5
        with ThreadPoolExecutor(1) as thread:
            embedded = thread.submit(index.embed, partitions)
            while provider.stats()["requests"] < 2:
                time.sleep(0.01)
            workbench.postgres(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s",
                [int(Lock.RANGE_EMBEDDING)],
            )
            asked = provider.stats()["requests"]
            with pytest.raises(TargetUnavailableError, match=r"administrator command|server closed the connection"):
                embedded.result()
    # One that waited in the pool when the loss was not noticed yet.
    assert provider.stats()["requests"] <= asked + 1


def test_a_text_in_quarantine_stays_there_while_another_row_has_it(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET question = 'poison' WHERE id IN (1, 2)")
    workbench.sync(question_only())
    workbench.mysql("DELETE FROM faq WHERE id = 2")
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        assert [entry.key for entry in index.quarantine()] == ["1"]


def test_a_quarantined_text_waits_for_its_pause_and_is_then_tried_again(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET question = 'poison' WHERE id = 2")
    workbench.sync(question_only())
    sent = provider.times_sent("poison")
    assert workbench.sync(question_only()).partitions == []
    assert provider.times_sent("poison") == sent
    _end_pauses(workbench)
    workbench.sync(question_only())
    assert provider.times_sent("poison") == sent + 1
    with workbench.index(question_only()) as index:
        [entry] = index.quarantine()
        assert entry.attempts == 2
        assert entry.next_attempt_at is not None
        assert (entry.next_attempt_at - entry.last_failed_at).total_seconds() == pytest.approx(4 * 3600, abs=5)
        assert index.verify().equal


def test_a_text_that_is_accepted_at_last_leaves_the_quarantine(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(1)
    with workbench.index(_impatient()) as index:
        index.prepare()
        # The batch of one text, and not the harmless word that is tried after it.
        provider.behave("status", requests=1, status=400)
        sync_all(index)
        assert [entry.key for entry in index.quarantine()] == ["1"]
        assert index.retry_quarantine() == 1
        sync_all(index)
        assert index.quarantine() == []
        assert index.verify().equal
        assert index.search("question number 1?").hits[0].vector_behind is False


@pytest.mark.parametrize("manner", ["give-nan", "give-infinity", "give-zero", "give-short", "give-nothing"])
def test_a_dishonest_vector_is_quarantined_and_the_others_are_stored(workbench: Workbench, manner: str) -> None:
    workbench.create_faq(30)
    workbench.mysql(f"UPDATE faq SET question = 'please {manner}' WHERE id = 7")
    workbench.sync(_impatient())
    with workbench.index(_impatient()) as index:
        assert [(entry.key, entry.field) for entry in index.quarantine()] == [("7", "question")]
        report = index.verify()
        assert index.check_honesty() == []
    assert report.equal
    assert (report.vectors, report.quarantined) == (29, 1)


@pytest.mark.parametrize("neighbours", [1, 2])
def test_vectors_of_another_length_cost_no_neighbour_its_own(workbench: Workbench, neighbours: int) -> None:
    workbench.create_faq(0)
    workbench.mysql("INSERT INTO faq (id, question) VALUES (1, 'give-short'), (2, 'give-short too')")
    workbench.add_faq(range(3, 3 + neighbours))
    workbench.sync(_impatient())
    with workbench.index(_impatient()) as index:
        assert [entry.key for entry in index.quarantine()] == ["1", "2"]
        assert index.verify().vectors == neighbours


def test_another_model_behind_the_same_name_fails_the_sync_and_stores_nothing(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(30)
    with workbench.index(_impatient()) as index:
        index.prepare()
        provider.behave("wrong length")
        with pytest.raises(DimensionMismatchError, match="vectors of 3 numbers, but the index is made for 8"):
            sync_all(index)
        assert index.quarantine() == []
        report = index.verify()
    assert (report.target_rows, report.vectors) == (30, 0)
    assert not report.equal


def test_a_provider_that_goes_down_leaves_the_documents_in_and_the_next_sync_finishes(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(200)
    with workbench.index(_impatient(texts_per_request=10)) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        with pytest.raises(ProviderUnavailableError, match="HTTP 503"):
            index.embed(partitions, lambda done, _: provider.behave("status", status=503) if done >= 50 else None)
        paid = index.verify().vectors
        assert 50 <= paid < 200
        assert index.status().documents == 200
        assert index.quarantine() == []
    provider.behave("well")
    provider.reset()
    workbench.sync(_impatient(texts_per_request=10))
    assert provider.stats()["texts"] == 200 - paid
    with workbench.index(_impatient()) as index:
        assert index.verify().equal


def test_a_key_that_is_refused_fails_the_sync_and_quarantines_nothing(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(30)
    with workbench.index(_impatient()) as index:
        index.prepare()
        provider.api_key = "the right one"
        with pytest.raises(ProviderRejectsUsError, match=r"HTTP 401.*EMBEDDING_API_KEY"):
            sync_all(index)
        assert index.quarantine() == []
        assert index.status().documents == 30


def _everything_stored(target: TargetSettings) -> str:
    """Each row of each table outside of the system's, as text."""
    with store_connection.connect(target) as connection:
        tables = connection.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        rows: list[str] = []
        for (table,) in tables:
            rows += [row for (row,) in connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()]
    return "\n".join(rows)


def test_secrets_reach_neither_messages_nor_the_database(
    mysql_database: SourceSettings, pg_database: TargetSettings, provider: MisbehavingProvider
) -> None:
    key, mysql_password = "sk-very-secret-key", "mysql-secret-password"
    embedding = EmbeddingSettings(host=provider.url, model="numbers", api_key=key)
    administrator = Workbench(mysql_database, pg_database, embedding)
    administrator.create_faq(5)
    administrator.mysql("UPDATE faq SET question = 'poison' WHERE id = 2")
    user = f"u{mysql_database.database[-12:]}"
    administrator.mysql(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{mysql_password}'")
    administrator.mysql(f"GRANT SELECT ON {mysql_database.database}.* TO {user}@'127.0.0.1'")
    source = SourceSettings("127.0.0.1", mysql_database.port, user, mysql_password, mysql_database.database)
    workbench = Workbench(source, pg_database, embedding)
    messages: list[str] = [repr(workbench.settings)]
    with workbench.index(_impatient()) as index:
        index.prepare()
        provider.behave("echo key", status=400, requests=1)
        sync_all(index)
        provider.behave("echo key", status=401, requests=1)
        administrator.mysql("UPDATE faq SET question = 'changed' WHERE id = 1")
        with pytest.raises(VectorPipelineError) as refused:
            sync_all(index)
        messages += [str(refused.value), repr(index.quarantine()), repr(index.spec)]
    elsewhere = SourceSettings("127.0.0.1", mysql_database.port, user, mysql_password + "x", mysql_database.database)
    with Workbench(elsewhere, pg_database, embedding).index() as index, pytest.raises(SourceUnavailableError) as no:
        index.detect()
    messages.append(str(no.value))
    wrong = TargetSettings(pg_database.host, pg_database.port, "nobody", "pg-secret-password", pg_database.database)
    with Workbench(source, wrong, embedding).index() as index, pytest.raises(TargetUnavailableError) as nowhere:
        index.status()
    messages.append(str(nowhere.value))
    everything = "\n".join(messages) + _everything_stored(pg_database)
    for secret in (key, mysql_password, "pg-secret-password"):
        assert secret not in everything
    assert "poison" in everything
    administrator.mysql(f"DROP USER {user}@'127.0.0.1'")


def test_a_key_that_comes_twice_fails_the_sync_by_name(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE rows_of_faq (id INT, question TEXT, answer TEXT, link TEXT)")
    workbench.mysql("INSERT INTO rows_of_faq (id, question) VALUES (1, 'one'), (2, 'two')")
    workbench.mysql("CREATE VIEW faq AS SELECT * FROM rows_of_faq")
    workbench.sync(question_only())
    workbench.mysql("INSERT INTO rows_of_faq (id, question) VALUES (2, 'two again')")
    with pytest.raises(VectorPipelineError, match=r"source\.primary_key: two rows have the key '2'.*declare"):
        workbench.sync(question_only())


def test_a_row_without_a_usable_key_stops_no_other_range(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE rows_of_faq (id INT, question TEXT, answer TEXT, link TEXT)")
    numbers = range(1, 301)
    workbench.mysql("INSERT INTO rows_of_faq (id, question) VALUES (%s, 'one')", [(i,) for i in numbers])
    workbench.mysql("CREATE VIEW faq AS SELECT * FROM rows_of_faq")
    workbench.sync(question_only())
    workbench.mysql("UPDATE rows_of_faq SET question = 'changed'")
    workbench.mysql("INSERT INTO rows_of_faq (id, question) VALUES (2, 'two again')")
    with workbench.index(question_only()) as index:
        partitions = [state.partition for state in index.ranges()]
        with pytest.raises(SourceKeyError, match="two rows have the key '2'"):
            list(index.sync_documents(partitions))
    changed = workbench.postgres("SELECT count(*) FROM faq.documents WHERE question = 'changed'")
    assert (len(partitions), changed) == (3, [(200,)])


def test_a_range_that_grew_since_it_was_looked_at_is_cut_before_it_is_read(workbench: Workbench) -> None:
    workbench.create_faq(50)
    with workbench.index(question_only()) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        workbench.add_faq(range(51, 501))
        [facts] = index.sync_documents(partitions)
        assert facts.rows_read == 100
        sync_all(index)
        assert index.verify().equal


def test_a_run_that_fails_while_it_waits_for_anothers_range_ends_before_it_gets_it(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(40)
    spec = question_only(embedding={"provider": {"type": "openai", "texts_per_request": 10}}, range_size=20)
    with workbench.index(spec) as index, store_connection.connect(workbench.target) as another:
        index.detect()
        states = index.ranges()
        list(index.sync_documents([state.partition for state in states]))
        index.status()
        registered = registry.load(another, "faq")
        assert registered is not None
        first, second = (registered.embedding_lock(state.range_id) for state in states)
        for which in (first, second):
            assert locks.try_hold(another, Lock.RANGE_EMBEDDING, which)
        provider.behave("status", status=401)
        runs = AtOnce()
        runs.start(lambda: index.embed([state.partition for state in states]))
        wait_until_one_asks_again_and_again(workbench, another.info.backend_pid)
        locks.release(another, Lock.RANGE_EMBEDDING, first)
        with pytest.raises(ProviderRejectsUsError):
            runs.finish(10)


def wait_until_one_asks_again_and_again(workbench: Workbench, but: int) -> None:
    """Until a session, but for this one, has been asking for a lock for a while."""
    deadline = time.monotonic() + 20
    while not workbench.postgres(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid NOT IN (%s, pg_backend_pid())"
        " AND query LIKE %s AND query_start > backend_start + interval '0.5 s'",
        [but, "%pg_try_advisory_lock%"],
    ):
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)
