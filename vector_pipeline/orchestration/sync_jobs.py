"""The jobs that an API call or an agent starts: one visible run that finds what differs and syncs it.

The sensor does the same by itself, in several runs. These are for somebody who waits for the end of it and wants to be
told how many documents were written.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from vector_pipeline.core.errors import (
    MassDeletionHeldError,
    ProviderError,
    SourceKeyError,
    SourceUnavailableError,
    SourceValueError,
    TargetUnavailableError,
    VectorPipelineError,
)
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import EmbeddingReport, RangeDocuments
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, SEARCH_INDEX
from vector_pipeline.orchestration.build_progress import tell_of_build
from vector_pipeline.orchestration.checks import tell_progress
from vector_pipeline.orchestration.found_ranges import dirty_partitions, tell_of_ranges
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import (
    Metadata,
    of_parity,
    of_range_documents,
    of_range_embeddings,
    of_search_index,
    of_sync,
)
from vector_pipeline.orchestration.pools import pool_of
from vector_pipeline.orchestration.resources import IndexesResource

# Somebody who writes and asks without a pause must not keep a run from its end.
_MOST_ROUNDS = 100


@dataclass
class _Done:
    """What a run has done so far, and the first error that stopped only a part of it."""

    documents: list[RangeDocuments] = field(default_factory=list)
    embedded: list[EmbeddingReport] = field(default_factory=list)
    failure: VectorPipelineError | None = None


def build_sync_jobs(index: IndexContext) -> list[dg.JobDefinition]:
    """`<index>_sync` and `<index>_reindex`."""
    name = index.declaration.spec.name
    return [
        _build(
            index,
            "sync",
            f"Compares index {name} with its table and syncs what differs, in one run.",
            prove=False,
        ),
        _build(
            index,
            "reindex",
            f"Reads the whole table of index {name} again, holds every document, text and vector against it, and makes "
            "anew what differs. Texts that have a sound vector are not paid again.",
            prove=True,
        ),
    ]


def _build(index: IndexContext, kind: str, description: str, *, prove: bool) -> dg.JobDefinition:
    job_name = f"{index.prefix}_{kind}"

    @dg.op(name=f"{index.prefix}_find_and_{kind}", out=dg.Out(dg.Nothing), pool=pool_of(index.declaration.spec))
    def find_and_sync(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        started, done = time.monotonic(), _Done()
        with indexes.open_for_run(index.declaration, context.run_id) as opened:
            for rounds in range(1, _MOST_ROUNDS + 1):
                began = opened.begin_round()
                opened.detect()
                opened.refuse_if_deletions_are_held()
                _sync(context, index, opened, done)
                if prove:
                    # After what is known to differ, so that each row that the proof names is a find of its own.
                    _prove(context, index, opened)
                    _sync(context, index, opened, done)
                if rounds == _MOST_ROUNDS or opened.end_rounds(job_name, context.run_id, began):
                    break
            if prove or opened.search_index_is_due() or not opened.search_index_is_as_declared():
                report = opened.refresh_search_index(tell_of_build(context.log))
                context.log_event(dg.AssetMaterialization(index.key(SEARCH_INDEX), metadata=of_search_index(report)))
        context.add_output_metadata(of_sync(done.documents, done.embedded, rounds, time.monotonic() - started))
        if done.failure is not None:
            raise done.failure

    @dg.job(
        name=job_name,
        description=description,
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def find_and_sync_job() -> None:
        find_and_sync()

    return find_and_sync_job


def _prove(context: dg.OpExecutionContext, index: IndexContext, opened: VectorIndex) -> None:
    report = opened.verify(mark_dirty=True, on_progress=tell_progress(context.log))
    context.log_event(dg.AssetObservation(index.key(SEARCH_INDEX), metadata=of_parity(report)))


def _sync(context: dg.OpExecutionContext, index: IndexContext, opened: VectorIndex, done: _Done) -> None:
    """Syncs the ranges that are dirty now. One that fails keeps no other from being synced.

    Raises:
        MassDeletionHeldError, ProviderError, SourceUnavailableError, TargetUnavailableError: what would stop the next
            ranges as well.
    """
    found = tell_of_ranges(context.instance, index, opened)
    partitions = [state.partition for state in found.states if state.partition in found.dirty]
    context.log.info("%d of %d ranges are dirty", len(partitions), len(found.states))
    longest = index.declaration.spec.automation.ranges_per_run
    for start in range(0, len(partitions), longest):
        # The sensor's runs may have been there meanwhile.
        still_dirty = dirty_partitions(opened, opened.ranges())
        window = [partition for partition in partitions[start : start + longest] if partition in still_dirty]
        if not window:
            continue
        opened.note_attempt(window)
        try:
            _sync_documents(context, index, opened, window, done)
            _embed(context, index, opened, window, done)
        except (ProviderError, SourceUnavailableError, TargetUnavailableError, MassDeletionHeldError):
            raise
        except VectorPipelineError as error:
            context.log.error("%s", error)
            done.failure = done.failure or error


def _sync_documents(
    context: dg.OpExecutionContext, index: IndexContext, opened: VectorIndex, window: Sequence[str], done: _Done
) -> None:
    """A row that can't be taken over is remembered: the documents of all others are there to be embedded."""
    try:
        for facts in opened.sync_documents(window):
            done.documents.append(facts)
            context.log_event(_materialized(index, DOCUMENTS, facts.partition, of_range_documents(facts)))
    except (SourceKeyError, SourceValueError) as error:
        context.log.error("%s", error)
        done.failure = done.failure or error


def _embed(
    context: dg.OpExecutionContext, index: IndexContext, opened: VectorIndex, window: Sequence[str], done: _Done
) -> None:
    report = opened.embed(window)
    done.embedded.append(report)
    for facts in report.ranges:
        context.log_event(_materialized(index, EMBEDDINGS, facts.partition, of_range_embeddings(facts)))
    if report.paused:
        context.log.warning("%s: at least %d texts wait", report.paused, report.texts_waiting)


def _materialized(index: IndexContext, asset: str, partition: str, facts: Metadata) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(index.key(asset), partition=partition, metadata=facts)
