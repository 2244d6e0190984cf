"""Jobs of one index by which somebody decides on texts that the provider refused."""

import dagster as dg
from pydantic import Field

from vector_pipeline.core.counted import counted
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.resources import IndexesResource


class RetryConfig(dg.Config):
    """Which texts are tried again."""

    keys: list[str] = Field(default=[], description="Keys of rows; none for all texts that are not ignored.")


class IgnoreConfig(dg.Config):
    """Which texts are left alone."""

    keys: list[str] = Field(description="Keys of rows.", min_length=1)
    ignored: bool = Field(default=True, description="False takes it back: they are tried again.")


def build_quarantine_jobs(index: IndexContext) -> list[dg.JobDefinition]:
    """One job that has refused texts tried again, and one that has them left alone."""
    name = index.declaration.spec.name

    @dg.op(name=f"{index.prefix}_retry", out=dg.Out(dg.Nothing))
    def retry(context: dg.OpExecutionContext, config: RetryConfig, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            count = opened.retry_quarantine(config.keys or None)
        context.log.info("%s will be tried again by the next sync", counted(count, "text", "texts"))

    @dg.op(name=f"{index.prefix}_ignore", out=dg.Out(dg.Nothing))
    def ignore(context: dg.OpExecutionContext, config: IgnoreConfig, indexes: IndexesResource) -> None:
        with indexes.open(index.declaration) as opened:
            if config.ignored:
                count = opened.ignore_quarantined(config.keys)
                context.log.info(counted(count, "text is ignored from now on", "texts are ignored from now on"))
            else:
                count = opened.unignore_quarantined(config.keys)
                context.log.info("%s will be tried again", counted(count, "text", "texts"))

    @dg.job(
        name=f"{index.prefix}_retry_quarantine",
        description=f"Has the next sync of index {name} try texts again that the provider refused.",
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def retry_quarantine() -> None:
        retry()

    @dg.job(
        name=f"{index.prefix}_ignore_quarantine",
        description=f"Leaves texts of index {name} alone that the provider refused, until they change.",
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def ignore_quarantine() -> None:
        ignore()

    return [retry_quarantine, ignore_quarantine]
