"""The most memory that a sync takes, and that it does not grow with the number of rows.

What is weighed is the syncing process alone: the provider and the servers are processes of their own.
"""

from __future__ import annotations

from benchmarks.figures import Figure, Findings
from benchmarks.workplace import Workplace, fill_faq, questions
from vector_pipeline_tests import syncing_process
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.syncing_process import Outcome
from vector_pipeline_tests.workbench import Workbench, question_only

ROWS = 50_000
MORE_ROWS = 100_000
DIMENSIONS = 1_024
MEGABYTE = 1_000_000
BOUND_MEGABYTES = 600.0
BOUND_GROWTH = 1.10


def measure(place: Workplace) -> Findings:
    """Syncs the two numbers of rows, each into empty databases and in a process of its own."""
    outcomes = []
    with provider_process(DIMENSIONS) as provider:
        for rows in (ROWS, MORE_ROWS):
            with place.fresh_databases(provider.url) as workbench:
                outcomes.append(sync_in_a_process(workbench, rows))
    return Findings(
        "Memory",
        f"Rows with a question of 60 characters at {DIMENSIONS:,} dimensions, range size 1,000, 50 ranges per run, one "
        "process from the first run to the last. Peak of its resident memory (VmHWM), imports included.",
        figures(*outcomes),
    )


def sync_in_a_process(workbench: Workbench, rows: int) -> Outcome:
    """Fills the table `faq`, and syncs it in a process that tells its peak."""
    fill_faq(workbench, questions(rows))
    outcome = syncing_process.finish(syncing_process.start(question_only(range_size=1000), workbench.settings))
    assert outcome.embedded == rows, outcome
    return outcome


def figures(fewer: Outcome, more: Outcome) -> list[Figure]:
    """The bounds of a sync's memory."""
    return [
        Figure(f"peak memory, {ROWS:,} rows", fewer.peak_bytes / MEGABYTE, "MB", BOUND_MEGABYTES),
        Figure(f"peak memory, {MORE_ROWS:,} rows", more.peak_bytes / MEGABYTE, "MB", BOUND_MEGABYTES * BOUND_GROWTH),
        Figure(f"{MORE_ROWS:,} rows ÷ {ROWS:,} rows", more.peak_bytes / fewer.peak_bytes, "×", BOUND_GROWTH),
        Figure(f"duration, {ROWS:,} rows", fewer.seconds, "s"),
        Figure(f"duration, {MORE_ROWS:,} rows", more.seconds, "s"),
    ]
