"""Erasing rows of an index wherever the project keeps them: in PostgreSQL, and in Dagster's event log."""

import time
from collections.abc import Callable, Sequence

import dagster as dg
from pydantic import Field

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import ErasureReport
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS
from vector_pipeline.orchestration.event_log import erase_from_event_log
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.resources import IndexesResource
from vector_pipeline.orchestration.runs_in_flight import WORKING, is_alive

_SECONDS_BETWEEN_LOOKS = 0.5

Tell = Callable[[str], None]


def erase_everywhere(
    instance: dg.DagsterInstance, index: IndexContext, opened: VectorIndex, keys: Sequence[str], tell: Tell
) -> tuple[ErasureReport, int]:
    """Erases rows that MySQL no longer has. Returns what was erased, and how many of Dagster's events showed the rows.

    A run that read its preview before may still report it: such runs are waited for, and the events looked at again.

    Raises:
        ErasureError: a row is still in MySQL, or what is given is no key; nothing is erased.
    """
    report = opened.erase(keys)
    at_work = _runs_that_may_preview(instance, index)
    events = erase_from_event_log(instance, index, keys)
    waited = False
    for run_id in at_work:
        while _is_at_work(instance, opened, run_id):
            if not waited:
                tell(f"erased; run {run_id} is at work, and may have read a preview before: its end is waited for")
            waited = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    return report, events + (erase_from_event_log(instance, index, keys) if at_work else 0)


def _runs_that_may_preview(instance: dg.DagsterInstance, index: IndexContext) -> list[str]:
    ours = {index.key(DOCUMENTS), index.key(EMBEDDINGS)}
    records = instance.get_run_records(dg.RunsFilter(statuses=list(WORKING)))
    return [r.dagster_run.run_id for r in records if ours & (r.dagster_run.asset_selection or set())]


def _is_at_work(instance: dg.DagsterInstance, opened: VectorIndex, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in WORKING and is_alive(instance, opened, run)


class EraseConfig(dg.Config):
    """Which rows are erased."""

    keys: list[str] = Field(description="Keys of rows, as the index shows them.", min_length=1)


def build_erase_job(index: IndexContext) -> dg.JobDefinition:
    """A job that erases rows that MySQL no longer has."""

    @dg.op(name=f"{index.prefix}_erase_rows", out=dg.Out(dg.Nothing))
    def erase_rows(context: dg.OpExecutionContext, config: EraseConfig, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            report, events = erase_everywhere(context.instance, index, opened, config.keys, context.log.info)
        context.add_output_metadata(
            {
                "rows_erased": len(report.erased),
                "rows_absent": len(report.absent),
                "passages": report.passages,
                "vectors": report.vectors,
                "quarantined": report.quarantined,
                "events": events,
                "seconds": round(report.seconds, 3),
            }
        )

    @dg.job(
        name=f"{index.prefix}_erase",
        description=f"Erases rows of index {index.declaration.spec.name} that are gone from MySQL, with their texts "
        "and vectors, and takes them out of Dagster's previews.",
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def erase() -> None:
        erase_rows()

    return erase
