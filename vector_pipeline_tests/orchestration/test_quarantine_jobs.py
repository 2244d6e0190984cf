"""Deciding on refused texts in Dagster, and what the check `no_quarantine` says afterwards."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.workbench import sync_all


@pytest.fixture
def poisoned(location: Location) -> Location:
    """An index two of whose rows the provider refuses."""
    location.workbench.create_faq(5)
    location.workbench.mysql("UPDATE faq SET question = CONCAT('poison ', id) WHERE id IN (2, 4)")
    with location.opened() as index:
        sync_all(index)
    return location


def decide(location: Location, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    op = job.removesuffix("_quarantine")
    return location.definitions.resolve_job_def(job).execute_in_process(
        instance=location.instance, run_config=QUIET | {"ops": {op: {"config": config}}}, raise_on_error=False
    )


def ignored(location: Location) -> list[str]:
    with location.opened() as index:
        return [entry.key for entry in index.quarantine() if entry.ignored_at is not None]


def due(location: Location) -> int:
    with location.opened() as index:
        return len(index.due_ranges())


def test_the_check_counts_ignored_texts_and_fails_for_the_others_alone(poisoned: Location) -> None:
    assert decide(poisoned, "faq_ignore_quarantine", keys=["2"]).success
    one = poisoned.check("no_quarantine")
    assert not one.passed
    assert one.description == "1 text without a vector, beside 1 that is ignored; rows: 4 (question)"
    assert decide(poisoned, "faq_ignore_quarantine", keys=["4"]).success
    none = poisoned.check("no_quarantine")
    assert none.passed
    assert none.description == "every text has its vector, but for 2 that are ignored"
    assert (none.metadata["quarantined"].value, none.metadata["ignored"].value) == (2, 2)
    assert "ignored" in str(none.metadata["entries"].value)


def test_ignoring_is_taken_back_by_the_same_job(poisoned: Location) -> None:
    decide(poisoned, "faq_ignore_quarantine", keys=["2", "4"])
    assert ignored(poisoned) == ["2", "4"]
    assert decide(poisoned, "faq_ignore_quarantine", keys=["4"], ignored=False).success
    assert ignored(poisoned) == ["2"]
    assert due(poisoned) == 1


@pytest.mark.parametrize("keys", [["2"], []], ids=["one row", "all"])
def test_a_job_has_refused_texts_tried_again(poisoned: Location, keys: list[str]) -> None:
    assert due(poisoned) == 0
    assert decide(poisoned, "faq_retry_quarantine", keys=keys).success
    assert due(poisoned) == 1


@pytest.mark.parametrize("job", ["faq_retry_quarantine", "faq_ignore_quarantine"])
def test_a_job_fails_by_name_for_a_row_without_a_quarantined_text(poisoned: Location, job: str) -> None:
    result = decide(poisoned, job, keys=["2", "3"])
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "index 'faq' has no text in quarantine of row '3'" in str(failure.step_failure_data.error)
    assert (ignored(poisoned), due(poisoned)) == ([], 0)


def test_ignoring_asks_for_keys(poisoned: Location) -> None:
    assert not decide(poisoned, "faq_ignore_quarantine", keys=[]).success
