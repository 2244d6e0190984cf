"""`vector-pipeline quarantine`, `deletions`, `generations` and `accept-schema`: what waits for somebody's word."""

from __future__ import annotations

import sys

import click

from vector_pipeline import display
from vector_pipeline.cli.opening import opened_index
from vector_pipeline.cli.printing import as_json, messages, print_report, print_reports
from vector_pipeline.core.counted import counted
from vector_pipeline.core.errors import VectorPipelineError


@click.command()
@click.argument("index")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--retry", is_flag=True, help="Let the next sync try them again at once, or all that are not ignored.")
@click.option("--ignore", is_flag=True, help="Leave the texts of these rows alone until they change.")
@click.option("--unignore", is_flag=True, help="Take that back: the next sync tries them again.")
@click.option("--building", is_flag=True, help="Of the generation that is being built, not of the served one.")
@as_json
def quarantine(
    index: str, keys: tuple[str, ...], retry: bool, ignore: bool, unignore: bool, building: bool, as_json: bool
) -> None:
    """List the texts of INDEX that the provider refused, of all rows or of those with a KEY, and decide on them."""
    if retry + ignore + unignore > 1:
        raise click.UsageError("--retry, --ignore and --unignore exclude each other")
    if (ignore or unignore) and not keys:
        raise click.UsageError(f"--{'ignore' if ignore else 'unignore'} needs the keys of rows")
    with opened_index(index) as opened:
        if retry:
            freed = opened.retry_quarantine(keys or None, building=building)
            messages.print(f"{counted(freed, 'text', 'texts')} will be tried again by the next sync")
        elif ignore:
            ignored = opened.ignore_quarantined(keys, building=building)
            told = counted(ignored, "text is ignored until it changes", "texts are ignored until they change")
            messages.print(told)
        elif unignore:
            freed = opened.unignore_quarantined(keys, building=building)
            messages.print(f"{counted(freed, 'text', 'texts')} will be tried again by the next sync")
        entries = [entry for entry in opened.quarantine(building=building) if not keys or entry.key in keys]
    print_reports(entries, as_json, display.quarantine)


@click.command()
@click.argument("index")
@click.option("--approve", "decision", flag_value="approve", help="Let the held deletions be carried out.")
@click.option("--reject", "decision", flag_value="reject", help="Keep the documents until the source has them again.")
@as_json
def deletions(index: str, decision: str | None, as_json: bool) -> None:
    """Tell whether a mass deletion of INDEX is held, and decide on it; exit status 1 while one is held."""
    with opened_index(index) as opened:
        guarded = opened.guarded_deletions()
        if decision is not None and not guarded.held:
            raise VectorPipelineError(f"index {index!r} holds no mass deletion: there is nothing to decide")
        if decision == "approve":
            count = opened.approve_deletions()
            messages.print(f"up to {counted(count, 'document', 'documents')} may be deleted by the next syncs")
        elif decision == "reject":
            opened.reject_deletions()
        guarded = opened.guarded_deletions()
    print_report(guarded, as_json, display.guarded_deletions, held=guarded.held)
    sys.exit(1 if guarded.held else 0)


@click.command()
@click.argument("index")
@click.option(
    "--switch",
    "decision",
    flag_value="switch",
    help="Let the generation that is declared be served once it is complete, also if it was rolled back or refuses "
    "texts.",
)
@click.option("--roll-back", "decision", flag_value="roll back", help="Serve the generation that was served before.")
@as_json
def generations(index: str, decision: str | None, as_json: bool) -> None:
    """Show the generations of INDEX, and decide which one is served."""
    with opened_index(index) as opened:
        if decision == "switch":
            switched = opened.approve_generation()
            messages.print(
                "it is served from now on" if switched else f"approved: sync {index}, and it is served once complete"
            )
        elif decision == "roll back":
            served = opened.roll_back()
            messages.print(
                f"generation {served.number} is served from now on; it is behind in "
                f"{counted(served.lag.ranges, 'key range', 'key ranges')} "
                f"({counted(served.lag.rows, 'row', 'rows')} at least), which the next sync mends"
            )
        report = opened.generations()
    print_report(report, as_json, display.generations)


@click.command("accept-schema")
@click.argument("index")
def accept_schema(index: str) -> None:
    """Take the columns of INDEX's table as they are now, after a change of their types that is meant."""
    with opened_index(index) as opened:
        changes = opened.accept_schema()
    for change in changes:
        messages.print(f"accepted: {change}", highlight=False, soft_wrap=True, markup=False)
    if not changes:
        messages.print(f"no column of index {index} has become something else")
