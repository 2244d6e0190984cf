"""Offline batches in Dagster: jobs that submit, take in and cancel them, and the sensor that asks after them."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import dagster as dg

from vector_pipeline.core.errors import NotYetSyncedError, VectorPipelineError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import BatchReport
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import of_batches, of_submission
from vector_pipeline.orchestration.resources import IndexesResource
from vector_pipeline.orchestration.runs_in_flight import is_job_at_work
from vector_pipeline.orchestration.sensors import Retries

# A batch takes minutes at least, and up to a day.
SECONDS_BETWEEN_QUESTIONS = 60


def build_batch_jobs(index: IndexContext) -> list[dg.JobDefinition]:
    """Submitting, taking in and cancelling, each as a job."""
    name = index.declaration.spec.name

    def submit(context: dg.OpExecutionContext, opened: VectorIndex) -> None:
        submitted = opened.submit_batches()
        context.add_output_metadata(of_submission(submitted))
        if submitted.paused:
            context.log.warning("texts are left over: %s", submitted.paused)

    def ingest(context: dg.OpExecutionContext, opened: VectorIndex) -> None:
        ended = opened.ingest_batches()
        batches = opened.batches()
        context.add_output_metadata(of_batches(batches, quoting=index.declaration.spec.document.previews))
        for batch in batches[:ended]:
            context.log.info("batch %d is %s: %d texts embedded", batch.number, batch.status, batch.embedded)
            if batch.given_back:
                context.log.warning("%d texts of it are given back; this run's metadata say why", batch.given_back)

    def cancel(context: dg.OpExecutionContext, opened: VectorIndex) -> None:
        context.log.info("%d batches are being cancelled", opened.cancel_batches())

    return [
        _job(index, "submit_batch", submit, f"Sends what index {name} lacks to the offline Batch API: half the price."),
        _job(index, "ingest_batches", ingest, f"Stores what offline batches of index {name} have brought."),
        _job(index, "cancel_batches", cancel, f"Ends the offline batches of index {name} early: the rest is freed."),
    ]


def _job(
    index: IndexContext, job: str, act: Callable[[dg.OpExecutionContext, VectorIndex], None], description: str
) -> dg.JobDefinition:
    @dg.op(name=f"{index.prefix}_{job}_op", out=dg.Out(dg.Nothing))
    def do(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open_for_run(index.declaration, context.run_id) as opened:
            act(context, opened)

    @dg.job(
        name=f"{index.prefix}_{job}",
        description=description,
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def done() -> None:
        do()

    return done


def build_batch_sensor(index: IndexContext, ingest: dg.JobDefinition) -> dg.SensorDefinition:
    """The sensor that asks after offline batches and requests a run of `ingest` when one is over."""
    automation = index.declaration.spec.automation

    @dg.sensor(
        name=f"{index.prefix}_batches",
        job=ingest,
        minimum_interval_seconds=SECONDS_BETWEEN_QUESTIONS,
        default_status=dg.DefaultSensorStatus.STOPPED if automation.paused else dg.DefaultSensorStatus.RUNNING,
        description=f"Asks after offline batches of index {index.declaration.spec.name}, and takes in what is over.",
    )
    def batches(context: dg.SensorEvaluationContext, indexes: IndexesResource) -> dg.RunRequest | dg.SkipReason:
        tries = Retries(**json.loads(context.cursor or "{}"))
        try:
            with indexes.open(index.declaration) as opened:
                if is_job_at_work(context.instance, opened, ingest.name):
                    return dg.SkipReason("a run is taking in what is over")
                needed = opened.batches_need_work()
                described = _described(opened.batches())
        except NotYetSyncedError as error:
            return dg.SkipReason(str(error))
        except VectorPipelineError as error:
            # Our own errors say all; the driver's traceback would bury it, and could hold what must not show.
            raise dg.DagsterInvariantViolationError(str(error)) from None
        if needed and time.time() < tries.not_before:
            return dg.SkipReason(f"the last run did not take all in; the next one comes after a pause. {described}")
        context.update_cursor(json.dumps(asdict(tries.after_a_try(time.time()) if needed else Retries())))
        return dg.RunRequest(tags=index.run_tags) if needed else dg.SkipReason(described)

    return batches


def _described(batches: Sequence[BatchReport]) -> str:
    under_way = [batch for batch in batches if batch.standing != "ended"]
    if not under_way:
        return "no offline batch is under way"
    return "; ".join(
        f"batch {batch.number} ({batch.batch_id}) is {batch.status or batch.standing}: {batch.completed:,} of "
        f"{batch.texts:,} texts"
        for batch in under_way
    )
