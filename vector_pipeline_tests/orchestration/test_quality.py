"""How good the answers of an index are, in Dagster: checks whose numbers are plotted, and jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from vector_pipeline.orchestration import compare_search_job
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.workbench import question_only

SECRET = "number 3"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "golden.csv"
    path.write_text("query,key\n" + "".join(f"question number {i}?,{i}\n" for i in range(1, 6)))
    return path


@pytest.fixture
def judged(location: Location, golden: Path) -> Location:
    """An index of 60 rows with ANN index and golden set."""
    location.spec = question_only(search=searched(golden))
    location.workbench.create_faq(60)
    return location


def searched(golden: Path, **floor: float) -> dict[str, Any]:
    return {"threshold": 0.5, "ann_from_vectors": 10, "golden_set": str(golden), "golden_floor": floor}


def numbers(evaluation: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_search_index_is_measured_with_its_materialisation(judged: Location) -> None:
    [_, request] = judged.settle()
    result = judged.materialize("search_index", checks=["recall", "golden_set"])
    shown = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert request.asset_selection == [judged.index.key("search_index")]
    assert request.asset_check_keys is None  # all of its checks
    assert all(evaluation.passed for evaluation in shown.values())
    recall, golden = numbers(shown["recall"]), numbers(shown["golden_set"])
    assert recall["recall_at_10"] == 1.0
    assert {"ann_median_ms", "ann_p95_ms", "exact_median_ms", "exact_p95_ms"} <= recall.keys()
    assert (golden["ndcg_at_10"], golden["recall_at_1"], golden["mrr"], golden["queries"]) == (1.0, 1.0, 1.0, 5)


def test_a_field_that_is_searched_exactly_passes_and_says_so(location: Location) -> None:
    location.workbench.create_faq(10)
    location.settle()
    evaluation = location.check("recall")
    assert evaluation.passed
    assert "question: searched exactly" in (evaluation.description or "")
    assert "recall_at_10" not in evaluation.metadata
    keys = location.definitions.resolve_asset_graph().asset_check_keys
    assert "golden_set" not in {key.name for key in keys}


def test_answers_below_a_floor_and_a_broken_file_fail_the_check_and_a_provider_that_is_down_warns(
    judged: Location, golden: Path, provider: MisbehavingProvider
) -> None:
    judged.settle()
    judged.spec = question_only(
        search=searched(golden, recall_at_1=0.9), embedding={"provider": {"type": "openai", "attempts": 1}}
    )
    with golden.open("a") as file:
        file.write("question number 7?,8\n")
    evaluation = judged.check("golden_set")
    assert not evaluation.passed
    assert "recall_at_1 is 0.833, below 0.9" in (evaluation.description or "")
    provider.behave("status", status=503, message="away")
    evaluation = judged.check("golden_set")
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    golden.write_text("query,key\nwhat?,\n")
    assert "golden.csv, line 2, column key: it is empty" in (judged.check("golden_set").description or "")


@pytest.mark.long
def test_a_generation_that_waits_is_shown_with_what_the_golden_set_says_and_the_job_compares_both(
    judged: Location, golden: Path
) -> None:
    judged.settle()
    judged.spec = question_only(
        search=searched(golden),
        document={"text": {"question": "answer"}, "previews": False},
        generations={"switch": "approval"},
    )
    judged.settle()
    waiting = judged.check("generation")
    assert not waiting.passed
    assert "new generation: nDCG@10 1.00 → 0." in (waiting.description or "")
    assert numbers(waiting)["ndcg_at_10_before"] == 1.0
    job = judged.definitions.resolve_job_def("faq_compare_generations")
    result = job.execute_in_process(instance=judged.instance, run_config=QUIET)
    [output] = [event for event in result.all_events if event.is_successful_output]
    shown = {name: value.value for name, value in output.step_output_data.metadata.items()}
    assert (shown["better"], shown["worse"], shown["recall_at_1_after"]) == (0, 5, 0.0)
    assert "| generation 1   | generation 2   |" in str(shown["golden_set"])
    assert "no. 3" in str(shown["answered_worse"])  # without previews, questions are not quoted
    assert SECRET not in str(shown)


@pytest.mark.long
@pytest.mark.parametrize("job", ["nightly", "on demand"])
def test_the_night_measures_and_so_does_a_job_at_any_time(judged: Location, job: str) -> None:
    judged.settle()
    definitions = judged.definitions
    nightly = definitions.resolve_schedule_def("faq_nightly_search_index").job_name
    name = {"nightly": nightly, "on demand": "faq_quality"}[job]
    result = definitions.resolve_job_def(name).execute_in_process(instance=judged.instance, run_config=QUIET)
    assert {evaluation.check_name for evaluation in result.get_asset_check_evaluations()} == {"recall", "golden_set"}


@pytest.mark.long
def test_the_job_asks_the_golden_set_in_more_modes_whose_numbers_are_their_own(judged: Location) -> None:
    judged.settle()
    job = judged.definitions.resolve_job_def("faq_quality")
    [check] = [node.name for node in job.nodes if "golden_set" in node.name]
    modes = {"ops": {check: {"config": {"modes": ["text", "vector", "text"]}}}}
    result = job.execute_in_process(instance=judged.instance, run_config=modes | QUIET)
    [shown] = [numbers(one) for one in result.get_asset_check_evaluations() if one.check_name == "golden_set"]
    assert (shown["mode"], shown["recall_at_1"], shown["text_recall_at_1"]) == ("vector", 1.0, 1.0)
    assert "vector_recall_at_1" not in shown


@pytest.mark.long
@pytest.mark.parametrize("previews", [True, False])
def test_one_query_is_asked_of_several_generations_and_shown_side_by_side(
    judged: Location, golden: Path, monkeypatch: pytest.MonkeyPatch, previews: bool
) -> None:
    judged.settle()
    judged.spec = question_only(
        search=searched(golden),
        document={"text": {"question": "answer"}, "previews": previews},
        generations={"switch": "approval"},
    )
    judged.settle()
    monkeypatch.setattr(compare_search_job, "find_declaration", {"faq": judged.index.declaration}.__getitem__)
    asked = {"index": "faq", "query": "question number 3?", "limit": 2, "threshold": -1.0, "modes": ["vector", "text"]}
    job = judged.definitions.resolve_job_def("compare_search_job")
    result = job.execute_in_process(
        instance=judged.instance, run_config={"ops": {"compare_search": {"config": asked}}} | QUIET
    )
    first = result.output_for_node("compare_search")[0]
    [output] = [event for event in result.all_events if event.is_successful_output]
    shown = {name: value.value for name, value in output.step_output_data.metadata.items()}
    assert (first["key"], first["generation 1, vector"]["rank"]) == ("3", 1)
    assert "| 3     | 1 (1.000)" in str(shown["side_by_side"])
    assert ("question number 3?" in str(shown)) == previews
