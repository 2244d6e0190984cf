"""A job that tells what a backfill would cost before somebody starts it."""

import dagster as dg
from pydantic import Field

from vector_pipeline.core.estimating import MOST_ROWS
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import of_estimate
from vector_pipeline.orchestration.resources import IndexesResource


class EstimateConfig(dg.Config):
    """How much may be read."""

    rows: int = Field(default=MOST_ROWS, ge=1, description="Of more rows to be read than this, only a share is.")


def build_estimate_job(index: IndexContext) -> dg.JobDefinition:
    """A job that estimates what the declared index lacks, without asking the provider."""
    name = index.declaration.spec.name

    @dg.op(name=f"{index.prefix}_estimate_embedding", out=dg.Out(dg.Nothing))
    def estimate(context: dg.OpExecutionContext, config: EstimateConfig, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            found = opened.estimate(config.rows)
        context.log.info(
            "%s: %d texts of %d rows have no vector yet: %d tokens, %s",
            found.about,
            found.texts,
            found.rows,
            found.tokens,
            "of unknown price" if found.cost is None else f"{found.cost:.6f} USD",
        )
        context.add_output_metadata(of_estimate(found))

    @dg.job(
        name=f"{index.prefix}_estimate",
        description=f"Tells what it would take to embed what index {name} lacks: texts, tokens, cost and time. Asks no "
        "provider.",
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def estimate_job() -> None:
        estimate()

    return estimate_job
