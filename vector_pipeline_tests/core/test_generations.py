"""Another model, or other texts: built beside what is served, switched to when complete, and back again."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.core.errors import GenerationError, ProviderError, SourceValueError
from vector_pipeline.core.generations import GenerationWork
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import BuiltGeneration
from vector_pipeline.core.search import Hit
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.spec import IndexSpec, SearchMode
from vector_pipeline_tests.misbehaving_answers import POISON
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all

SHORTER = {"dimensions": 4}


def build(workbench: Workbench, spec: IndexSpec) -> BuiltGeneration:
    """What a sync of a changed declaration does."""
    with workbench.index(spec) as index:
        sync_all(index)
        return index.build_next_generation()


def best(index: VectorIndex, query: str) -> Hit:
    return index.search(query, limit=1).hits[0]


def standings(workbench: Workbench, spec: IndexSpec) -> dict[int, str]:
    with workbench.index(spec) as index:
        return {one.number: one.standing for one in index.generations().generations}


@pytest.mark.parametrize(
    "change",
    [
        {"embedding": {"model": "another"}},
        {"embedding": SHORTER},
        {"embedding": {"strategy": "concat"}},
        pytest.param({"document": {"text": {"question": "question"}}}, marks=pytest.mark.long),
        pytest.param({"document": {"text": {"answer": "answer", "question": "question"}}}, marks=pytest.mark.long),
        {"document": {"text": {"question": "answer", "answer": "question"}}},
        pytest.param(
            {"document": {"text": {"question": "question", "answer": "answer", "link": "link"}}}, marks=pytest.mark.long
        ),
        {"document": {"text": {"title": "question", "answer": "answer"}, "unique_on": "title"}},
    ],
    ids=["model", "dimensions", "strategy", "fewer", "order", "swapped", "more", "renamed"],
)
def test_a_changed_declaration_is_built_beside_and_served_when_it_is_complete(
    workbench: Workbench, change: dict[str, Any]
) -> None:
    workbench.create_faq(250)
    workbench.sync()
    built = build(workbench, faq_spec(**change))
    assert (built.generation, built.switched, built.obstacles) == (2, True, ())
    with workbench.index(faq_spec(**change)) as index:
        sync_all(index)
        assert index.verify().equal
        assert index.next_generation_work() is GenerationWork.NONE
        question = next(name for name, column in index.spec.document.text.items() if column == "question")
        hit = best(index, "question number 17?")
        assert hit.key == "17" or index.spec.embedding.strategy == "concat"
        assert set(hit.texts) == set(index.spec.document.text)
        if hit.key == "17":
            assert hit.texts[question] == "question number 17?"
    shown = ", ".join(faq_spec(**change).document.text)
    assert workbench.postgres(f"SELECT {shown} FROM faq WHERE id = 17")[0].count("question number 17?") == 1


def test_texts_that_stay_the_same_under_the_same_model_are_not_paid_again(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(50)
    workbench.sync(question_only())
    provider.reset()
    built = build(workbench, faq_spec())  # the answers come to the questions
    assert built.switched
    assert (provider.stats()["texts"], built.texts_embedded) == (50, 50)
    assert provider.times_sent("question number 7?") == 0


def test_search_is_answered_by_the_served_generation_until_the_switch_and_by_the_new_one_after_it(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(150)
    workbench.sync(question_only())
    seen: list[int] = []
    changed = question_only(embedding=SHORTER)
    with workbench.index(changed) as index, workbench.index(changed) as searching:
        sync_all(index)

        def search() -> None:
            assert best(searching, "question number 42?").key == "42"
            seen.append(provider.last_request.get("dimensions", 8))

        index.build_next_generation(search)
        assert best(searching, "question number 42?").key == "42"
    assert set(seen) == {8}
    assert provider.last_request["dimensions"] == 4


def test_changes_of_the_source_go_to_both_generations_until_the_switch(workbench: Workbench) -> None:
    workbench.create_faq(30)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER, generations={"switch": "approval"})
    build(workbench, changed)
    workbench.mysql("UPDATE faq SET question = 'asked anew' WHERE id = 3")
    workbench.mysql("DELETE FROM faq WHERE id = 4")
    workbench.add_faq([31])
    with workbench.index(changed) as index:
        sync_all(index)
        assert best(index, "asked anew").key == "3"
        assert index.build_next_generation().texts_embedded == 2
        assert index.approve_generation()
        assert best(index, "asked anew").key == "3"
        assert best(index, "question number 31?").score == pytest.approx(1, abs=1e-6)
        assert index.verify().equal


def test_where_somebody_has_to_approve_the_switch_it_waits_for_that(workbench: Workbench) -> None:
    workbench.create_faq(30)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER, generations={"switch": "approval"})
    built = build(workbench, changed)
    assert (built.switched, built.obstacles) == (False, ("nobody has approved it yet",))
    assert standings(workbench, changed) == {1: "served", 2: "being built"}
    with workbench.index(changed) as index:
        assert index.next_generation_work() is GenerationWork.APPROVE
        assert index.generations().obstacles == built.obstacles
        assert index.approve_generation()
        assert index.generations().obstacles == ()
    assert standings(workbench, changed) == {1: "kept", 2: "served"}


def test_a_model_that_refuses_more_texts_is_not_served_unless_somebody_approves(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.mysql(f"UPDATE faq SET answer = 'an answer with {POISON}' WHERE id IN (5, 6)")
    workbench.sync(question_only())
    built = build(workbench, faq_spec())
    assert not built.switched
    assert "2 have no vector, 0 in the served generation" in built.obstacles[0]
    with workbench.index(faq_spec()) as index:
        assert index.generations().obstacles == built.obstacles
        assert index.quarantine() == []
        assert [entry.key for entry in index.quarantine(building=True)] == ["5", "6"]
        assert index.approve_generation()
        assert index.generations().served.number == 2
        assert [entry.key for entry in index.quarantine()] == ["5", "6"]
        with pytest.raises(GenerationError, match="is being built"):
            index.quarantine(building=True)


def test_a_refused_text_of_the_generation_being_built_is_tried_again(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.mysql(f"UPDATE faq SET answer = 'an answer with {POISON}' WHERE id = 5")
    workbench.sync(question_only())
    build(workbench, faq_spec())
    workbench.mysql("UPDATE faq SET answer = 'mended' WHERE id = 5")
    built = build(workbench, faq_spec())
    assert (built.texts_embedded, built.switched) == (1, True)


def test_a_model_that_cannot_be_reached_harms_nothing_that_is_served(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.sync(question_only())
    elsewhere = question_only(
        embedding={"model": "m", "provider": {"type": "openai", "host": "http://127.0.0.1:9", "attempts": 1}}
    )
    workbench.add_faq([21])
    with workbench.index(elsewhere) as index:
        sync_all(index)
        with pytest.raises(ProviderError):
            index.build_next_generation()
        assert index.next_generation_work() is GenerationWork.BEGIN
    with workbench.index(question_only()) as index:
        assert best(index, "question number 21?").key == "21"
        assert index.verify().equal


def test_rolling_back_serves_the_earlier_generation_at_once_and_says_how_far_it_is_behind(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(30)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER)
    assert build(workbench, changed).switched
    workbench.mysql("UPDATE faq SET question = 'asked anew' WHERE id = 3")
    workbench.mysql("DELETE FROM faq WHERE id = 4")
    workbench.sync(changed)
    with workbench.index(changed) as index:
        served = index.roll_back()
        assert (served.number, served.standing, served.lag.ranges) == (1, "served", 1)
        hits = {hit.key: hit for hit in index.search("question number 3?", limit=30).hits}
        assert "4" not in hits
        assert (hits["3"].texts["question"], hits["3"].vector_behind) == ("asked anew", True)
        assert "dimensions" not in provider.last_request
        assert index.next_generation_work() is GenerationWork.ROLLED_BACK
        assert index.build_next_generation().generation is None
        sync_all(index)
        assert best(index, "asked anew").score == pytest.approx(1, abs=1e-6)
        index.detect()
        assert not best(index, "asked anew").vector_behind
        assert index.generations().served.lag.ranges == 0
        assert index.verify().equal


@pytest.mark.parametrize("mode", ["vector", "text"])
def test_after_a_rollback_a_document_is_not_behind_any_more_once_its_range_is_synced(
    workbench: Workbench, mode: SearchMode
) -> None:
    workbench.create_faq(150)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER)
    assert build(workbench, changed).switched
    workbench.mysql("UPDATE faq SET question = 'asked anew' WHERE id IN (3, 120)")
    workbench.sync(changed)
    with workbench.index(changed) as index:
        index.roll_back()
        workbench.mysql("UPDATE faq SET question = 'asked anew again' WHERE id = 4")
        index.detect()
        first, _ = index.ranges()
        list(index.sync_documents([first.partition]))
        index.embed([first.partition])
        hits = index.search("asked anew", limit=150, mode=mode).hits
        assert {hit.key: hit.vector_behind for hit in hits if "anew" in (hit.texts["question"] or "")} == {
            "3": False,
            "4": False,
            "120": True,
        }


def test_rows_that_went_while_another_generation_was_served_are_no_mass_deletion_after_a_rollback(
    workbench: Workbench,
) -> None:
    guard = {"share": 0.2, "rows": 10}
    workbench.create_faq(100)
    workbench.sync(question_only(deletion_guard=guard))
    changed = question_only(embedding=SHORTER, deletion_guard=guard)
    build(workbench, changed)
    workbench.mysql("DELETE FROM faq WHERE id > 60")
    with workbench.index(changed) as index:
        index.detect()
        index.approve_deletions()
        assert sync_all(index).deleted == 40
        assert index.roll_back().lag.seconds > 0
        sync_all(index)
        assert not index.guarded_deletions().held
        assert index.verify().equal


def test_a_view_that_others_build_on_keeps_the_generation_that_it_shows(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.sync(faq_spec())
    workbench.postgres("CREATE VIEW public.answers AS SELECT answer FROM public.faq")
    changed = question_only(embedding=SHORTER, generations={"keep_days": 0})
    assert build(workbench, changed).switched
    with workbench.index(changed) as index:
        index.refresh_search_index()
    assert standings(workbench, changed) == {1: "kept", 2: "served"}
    assert workbench.postgres("SELECT count(*) FROM public.answers") == [(5,)]
    workbench.postgres("DROP VIEW public.answers")
    with workbench.index(changed) as index:
        index.refresh_search_index()
        index.refresh_search_index()
    assert standings(workbench, changed) == {2: "served"}


def test_what_was_rolled_back_is_served_again_if_somebody_asks_for_it(workbench: Workbench) -> None:
    workbench.create_faq(30)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER)
    build(workbench, changed)
    with workbench.index(changed) as index:
        index.roll_back()
        workbench.add_faq([31])
        sync_all(index)
        assert not index.approve_generation()  # it lacks a row
        assert index.build_next_generation().switched
        assert index.generations().served.number == 2
        assert best(index, "question number 31?").key == "31"


def test_putting_the_declaration_back_ends_the_build_and_keeps_what_was_paid(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(30)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER, generations={"switch": "approval"})
    build(workbench, changed)
    with workbench.index(question_only()) as index:
        assert index.next_generation_work() is GenerationWork.BEGIN  # that is, to end what is being built
        assert index.build_next_generation().generation is None
        assert index.next_generation_work() is GenerationWork.NONE
    assert standings(workbench, changed) == {1: "served", 2: "kept"}
    provider.reset()
    assert build(workbench, changed).texts_embedded == 0
    assert provider.stats()["texts"] == 0


def test_there_is_nothing_to_go_back_to_before_the_first_switch(workbench: Workbench) -> None:
    workbench.create_faq(1)
    workbench.sync()
    with workbench.index() as index, pytest.raises(GenerationError, match="nothing to go back to"):
        index.roll_back()


def test_a_generation_is_removed_with_all_that_it_alone_needs_when_it_was_kept_for_long_enough(
    workbench: Workbench,
) -> None:
    workbench.create_faq(30)
    workbench.sync(faq_spec())
    changed = question_only(embedding=SHORTER, generations={"keep_days": 1})
    build(workbench, changed)
    workbench.postgres(
        "UPDATE vector_pipeline.generations SET retired_at = now() - interval '2 days' WHERE generation = 1"
    )
    with workbench.index(changed) as index:
        index.refresh_search_index()
        sync_all(index)
        assert index.verify().equal
        assert best(index, "question number 7?").key == "7"
        with pytest.raises(GenerationError):
            index.roll_back()
    tables = {name for (name,) in workbench.postgres("SELECT tablename FROM pg_tables WHERE schemaname = 'faq'")}
    assert tables == {"documents", "passages_2", "vectors_2", "retired_vectors_2"}
    columns = {
        name
        for (name,) in workbench.postgres(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'faq' AND table_name = 'documents'"
        )
    }
    assert "answer" not in columns


def test_vectors_that_a_kept_generation_needs_are_not_retired(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.sync(faq_spec())
    build(workbench, question_only())
    with workbench.index(question_only()) as index:
        index.refresh_search_index()
        index.roll_back()
        assert best(index, "the answer to number 7").key == "7"


def test_a_row_that_cannot_be_read_keeps_the_new_generation_from_being_served_and_no_other_row_from_being_built(
    workbench: Workbench,
) -> None:
    workbench.create_faq(250)
    workbench.sync(question_only())
    spec = question_only(embedding=SHORTER)
    # Half a surrogate, which MariaDB takes for a character.
    workbench.mysql("UPDATE faq SET question = CONVERT(0x61EDA080 USING utf8mb4) WHERE id = 150")
    with workbench.index(spec) as index:
        index.detect()
        with pytest.raises(SourceValueError):
            index.build_next_generation()
        building = index.generations().building
    assert building is not None
    assert (building.ranges_done, building.ranges) == (2, 3)
    assert standings(workbench, spec) == {1: "served", 2: "being built"}


def test_each_generation_can_be_searched_by_its_number_with_the_model_that_made_it(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(30)
    workbench.sync(question_only())
    changed = question_only(embedding=SHORTER, generations={"switch": "approval"})
    build(workbench, changed)
    with workbench.index(changed) as index:
        for number, dimensions in ((1, 8), (2, 4)):
            hits = index.search("question number 17?", limit=1, generation=number).hits
            assert (hits[0].key, hits[0].score) == ("17", pytest.approx(1, abs=1e-6))
            assert provider.last_request.get("dimensions", 8) == dimensions
        with pytest.raises(SearchRequestError, match="no generation 9"):
            index.search("question number 17?", generation=9)


def test_repeated_texts_are_shown_once_while_the_text_that_tells_them_gets_another_name(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.mysql("UPDATE faq SET question = 'the same' WHERE id IN (4, 5, 6)")
    workbench.sync(question_only(document={"text": {"question": "question"}, "unique_on": "question"}))
    renamed = question_only(
        document={"text": {"title": "question"}, "unique_on": "title"}, generations={"switch": "approval"}
    )
    with workbench.index(renamed) as index:
        index.build_next_generation()
        index.refresh_search_index()
        assert workbench.postgres("SELECT count(*) FROM faq") == [(8,)]
        assert index.approve_generation()
        assert workbench.postgres("SELECT count(*) FROM faq") == [(8,)]
        index.roll_back()
        assert workbench.postgres("SELECT count(*) FROM faq") == [(8,)]
