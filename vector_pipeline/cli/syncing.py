"""`vector-pipeline sync`, `verify` and `batch`: what makes an index follow its table, and proves it."""

from __future__ import annotations

import sys

import click

from vector_pipeline import display
from vector_pipeline.cli.opening import opened_index
from vector_pipeline.cli.printing import as_json, console, messages, print_report, print_reports, progress
from vector_pipeline.core.counted import counted
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import ParityReport, SyncReport
from vector_pipeline.declarations import find_declaration


@click.command()
@click.argument("index")
@as_json
def sync(index: str, as_json: bool) -> None:
    """Find the dirty key ranges of INDEX and materialise their assets in this process."""
    print_report(_sync(index, quiet=as_json), as_json, display.sync_report)


@click.command()
@click.argument("index")
@click.option("--repair", is_flag=True, help="Mark what differs, sync it, and prove again.")
@as_json
def verify(index: str, repair: bool, as_json: bool) -> None:
    """Prove that INDEX equals its table; exit status 1 if it does not."""
    report = _verify(index, mark_dirty=repair, quiet=as_json)
    if repair and not report.equal:
        if not as_json:
            console.print(display.parity_report(report))
        _sync(index, quiet=as_json)
        report = _verify(index, mark_dirty=False, quiet=as_json)
    print_report(report, as_json, display.parity_report, equal=report.equal)
    sys.exit(0 if report.equal else 1)


@click.command()
@click.argument("index")
@click.argument("action", type=click.Choice(["status", "submit", "ingest", "cancel", "forget"]), default="status")
@as_json
def batch(index: str, action: str, as_json: bool) -> None:
    """Fill INDEX by the provider's offline Batch API: within a day, at half the price.

    submit sends what the declared index lacks. status asks how batches stand, ingest stores what those that are over
    have brought: Dagster does both by itself. cancel ends them early. forget frees their texts without asking the
    provider, which may charge for them all the same.
    """
    with opened_index(index) as opened:
        if action == "submit":
            print_report(opened.submit_batches(), as_json, display.submitted_batches)
            return
        told = _acted_on_batches(opened, action)
        batches = opened.batches()
    if told:
        messages.print(told)
    print_reports(batches, as_json, display.batches)


def _acted_on_batches(opened: VectorIndex, action: str) -> str:
    """Does it, and says what came of it."""
    if action == "ingest":
        return counted(opened.ingest_batches(), "batch has ended", "batches have ended")
    if action == "cancel":
        return counted(opened.cancel_batches(), "batch is being cancelled", "batches are being cancelled")
    if action == "forget":
        return counted(opened.forget_batches(), "text is given back", "texts are given back")
    return "there is something to take in: ingest" if opened.batches_need_work() else ""


def _sync(index: str, *, quiet: bool) -> SyncReport:
    from vector_pipeline.local_instance import ensure_dagster_home  # noqa: PLC0415

    ensure_dagster_home()
    from vector_pipeline.orchestration.in_process import sync_in_process  # noqa: PLC0415 - loads Dagster: seconds

    with progress("ranges", quiet=quiet) as advance:
        return sync_in_process(find_declaration(index), on_progress=advance)


def _verify(index: str, *, mark_dirty: bool, quiet: bool) -> ParityReport:
    with opened_index(index) as opened, progress("ranges", quiet=quiet) as advance:
        return opened.verify(mark_dirty=mark_dirty, on_progress=advance)
