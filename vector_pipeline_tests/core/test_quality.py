"""What an index's ANN indexes miss and how it answers its golden set, as numbers; by one generation and by another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vector_pipeline.core.errors import GenerationError
from vector_pipeline.core.quality import GoldenStanding
from vector_pipeline.core.reports import BuiltGeneration
from vector_pipeline.core.search.ann_recall import describe_recall
from vector_pipeline.core.search.golden_run import describe_comparison, describe_golden
from vector_pipeline.core.search.golden_set import GoldenSetError
from vector_pipeline.core.search.relevance import Relevance
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all

ROWS = 30
# What embeds answers in place of questions doesn't find them by their questions any more.
ANSWERS_INSTEAD: dict[str, Any] = {"document": {"text": {"question": "answer"}}}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """Ten questions as they stand in the table."""
    path = tmp_path / "golden.csv"
    path.write_text("query,key\n" + "".join(f"question number {i}?,{i}\n" for i in range(1, 11)))
    return path


def judged_by(golden: Path, floor: dict[str, float] | None = None, **changes: Any) -> IndexSpec:
    search = {"threshold": 0.99, "golden_set": str(golden), "golden_floor": floor or {}}
    return question_only(search=search, **changes)


def build(workbench: Workbench, spec: IndexSpec) -> BuiltGeneration:
    with workbench.index(spec) as index:
        sync_all(index)
        return index.build_next_generation()


def standing(workbench: Workbench, spec: IndexSpec) -> GoldenStanding | None:
    with workbench.index(spec) as index:
        return index.golden_standing()


def test_an_ann_index_is_compared_with_exact_search_field_by_field(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    # Of eight numbers, the sign of the first is next to nothing.
    spec = faq_spec(search={"ann_from_vectors": 600, "ann_prefix": 1})
    workbench.create_faq(700)
    workbench.mysql("UPDATE faq SET answer = 'the same' WHERE id > 100")
    workbench.sync(spec)
    with workbench.index(spec) as index:
        index.refresh_search_index()
        provider.reset()
        report = index.measure_recall(samples=12)
    question, answer = report.fields
    assert (question.field, question.samples) == ("question", 12)
    assert question.recall is not None
    assert question.ann is not None
    assert 0 < question.recall < 0.95
    assert 0 < question.ann.median <= question.ann.p95
    assert report.below == (question,)
    assert "below 0.95" in describe_recall(report)
    assert answer.is_exact
    assert answer.recall is None
    assert "answer: searched exactly" in describe_recall(report)
    assert provider.stats()["requests"] == 0


def test_what_a_vector_serves_itself_neither_helps_nor_hurts_the_recall(workbench: Workbench) -> None:
    spec = question_only(search={"ann_from_vectors": 1})
    workbench.create_faq(60)
    # Each text three times: its own documents are nearest by any index.
    workbench.mysql("UPDATE faq SET question = CONCAT('question ', FLOOR(id / 3))")
    workbench.sync(spec)
    with workbench.index(spec) as index:
        index.refresh_search_index()
        [field] = index.measure_recall().fields
        assert (field.recall, field.method) == (1.0, "hnsw vector")
        assert 10 < field.samples <= 21
        assert index.measure_recall(seconds=0).fields[0].samples == 1


def test_a_golden_set_is_asked_without_the_threshold_and_keys_that_are_gone_count_as_not_found(
    workbench: Workbench, golden: Path
) -> None:
    with golden.open("a") as file:
        file.writelines(f"question number {i}?,gone\n" for i in range(11, 16))
        file.writelines(f"question number {i}?,{i}\nquestion number {i}?,gone too\n" for i in range(16, 21))
    spec = judged_by(golden, {"recall_at_1": 0.7, "mrr": 0.7})
    workbench.create_faq(ROWS)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        report = index.ask_golden_set()
    found = report.relevance
    # Ten are found at once, five not at all, five to a half: 1 ÷ (1 + 1 ÷ log2(3)) of the best gain.
    half = 1 / (1 + 0.6309297535714575)
    assert found == Relevance(*(pytest.approx(v) for v in (0.625, 0.625, 0.625, 0.75, (10 + 5 * half) / 20)))
    assert report.below == ("recall_at_1 is 0.625, below 0.7",)
    assert set(report.missing_keys) == {"gone", "gone too"}
    assert [one.query for one in report.missed] == [f"question number {i}?" for i in range(11, 16)]
    assert "2 keys of it are not in the index" in describe_golden(report)


def test_a_new_generation_is_compared_with_the_served_one_before_the_switch(workbench: Workbench, golden: Path) -> None:
    workbench.create_faq(ROWS)
    workbench.sync(judged_by(golden))
    spec = judged_by(golden, generations={"switch": "approval"}, **ANSWERS_INSTEAD)
    assert build(workbench, spec).obstacles == ("nobody has approved it yet",)
    stands = standing(workbench, spec)
    assert stands is not None
    assert (stands.before.relevance.ndcg_at_10, stands.after.relevance.recall_at_1) == (1.0, 0.0)
    assert str(stands).startswith("new generation: nDCG@10 1.00 → 0.")
    with workbench.index(spec) as index:
        comparison = index.compare_generations()
        assert describe_comparison(comparison).endswith("on 10 queries (0 better, 10 worse)")
        assert index.approve_generation()
        again = index.compare_generations()  # with the one that was served before
        assert (again.before.generation, again.after.generation) == (1, 2)
        assert index.compare_generations(2, 1).better
        with pytest.raises(GenerationError, match="no generation 7"):
            index.compare_generations(1, 7)
    assert str(standing(workbench, spec)) == str(stands)  # of the two that were switched


def test_figures_of_another_mode_are_kept_apart_and_floors_do_not_hold_for_them(
    workbench: Workbench, golden: Path
) -> None:
    workbench.create_faq(ROWS)
    golden.write_text("query,key\nnumber 3,3\nwithout a word of theirs,gone\n")
    spec = judged_by(golden, {"recall_at_10": 0.9})
    workbench.sync(spec)
    with workbench.index(spec) as index:
        by_words = index.ask_golden_set("text")
        as_declared = index.ask_golden_set()
    assert (by_words.mode, by_words.relevance.recall_at_1, by_words.below) == ("text", 0.5, ())
    assert (as_declared.mode, len(as_declared.below)) == ("vector", 1)
    assert "on 2 queries, mode text" in describe_golden(by_words)
    kept = workbench.postgres(
        "SELECT mode, result -> 'relevance' -> 'recall_at_1' FROM vector_pipeline.golden_results ORDER BY mode"
    )
    assert kept == [("text", 0.5), ("vector", as_declared.relevance.recall_at_1)]


def test_answers_below_the_floor_keep_a_generation_from_being_served_until_somebody_approves_it(
    workbench: Workbench, golden: Path, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(ROWS)
    workbench.sync(judged_by(golden))
    spec = judged_by(golden, {"recall_at_1": 0.9}, **ANSWERS_INSTEAD)
    assert build(workbench, spec).obstacles == ("golden set: recall_at_1 is 0.000, below 0.9",)
    provider.reset()
    assert not build(workbench, spec).switched
    with workbench.index(spec) as index:
        assert index.generations().obstacles == ("golden set: recall_at_1 is 0.000, below 0.9",)
    assert provider.stats()["requests"] == 0  # what was asked an hour ago is not asked again
    golden.unlink()
    assert build(workbench, spec).obstacles[0].startswith("its golden set can't be asked: search.golden_set: no file")
    with workbench.index(spec) as index:
        assert index.approve_generation()


def test_without_a_floor_nothing_about_a_golden_set_keeps_a_generation_from_being_served(
    workbench: Workbench, golden: Path
) -> None:
    workbench.create_faq(ROWS)
    workbench.sync(judged_by(golden))
    golden.write_text("query,key\n,1\n")
    assert build(workbench, judged_by(golden, **ANSWERS_INSTEAD)).switched


def test_without_a_golden_set_or_a_second_generation_it_is_said_what_is_lacking(
    workbench: Workbench, golden: Path
) -> None:
    workbench.create_faq(3)
    workbench.sync(question_only())
    with (
        workbench.index(question_only()) as index,
        pytest.raises(GoldenSetError, match="name a CSV file"),
    ):
        index.ask_golden_set()
    with workbench.index(judged_by(golden)) as index, pytest.raises(GenerationError, match="one generation alone"):
        index.compare_generations()
