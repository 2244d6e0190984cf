"""Jobs about an index's model: a look at its canary texts, and the word that a change of it is meant."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from vector_pipeline.core.model_drift import describe
from vector_pipeline.orchestration.assets import EMBEDDINGS
from vector_pipeline.orchestration.checks import MODEL_DRIFT, note_model
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.resources import IndexesResource


def build_model_drift_job(index: IndexContext) -> UnresolvedAssetJobDefinition:
    """A job that runs the check `model_drift` alone: some forty tokens."""
    return dg.define_asset_job(
        name=f"{index.prefix}_model_drift",
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(index.key(EMBEDDINGS), MODEL_DRIFT)),
        description=f"Tells whether the model of index {index.declaration.spec.name} has changed under its name.",
        tags=index.run_tags,
    )


def build_accept_model_job(index: IndexContext) -> dg.JobDefinition:
    """A job by which somebody says that a change of the model is meant."""
    name = index.declaration.spec.name

    @dg.op(name=f"{index.prefix}_accept_vectors", out=dg.Out(dg.Nothing))
    def accept(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            drift = opened.look_at_model(accept=True)
        context.log.info("the model's vectors of now are the measure: %s", describe(drift))
        note_model(context.instance, index, drift)

    @dg.job(
        name=f"{index.prefix}_accept_model",
        description=f"Takes the vectors that the model of index {name} gives now as the measure of `model_drift`, so "
        "that embedding goes on. What is stored stays as it is.",
        tags=index.decision_tags,
        executor_def=dg.in_process_executor,
    )
    def accept_model() -> None:
        accept()

    return accept_model
