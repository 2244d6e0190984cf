"""Failing runs: what was committed before is kept and shown, and the error says what to do."""

from __future__ import annotations

import time

import pytest

from vector_pipeline.orchestration import sensors
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import faq_spec

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def test_ranges_that_were_embedded_before_the_provider_went_down_are_shown_as_done(
    location: Location, provider: MisbehavingProvider
) -> None:
    location.spec = faq_spec(embedding={"provider": {"type": "openai", "attempts": 1}})
    location.workbench.create_faq(300)
    location.tick()
    first, second, third = location.partitions()
    assert location.materialize("documents", "embeddings", tags={"dagster/partition": second}).success
    provider.behave("status", status=503)
    result = location.materialize("documents", "embeddings", tags={RANGE_START: first, RANGE_END: third})
    shown = location.instance.get_materialized_partitions
    assert shown(location.index.key("documents")) == {first, second, third}
    assert shown(location.index.key("embeddings")) == {second}
    [failed] = [event for event in result.get_step_failure_events() if event.step_key == "faq__embeddings"]
    error = failed.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.cls_name == "ProviderUnavailableError"


@pytest.mark.long
def test_a_search_index_that_fails_is_tried_again_after_a_pause_that_grows(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    location.workbench.create_faq(50)
    for request in location.tick().run_requests or []:
        assert location.run(request).success
    now = time.time()
    asked = []
    for seconds in range(0, 300, 30):
        monkeypatch.setattr(sensors.time, "time", lambda seconds=seconds: now + seconds)
        if location.tick().run_requests:
            asked.append(seconds)
    assert asked == [0, 30, 90, 210]


@pytest.mark.long
def test_a_search_index_that_succeeded_is_asked_for_at_once_when_it_is_due_again(location: Location) -> None:
    location.workbench.create_faq(50)
    assert len(location.settle()) == 2
    location.workbench.postgres("UPDATE vector_pipeline.embedding_indexes SET search_refreshed_at = NULL")
    [request] = location.settle()
    assert request.asset_selection == [location.index.key("search_index")]
