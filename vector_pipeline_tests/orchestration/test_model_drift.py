"""A changed model as ops see it: a failing check, embedding that stands still while documents go on, and a job."""

from __future__ import annotations

import dagster as dg
import pytest

from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import QUIET, Location


@pytest.fixture
def synced(location: Location) -> Location:
    location.workbench.create_faq(30)
    location.settle()
    return location


def _shown(location: Location) -> list[str]:
    key = dg.AssetCheckKey(location.index.key("embeddings"), "model_drift")
    history = location.instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    return [record.status.value for record in reversed(history)]


def test_a_changed_model_fails_the_check_and_embedding_but_not_documents(
    synced: Location, provider: MisbehavingProvider
) -> None:
    assert synced.check("model_drift").passed
    provider.behave("other model")
    evaluation = synced.check("model_drift")
    assert not evaluation.passed
    assert "Model numbers of index faq has changed under its name" in (evaluation.description or "")
    assert "job faq_accept_model" in (evaluation.description or "")
    assert set(evaluation.metadata) >= {"model", "similarity", "threshold", "since", "last_well"}
    synced.workbench.add_faq([31])
    [request] = synced.tick().run_requests or []
    run = synced.run(request)
    assert not run.success
    assert [event.asset_key.path[-1] for event in run.get_asset_materialization_events() if event.asset_key] == [
        "documents"
    ]


@pytest.mark.long
def test_what_a_run_finds_is_shown_by_the_next_look_of_the_sensor(
    synced: Location, provider: MisbehavingProvider
) -> None:
    synced.workbench.postgres("UPDATE vector_pipeline.canary_looks SET compared_at = now() - interval '2 hours'")
    provider.behave("other model")
    synced.workbench.add_faq([31])
    [request] = synced.tick().run_requests or []
    assert not synced.run(request).success
    synced.tick()
    assert _shown(synced) == ["SUCCEEDED", "FAILED"]


def test_the_job_that_accepts_the_model_lets_embedding_go_on(synced: Location, provider: MisbehavingProvider) -> None:
    provider.behave("other model")
    synced.check("model_drift")
    job = synced.definitions.resolve_job_def("faq_accept_model")
    assert job.execute_in_process(instance=synced.instance, run_config=QUIET).success
    synced.workbench.add_faq([31])
    synced.settle()
    assert synced.check("model_drift").passed
    assert synced.check("parity").passed


def test_a_provider_that_is_down_is_no_changed_model_but_a_warning(
    synced: Location, provider: MisbehavingProvider
) -> None:
    provider.behave("status", status=401)
    evaluation = synced.check("model_drift")
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert (evaluation.description or "").startswith("not looked at: ")
