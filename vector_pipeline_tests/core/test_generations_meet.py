"""Generations and what goes on meanwhile: rows that come and go, decisions, cuts, looks at the source, readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from vector_pipeline.core.errors import GenerationError
from vector_pipeline.core.generations import GenerationWork
from vector_pipeline.core.source.digest import EMPTY
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import generations, key_ranges, locks, registry, view
from vector_pipeline_tests import misbehaving_provider
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_answers import POISON
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all

SHORTER = question_only(embedding={"dimensions": 4})


def _build(workbench: Workbench) -> None:
    with workbench.index(SHORTER) as index:
        sync_all(index)
        assert index.build_next_generation().switched


def _delete_and_bring_back(workbench: Workbench, key: int) -> None:
    """Syncs the row's end, and its return, with what it was."""
    row = workbench.mysql(f"SELECT * FROM faq WHERE id = {key}")
    workbench.mysql(f"DELETE FROM faq WHERE id = {key}")
    workbench.sync(SHORTER)
    workbench.mysql("INSERT INTO faq VALUES (%s, %s, %s, %s, %s)", row)
    workbench.sync(SHORTER)


def test_a_row_that_went_and_came_back_while_another_generation_was_served_is_found_after_the_rollback(
    workbench: Workbench,
) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    _build(workbench)
    _delete_and_bring_back(workbench, 5)
    with workbench.index(SHORTER) as index:
        assert index.roll_back().lag.ranges == 1
        sync_all(index)
        assert "5" in {hit.key for hit in index.search("question number 5?", limit=10).hits}
        assert index.verify().equal


def test_a_row_that_went_and_came_back_while_a_build_rested_keeps_it_from_nothing(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    waiting = question_only(embedding={"dimensions": 4}, generations={"switch": "approval"})
    with workbench.index(waiting) as index:
        index.build_next_generation()
    with workbench.index(question_only()) as index:
        index.build_next_generation()
        row = workbench.mysql("SELECT * FROM faq WHERE id = 5")
        workbench.mysql("DELETE FROM faq WHERE id = 5")
        sync_all(index)
        workbench.mysql("INSERT INTO faq VALUES (%s, %s, %s, %s, %s)", row)
        sync_all(index)
    with workbench.index(SHORTER) as index:
        assert index.build_next_generation().obstacles == ()
        assert "5" in {hit.key for hit in index.search("question number 5?", limit=10).hits}


def test_a_build_that_nobody_wants_any_more_stops_and_is_not_served(workbench: Workbench) -> None:
    workbench.create_faq(300)
    spec = question_only(embedding={"dimensions": 4}, automation={"ranges_per_run": 1})
    workbench.sync(question_only())
    windows = 0

    def put_the_declaration_back() -> None:
        nonlocal windows
        windows += 1
        with workbench.index(question_only()) as other:
            other.build_next_generation()

    with workbench.index(spec) as index:
        built = index.build_next_generation(put_the_declaration_back)
    assert not built.switched
    assert windows == 1
    with workbench.index(question_only()) as index:
        assert index.next_generation_work() is GenerationWork.NONE


def test_a_build_that_a_rollback_ended_is_not_served_by_a_run_that_is_under_way(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    _build(workbench)
    third = question_only(embedding={"dimensions": 6})

    def go_back() -> None:
        with workbench.index(third) as other:
            other.roll_back()

    with workbench.index(third) as index:
        assert not index.build_next_generation(go_back).switched
        assert index.generations().served.number == 1


def test_a_look_at_the_source_and_a_build_never_wait_for_each_other(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    with workbench.index(question_only(embedding={"dimensions": 4}, generations={"switch": "approval"})) as index:
        index.build_next_generation()
    with store_connection.connect(workbench.target) as build, store_connection.connect(workbench.target) as look:
        index_id = registry.load(look, "faq")
        assert index_id is not None
        [key_range] = key_ranges.load_ranges(look, index_id)
        with build.transaction():
            build.execute(
                "INSERT INTO vector_pipeline.range_states (range_id, generation, rows, vectors_complete)"
                " VALUES (%s, 99, 0, false)",
                (key_range.range_id,),
            )
            look.execute("SET lock_timeout = '1s'")
            key_ranges.note_source_digest(look, index_id, key_range, EMPTY, datetime.now(UTC))


def test_going_back_and_the_cut_of_a_range_never_wait_for_each_other(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    _build(workbench)
    with store_connection.connect(workbench.target) as going, store_connection.connect(workbench.target) as cutting:
        served = registry.load(cutting, "faq")
        assert served is not None
        earlier = registry.load_generation(cutting, served, 1)
        assert earlier is not None
        [key_range] = key_ranges.load_ranges(cutting, served)
        with going.transaction():
            assert generations.serve(going, served, earlier, only_if_being_built=False)
            cutting.execute("SET lock_timeout = '1s'")
            with key_ranges.changing(cutting, served, range_ids=[key_range.range_id]):
                key_ranges.add_ranges(cutting, served, key_range, ["6"])


def _refuse_a_question(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.mysql(f"UPDATE faq SET question = 'a {POISON} question' WHERE id = 5")
    workbench.sync(question_only())


@pytest.fixture
def bear_poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the provider take what it refused."""
    return lambda: monkeypatch.setattr(misbehaving_provider, "POISON", "a marker that no text has")


# Both generations of these two are in one vector space.
WITH_ANSWERS = faq_spec(generations={"switch": "approval"})


def test_a_text_that_the_served_generation_got_its_vector_for_in_the_end_keeps_no_other_generation_from_the_switch(
    workbench: Workbench, bear_poison: Callable[[], None]
) -> None:
    _refuse_a_question(workbench)
    with workbench.index(WITH_ANSWERS) as index:
        index.build_next_generation()
        assert [entry.key for entry in index.quarantine(building=True)] == ["5"]
        bear_poison()
        index.retry_quarantine()
        assert index.embed([state.partition for state in index.due_ranges()]).texts_embedded == 1
        index.approve_generation()
        index.build_next_generation()
        assert index.generations().served.number == 2
        sync_all(index)
        assert index.verify().equal


def test_a_text_that_a_build_got_its_vector_for_in_the_end_is_found_in_the_served_generation(
    workbench: Workbench, bear_poison: Callable[[], None]
) -> None:
    _refuse_a_question(workbench)
    with workbench.index(WITH_ANSWERS) as index:
        index.build_next_generation()
        bear_poison()
        index.retry_quarantine(building=True)
        assert index.build_next_generation().texts_embedded == 1
        sync_all(index)
        assert index.generations().served.number == 1
        assert "5" in {hit.key for hit in index.search("any", limit=10).hits}
        assert index.verify().equal


def test_what_somebody_took_out_of_service_is_not_built_again_when_the_time_to_keep_it_is_over(
    workbench: Workbench,
) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    refused = question_only(embedding={"dimensions": 4}, generations={"keep_days": 0})
    _build(workbench)
    with workbench.index(refused) as index:
        index.roll_back()
        index.refresh_search_index()
        assert index.next_generation_work() is GenerationWork.ROLLED_BACK
    with workbench.index(question_only(generations={"keep_days": 0})) as index:
        index.refresh_search_index()
        assert [one.number for one in index.generations().generations] == [1]


def test_sql_users_keep_what_was_switched_to_when_somebody_comes_late_who_looked_before(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    with store_connection.connect(workbench.target) as late, workbench.index(question_only()) as index:
        before = registry.load(late, "faq")
        assert before is not None
        plan = index._plan
        _build(workbench)
        view.create_view(late, before, plan, None)
        view.create_nearest_function(late, before, None)
    assert workbench.postgres("SELECT DISTINCT vector_dims(question_embedding) FROM faq") == [(4,)]
    assert workbench.postgres("SELECT id FROM faq.nearest('[1,2,3,4]', 3, 'question')") != []


@pytest.fixture
def brief_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LONGEST_TABLE_WAIT_SECONDS", 0.1)


@contextmanager
def _long_report(workbench: Workbench, on: str) -> Iterator[None]:
    """Somebody who reads and doesn't come to an end."""
    with store_connection.connect(workbench.target) as connection, connection.transaction():
        connection.execute(f"SELECT count(*) FROM {on}".encode())
        yield


@pytest.mark.usefixtures("brief_waits")
def test_going_back_does_not_wait_for_who_reads_the_view_which_follows_afterwards(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    _build(workbench)
    with workbench.index(SHORTER) as index, _long_report(workbench, "public.faq"):
        jobs = AtOnce()
        jobs.start(index.roll_back)
        jobs.finish()
        assert index.generations().served.number == 1
    workbench.sync(question_only())
    assert workbench.postgres("SELECT DISTINCT vector_dims(question_embedding) FROM faq") == [(8,)]


@pytest.mark.usefixtures("brief_waits")
def test_a_generation_whose_documents_somebody_reads_for_long_is_removed_later_and_keeps_no_search_waiting(
    workbench: Workbench,
) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    spec = question_only(embedding={"dimensions": 4}, generations={"keep_days": 0})
    _build(workbench)
    with workbench.index(spec) as index:
        with _long_report(workbench, "faq.documents"):
            jobs = AtOnce()
            jobs.start(index.refresh_search_index)
            jobs.finish()
            assert len(index.generations().generations) == 2
        index.refresh_search_index()
        assert len(index.generations().generations) == 1


@pytest.mark.usefixtures("brief_waits")
def test_a_generation_with_other_texts_is_begun_when_nobody_reads_the_documents_for_long(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    with workbench.index(faq_spec()) as index:
        with _long_report(workbench, "faq.documents"):
            jobs = AtOnce()
            jobs.start(index.build_next_generation)
            with pytest.raises(GenerationError, match="for long"):
                jobs.finish()
            assert index.search("question number 3?", limit=1).hits[0].key == "3"
        assert index.build_next_generation().switched


def test_damage_to_a_generation_that_waits_for_its_approval_is_mended_by_the_next_build(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    with workbench.index(WITH_ANSWERS) as index:
        index.build_next_generation()
        workbench.postgres("DELETE FROM faq.passages_2 WHERE key = '5'")
        assert not index.approve_generation()
        assert index.build_next_generation().switched
        sync_all(index)
        assert index.verify().equal
