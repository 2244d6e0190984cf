"""A table of a million rows: what it costs to cut it into ranges, to look at it, and to follow small changes of it.

What can be had as a ratio is measured as one, in the same run: a round of digests beside one scan of the whole table
that computes the very same row hash, interleaved, so that both meet the same weather.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.figures import Figure, Findings
from benchmarks.quiet_ticks import measure_quiet_ticks
from benchmarks.rewritten_rows import count_rewritten
from benchmarks.workplace import Workplace
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.source.catalog import read_table
from vector_pipeline.core.source.connection import close, connect, identifier
from vector_pipeline.core.source.digest import row_hash_expression
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.provider_process import ProviderProcess, provider_process
from vector_pipeline_tests.workbench import Workbench, sync_all

ROWS = 1_000_000
DIMENSIONS = 8
ROUNDS = 3
BUFFER_POOL_BYTES = 2**30
WIDE_RANGE = 5_000
CHANGED_TOGETHER = 5

BOUND_CUT_SECONDS = 10.0
BOUND_ROUND_RATIO = 1.3
BOUND_TICK_MILLISECONDS = 50.0

_LOOK_SECONDS = 0.05

# Some 100 characters a text, each different from all others.
_CREATE = """
CREATE TABLE {table} (
    id BIGINT PRIMARY KEY,
    question TEXT NOT NULL,
    answer VARCHAR(255) NOT NULL,
    link VARCHAR(255) NOT NULL
) CHARACTER SET utf8mb4
"""
_FILL = """
INSERT INTO {table}
SELECT seq,
    CONCAT('How does ', ELT(1 + seq % 4, 'a resident', 'a visitor', 'the owner', 'a tenant'),
           ' of house number ', LPAD(seq, 8, '0'), ' ask for ',
           ELT(1 + seq % 3, 'the renewal of a permit', 'the repair of a lamp   ', 'a copy of the register'),
           ' when the office is shut?'),
    CONCAT('Write to desk ', LPAD(seq % 977, 3, '0'), ' and name the file ', SHA1(seq), ' with ',
           'the day of the visit.'),
    CONCAT('https://www.example.org/services/', SHA1(seq + 7), '/', LPAD(seq, 8, '0'), '.html?from=index')
FROM seq_1_to_{rows:d}
"""


def spec(table: str, **changes: object) -> IndexSpec:
    """An index over one of the tables: one text embedded, two columns served along."""
    sections: dict[str, object] = {
        "name": table,
        "source": {"table": table, "primary_key": "id"},
        "document": {"text": {"question": "question"}, "metadata": {"answer": "answer", "link": "link"}},
        # What it takes to build an ANN index of a million vectors is another question.
        "search": {"threshold": -1.0, "ann_from_vectors": 10 * ROWS},
    }
    return IndexSpec.model_validate(sections | changes)


def measure(place: Workplace) -> Findings:
    """Fills the table within the server, cuts it, digests it, syncs it, and changes little of it."""
    with provider_process(DIMENSIONS) as provider, place.fresh_databases(provider.url) as workbench:
        place.set_buffer_pool(BUFFER_POOL_BYTES)
        _fill(workbench, "big", ROWS)
        figures = [
            *_first_look(workbench),
            *_rounds(workbench),
            *_first_sync(workbench),
            *_one_changed_row(workbench, provider),
            *_quiet_ticks(workbench),
            *_few_changed_rows(workbench),
        ]
    return Findings(
        "Scale",
        f"{ROWS:,} rows of three texts of some 100 characters each, ranges of {spec('big').range_size:,}; one text "
        f"embedded at {DIMENSIONS} dimensions by a provider without delay, the others served along. InnoDB's buffer "
        f"pool is raised to {BUFFER_POOL_BYTES // 2**20:,} MiB, which holds the table; both sides of a ratio are "
        f"warm, interleaved, and medians of {ROUNDS}. No ANN index.",
        figures,
    )


def _fill(workbench: Workbench, table: str, rows: int) -> None:
    workbench.mysql(_CREATE.format(table=table))
    workbench.mysql(_FILL.format(table=table, rows=rows))
    workbench.mysql(f"ANALYZE TABLE {table}")


def _first_look(workbench: Workbench) -> list[Figure]:
    """The first round, which cuts and digests; the cut is over when the last range is there."""
    with workbench.index(spec("big")) as index:
        index.prepare()
        started = time.perf_counter()
        with _watching_ranges(workbench) as cut_at:
            detection = index.detect()
        ended = time.perf_counter()
    assert detection.round_complete, detection
    return [
        Figure("first cut into ranges", max(cut_at) - started, "s", BOUND_CUT_SECONDS),
        Figure("… ranges", detection.ranges_total, ""),
        Figure("first cut and first digests", ended - started, "s"),
    ]


@contextmanager
def _watching_ranges(workbench: Workbench) -> Iterator[list[float]]:
    """Gathers the moments at which there were more ranges than before, as seen from outside, while the block runs."""
    moments: list[float] = []
    over = threading.Event()

    def watch() -> None:
        known = 0
        while True:
            last = over.wait(_LOOK_SECONDS)
            [(ranges,)] = workbench.postgres("SELECT count(*) FROM vector_pipeline.key_ranges")
            if ranges > known:
                known = ranges
                moments.append(time.perf_counter())
            if last:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield moments
    finally:
        over.set()
        watcher.join()


def _rounds(workbench: Workbench) -> list[Figure]:
    """A round over ranges that have not changed, beside one scan with the same row hash, and MySQL's own checksum."""
    plan, scans, rounds, checksums = _plan(workbench), [], [], []
    scan = f"SELECT COUNT(*), BIT_XOR({row_hash_expression(plan)}) FROM {identifier(plan.database, plan.table)}"
    with workbench.index(spec("big")) as index:
        index.prepare()
        _seconds_of(workbench, scan)
        for _ in range(ROUNDS):
            scans.append(_seconds_of(workbench, scan))
            started = time.perf_counter()
            detection = index.detect()
            rounds.append(time.perf_counter() - started)
            assert detection.round_complete, detection
            checksums.append(_seconds_of(workbench, "CHECKSUM TABLE big EXTENDED"))
    ratios = [one / other for one, other in zip(rounds, scans, strict=True)]
    return [
        Figure("round of digests ÷ one scan with the same hash", statistics.median(ratios), "×", BOUND_ROUND_RATIO),
        Figure("… round of digests", statistics.median(rounds), "s"),
        Figure("… one scan", statistics.median(scans), "s"),
        Figure("… CHECKSUM TABLE … EXTENDED, for comparison", statistics.median(checksums), "s"),
    ]


def _plan(workbench: Workbench) -> ReadingPlan:
    source = connect(workbench.source)
    try:
        table = read_table(source, workbench.source.database, "big")
    finally:
        close(source)
    assert table is not None
    return plan_reading(spec("big"), table)


def _seconds_of(workbench: Workbench, statement: str) -> float:
    source = connect(workbench.source)
    try:
        with source.cursor() as cursor:
            started = time.perf_counter()
            cursor.execute(statement)
            cursor.fetchall()
            return time.perf_counter() - started
    finally:
        close(source)


def _first_sync(workbench: Workbench) -> list[Figure]:
    """Documents and vectors, in windows as runs take them."""
    declared = spec("big")
    longest = declared.automation.ranges_per_run
    documents = embedding = 0.0
    with workbench.index(declared) as index:
        due = [state.partition for state in index.due_ranges()]
        for first in range(0, len(due), longest):
            moments = [time.perf_counter()]
            read = sum(facts.rows_read for facts in index.sync_documents(due[first : first + longest]))
            moments.append(time.perf_counter())
            report = index.embed(due[first : first + longest])
            moments.append(time.perf_counter())
            assert report.texts_embedded == read, report
            documents += moments[1] - moments[0]
            embedding += moments[2] - moments[1]
        index.refresh_search_index()
        assert index.status().documents == ROWS
    return [
        Figure("first sync, all rows", documents + embedding, "s"),
        Figure("… documents", documents, "s"),
        Figure("… embeddings", embedding, "s"),
        Figure("… rows per second", ROWS / (documents + embedding), "/s"),
    ]


def _one_changed_row(workbench: Workbench, provider: ProviderProcess) -> list[Figure]:
    """One row changes, and a round of digests finds it."""
    workbench.mysql(f"UPDATE big SET question = 'Who mends the street lamps now?' WHERE id = {ROWS // 2}")
    provider.reset()
    with count_rewritten(workbench, "big") as rewritten, workbench.index(spec("big")) as index:
        synced = sync_all(index)
        asked = provider.stats()["texts"]
        rows_in_range = sum(_rows_of(index, facts.partition) for facts in synced.documents)
    return [
        Figure("one changed row: ranges read", len(synced.documents), "", exactly=1),
        Figure(
            "… rows read ÷ rows of that range",
            sum(facts.rows_read for facts in synced.documents) / rows_in_range,
            "×",
            exactly=1,
        ),
        Figure("… texts sent to the provider", asked, "", exactly=1),
        Figure("… rows rewritten in PostgreSQL", rewritten.rows, "", exactly=1),
    ]


def _rows_of(index: VectorIndex, partition: str) -> int:
    return next(state.rows for state in index.ranges() if state.partition == partition)


def _quiet_ticks(workbench: Workbench) -> list[Figure]:
    ticks = measure_quiet_ticks(workbench, spec("big"), ROUNDS)

    def median(of: list[float]) -> float:
        return 1000 * statistics.median(of)

    return [
        Figure(
            "tick without a change: MySQL's time but for digests",
            median([tick.finding_seconds for tick in ticks]),
            "ms",
            BOUND_TICK_MILLISECONDS,
        ),
        Figure("… MySQL's time for its slice of digests", median([tick.digest_seconds for tick in ticks]), "ms"),
        Figure("… the whole tick", median([tick.seconds for tick in ticks]), "ms"),
        Figure("… runs requested", sum(tick.runs_requested for tick in ticks), "", exactly=0),
    ]


def _few_changed_rows(workbench: Workbench) -> list[Figure]:
    """Some rows of one wide range change: that range is read, and only those rows are written."""
    wide = spec("wide", range_size=WIDE_RANGE)
    _fill(workbench, "wide", 4 * WIDE_RANGE)
    workbench.sync(wide)
    ids = range(WIDE_RANGE + 1, 2 * WIDE_RANGE, WIDE_RANGE // CHANGED_TOGETHER)
    workbench.mysql(
        "UPDATE wide SET answer = CONCAT('No longer: ', answer) WHERE id = %s", [(number,) for number in ids]
    )
    with count_rewritten(workbench, "wide") as rewritten:
        synced = workbench.sync(wide)
    assert len(synced.documents) == 1, synced
    return [
        Figure(
            f"{CHANGED_TOGETHER} changed rows of a range of {WIDE_RANGE:,}: rows rewritten in PostgreSQL",
            rewritten.rows,
            "",
            exactly=CHANGED_TOGETHER,
        )
    ]
