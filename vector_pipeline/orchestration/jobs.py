"""Jobs of one index: proofs on demand, repair, and what somebody has to decide."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, ROWS, SEARCH_INDEX
from vector_pipeline.orchestration.checks import (
    DECLARATION,
    DELETION_GUARD,
    DETECTORS,
    FRESHNESS,
    PARITY,
    VECTOR_HONESTY,
    parity_result,
    tell_progress,
)
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import Metadata, of_parity, of_range_documents, of_range_embeddings
from vector_pipeline.orchestration.resources import IndexesResource


def build_freshness_job(index: IndexContext) -> UnresolvedAssetJobDefinition:
    """A job that runs the freshness check alone: a sensor that stands still starts no run that would tell."""
    return dg.define_asset_job(
        name=f"{index.prefix}_freshness",
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(index.key(DOCUMENTS), FRESHNESS)),
        description=f"Tells whether index {index.declaration.spec.name} has been compared with its table lately.",
        tags=index.run_tags,
    )


def build_verify_job(index: IndexContext) -> UnresolvedAssetJobDefinition:
    """A job that runs the checks that read the whole index, without refreshing anything."""
    return dg.define_asset_job(
        name=f"{index.prefix}_verify",
        selection=dg.AssetSelection.checks(
            dg.AssetCheckKey(index.key(ROWS), DECLARATION),
            dg.AssetCheckKey(index.key(ROWS), DETECTORS),
            dg.AssetCheckKey(index.key(DOCUMENTS), DELETION_GUARD),
            dg.AssetCheckKey(index.key(SEARCH_INDEX), PARITY),
            dg.AssetCheckKey(index.key(SEARCH_INDEX), VECTOR_HONESTY),
        ),
        description=f"Proves that index {index.declaration.spec.name} equals its table; marks what differs for repair.",
        tags=index.run_tags,
    )


def build_repair_job(index: IndexContext) -> dg.JobDefinition:
    """A job that proves parity, syncs what differs, and proves again."""

    @dg.op(name=f"{index.prefix}_prove_and_repair", out=dg.Out(dg.Nothing))
    def prove_and_repair(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open_for_run(index.declaration, context.run_id) as opened:
            tell = tell_progress(context.log)
            report = opened.verify(mark_dirty=True, on_progress=tell)
            context.log_event(dg.AssetObservation(index.key(SEARCH_INDEX), metadata=of_parity(report)))
            if not report.equal:
                partitions = [state.partition for state in opened.ranges() if state.dirty]
                context.log.info("%d ranges are synced", len(partitions))
                for facts in opened.sync_documents(partitions):
                    context.log_event(_materialization(index, DOCUMENTS, facts.partition, of_range_documents(facts)))
                for embedded in opened.embed(partitions).ranges:
                    context.log_event(
                        _materialization(index, EMBEDDINGS, embedded.partition, of_range_embeddings(embedded))
                    )
                report = opened.verify(mark_dirty=True, on_progress=tell)
            result = parity_result(report)
        context.add_output_metadata(of_parity(report))
        if not report.equal:
            raise dg.Failure(f"index {index.declaration.spec.name}: {result.description}", metadata=result.metadata)

    @dg.job(
        name=f"{index.prefix}_repair",
        description=f"Proves that index {index.declaration.spec.name} equals its table, syncs the ranges that differ, "
        "and proves it again.",
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def repair() -> None:
        prove_and_repair()

    return repair


def _materialization(index: IndexContext, asset: str, partition: str, facts: Metadata) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(index.key(asset), partition=partition, metadata=facts)


def build_deletion_jobs(index: IndexContext) -> list[dg.JobDefinition]:
    """The two jobs by which somebody decides on a mass deletion that is held."""
    name = index.declaration.spec.name

    @dg.op(name=f"{index.prefix}_approve", out=dg.Out(dg.Nothing))
    def approve(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            _refuse_if_nothing_is_held(name, opened.guarded_deletions().held)
            count = opened.approve_deletions()
        context.log.info("up to %d documents may be deleted: syncing goes on with the next look", count)

    @dg.op(name=f"{index.prefix}_reject", out=dg.Out(dg.Nothing))
    def reject(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            _refuse_if_nothing_is_held(name, opened.guarded_deletions().held)
            opened.reject_deletions()
        context.log.info("the documents are kept: syncing goes on once the source has its rows again")

    @dg.job(
        name=f"{index.prefix}_approve_deletions",
        description=f"Lets the held mass deletion of index {name} be carried out.",
        tags=index.decision_tags,
        executor_def=dg.in_process_executor,
    )
    def approve_deletions() -> None:
        approve()

    @dg.job(
        name=f"{index.prefix}_reject_deletions",
        description=f"Keeps what a held mass deletion would take from index {name}, until the source has it again.",
        tags=index.decision_tags,
        executor_def=dg.in_process_executor,
    )
    def reject_deletions() -> None:
        reject()

    return [approve_deletions, reject_deletions]


def _refuse_if_nothing_is_held(name: str, held: bool) -> None:
    if not held:
        raise VectorPipelineError(f"index {name!r} holds no mass deletion: there is nothing to decide")
