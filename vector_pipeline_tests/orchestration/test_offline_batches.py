"""Offline batches as Dagster submits them, asks after them and takes them in."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.workbench import question_only


def priced(**embedding: Any) -> IndexSpec:
    """USD 0.001 a token, online; a numbered question has three, as the provider counts."""
    return question_only(embedding={"price_per_million_tokens": 1000.0} | embedding)


def run_job(location: Location, name: str, *, raise_on_error: bool = True) -> dict[str, Any]:
    """Runs a job of one op; what its op tells."""
    job = location.definitions.resolve_job_def(f"faq_{name}")
    result = job.execute_in_process(instance=location.instance, run_config=QUIET, raise_on_error=raise_on_error)
    outputs = [event.step_output_data for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for output in outputs for name, value in output.metadata.items()}


class Asking:
    """The ticks of the sensor that asks after batches."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self.cursor: str | None = None

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        """What it requests, and why it requests nothing."""
        definitions = self._location.definitions
        with dg.build_sensor_context(
            instance=self._location.instance,
            instance_ref=self._location.instance.get_ref(),
            definitions=definitions,
            resources={"indexes": indexes_from_environment()},
            cursor=self.cursor,
        ) as context:
            result = definitions.resolve_sensor_def("faq_batches").evaluate_tick(context)
        self.cursor = result.cursor
        return list(result.run_requests or []), result.skip_message or ""


@pytest.fixture
def submitted(location: Location) -> Location:
    """An index that nobody synced before, and whose 30 texts are in a batch."""
    location.spec = priced()
    location.workbench.create_faq(30)
    told = run_job(location, "submit_batch")
    assert (told["batches"], told["texts"]) == (1, 30)
    assert told["cost_usd"] > 0
    return location


def test_a_batch_is_asked_after_and_taken_in_when_it_is_over(
    submitted: Location, provider: MisbehavingProvider
) -> None:
    asking = Asking(submitted)
    assert asking.tick() == ([], "batch 1 (batch_1) is validating: 0 of 30 texts")
    provider.offline.finish()
    [request], _ = asking.tick()
    assert request.tags["vector/index"] == "faq"
    told = run_job(submitted, "ingest_batches")
    assert (told["texts_embedded"], told["tokens"], told["cost_usd"]) == (30, 90, pytest.approx(0.045))
    assert asking.tick() == ([], "no offline batch is under way")


@pytest.mark.long
def test_while_a_batch_is_under_way_no_run_is_requested_for_its_texts_and_then_one_that_embeds_none(
    submitted: Location, provider: MisbehavingProvider
) -> None:
    assert not submitted.settle()
    assert "30 texts wait for an offline batch" in (submitted.tick().skip_message or "")
    provider.offline.finish()
    run_job(submitted, "ingest_batches")
    submitted.settle()
    with submitted.opened() as index:
        assert index.verify().equal
        assert index.status().ranges_dirty == 0
    assert provider.stats()["texts"] == 1  # by which the length is measured
    listed = submitted.instance.get_materialized_partitions(submitted.index.key("embeddings"))
    assert listed == set(submitted.partitions())


def test_what_cannot_be_taken_in_is_tried_again_after_a_growing_pause(
    submitted: Location, provider: MisbehavingProvider
) -> None:
    asking = Asking(submitted)
    provider.offline.finish()
    assert asking.tick()[0]
    provider.offline.break_next("content")
    run_job(submitted, "ingest_batches", raise_on_error=False)
    requests, why = asking.tick()
    assert not requests
    assert "after a pause" in why


@pytest.mark.long
def test_a_generation_that_waits_for_a_batch_is_not_built_by_run_after_run(
    location: Location, provider: MisbehavingProvider
) -> None:
    location.spec = priced()
    location.workbench.create_faq(30)
    location.settle()
    location.spec = priced(dimensions=4)
    run_job(location, "submit_batch")
    assert not location.settle()
    provider.offline.finish()
    run_job(location, "ingest_batches")
    assert location.settle()
    with location.opened() as index:
        assert index.generations().served.number == 2
        assert index.generations().served.spent.cost == pytest.approx(0.045)


@pytest.mark.long
def test_a_cancelled_batch_gives_its_texts_back(submitted: Location, provider: MisbehavingProvider) -> None:
    run_job(submitted, "cancel_batches")
    provider.offline.finish("cancelled", answered=10)
    assert run_job(submitted, "ingest_batches")["texts_given_back"] == 20
    submitted.settle()
    with submitted.opened() as index:
        assert index.verify().equal
