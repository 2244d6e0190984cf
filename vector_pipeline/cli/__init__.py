"""The command line: a few lines each over the same core that Dagster runs."""

from __future__ import annotations

from typing import Any

import click

from vector_pipeline.cli.alerts import alerts
from vector_pipeline.cli.deciding import accept_schema, deletions, generations, quarantine
from vector_pipeline.cli.embedded import demo, dev, stack
from vector_pipeline.cli.environment import load_environment
from vector_pipeline.cli.importing import import_from_earlier_service
from vector_pipeline.cli.init import init
from vector_pipeline.cli.keys import keys
from vector_pipeline.cli.looking import canary, doctor, estimate, quality, status
from vector_pipeline.cli.printing import messages
from vector_pipeline.cli.removing import drop, erase
from vector_pipeline.cli.searching import search, similar, unanswered
from vector_pipeline.cli.serving import mcp, prepare, reload_declarations, serve
from vector_pipeline.cli.syncing import batch, sync, verify
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.log_level import set_up_logging


class _Group(click.Group):
    """Turns our own errors into a message and exit status 2; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VectorPipelineError as error:
            message = str(error).replace("[", r"\[")
            messages.print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
            ctx.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vector-pipeline")
def main() -> None:
    """Keeps vector indexes in PostgreSQL/pgvector true to tables in MySQL."""
    load_environment()
    set_up_logging()


for _command in (
    accept_schema,
    alerts,
    batch,
    canary,
    deletions,
    demo,
    dev,
    doctor,
    drop,
    erase,
    estimate,
    generations,
    import_from_earlier_service,
    init,
    keys,
    mcp,
    prepare,
    quality,
    quarantine,
    reload_declarations,
    search,
    serve,
    similar,
    stack,
    status,
    sync,
    unanswered,
    verify,
):
    main.add_command(_command)
