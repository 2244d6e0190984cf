"""`vector-pipeline erase` and `drop`."""

from __future__ import annotations

import click

from vector_pipeline import display
from vector_pipeline.cli.opening import opened_declaration, opened_index
from vector_pipeline.cli.printing import as_json, messages, print_report
from vector_pipeline.core.settings import read_settings
from vector_pipeline.declarations import find_declaration
from vector_pipeline.run_time_indexes import remove_index


@click.command()
@click.argument("index")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@as_json
def erase(index: str, keys: tuple[str, ...], as_json: bool) -> None:
    """Erase rows of INDEX that MySQL no longer has: texts, vectors, quarantine and previews in Dagster, at once.

    Keys are given as search shows them; after `--` they may begin with a minus. What the index hasn't got is told.
    """
    from vector_pipeline.local_instance import ensure_dagster_home  # noqa: PLC0415

    home = ensure_dagster_home()
    import dagster as dg  # noqa: PLC0415 - seconds

    from vector_pipeline.orchestration.erasing import erase_everywhere  # noqa: PLC0415
    from vector_pipeline.orchestration.index_context import IndexContext  # noqa: PLC0415

    declaration = find_declaration(index)
    with opened_declaration(declaration) as opened, dg.DagsterInstance.get() as instance:
        report, events = erase_everywhere(instance, IndexContext(declaration), opened, keys, messages.print)
    print_report(report, as_json, lambda erased: display.erasure(erased, events, home), events=events)


@click.command()
@click.argument("index")
@click.option("--yes", is_flag=True, help="Don't ask.")
def drop(index: str, yes: bool) -> None:
    """Remove INDEX from PostgreSQL, its vectors included. MySQL is not touched.

    One that was declared at run time is not declared any more either.
    """
    if not yes:
        click.confirm(f"Remove index {index} and all its vectors?", abort=True)
    if find_declaration(index).at_run_time:
        remove_index(index, read_settings())
    else:
        with opened_index(index) as opened:
            opened.drop()
    messages.print(f"index {index} is removed")
