"""From COMMIT in MySQL to searchable, with the real daemon and the settings that an index has by default.

One changed row at a time, at random moments. A new text is searchable when the row is found by its vector, a deleted
row when it is gone. Where the time goes is told by the records that Dagster keeps of its ticks and runs.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.dagster_daemon import dagster_daemon
from benchmarks.figures import Figure, Findings
from benchmarks.run_story import STAGES, tell_stages
from benchmarks.workplace import Workplace, fill_faq, questions
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.components.declared import faq_attributes
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.workbench import Workbench, sync_all

ROWS = 100_000
DIMENSIONS = 64
DELAY_MS = 50

_LONGEST_PAUSE_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_GIVE_UP_SECONDS = 300.0

_SERVED = """
SELECT EXISTS (
    SELECT FROM latency.documents d JOIN latency.passages_1 p USING (key)
    WHERE d.key = %s AND d.question = %s AND p.served_hash = p.content_hash)
"""
_GONE = "SELECT NOT EXISTS (SELECT FROM latency.documents WHERE key = %s)"


@dataclass(frozen=True)
class Variant:
    """One way to declare the index, and what it is held to.

    Attributes:
        source: joins the declaration's section of that name.
        detector: that must be at work, by its name.
    """

    title: str
    changes: int
    median_seconds: float
    percentile_95_seconds: float | None
    detector: str = "tail"
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def declared(self) -> dict[str, Any]:
        source = {"table": "faq", "primary_key": "id", **self.source}
        return faq_attributes("latency", source=source, search={"threshold": -1.0})

    @property
    def spec(self) -> IndexSpec:
        return IndexSpec.model_validate(self.declared)


BY_DIGESTS = Variant("Latency", changes=50, median_seconds=15.0, percentile_95_seconds=30.0)
BY_BINLOG = Variant(
    "Latency with the binary log",
    changes=25,
    median_seconds=10.0,
    percentile_95_seconds=None,
    detector="binlog",
    source={"binlog": True},
)


@dataclass(frozen=True)
class Change:
    """A change of one row. `text` is the row's new text, None if it is deleted."""

    kind: str
    key: int
    text: str | None


@dataclass(frozen=True)
class Arrival:
    """When a change was committed and when it was searchable: seconds since the epoch."""

    change: Change
    committed: float
    searchable: float

    @property
    def seconds(self) -> float:
        return self.searchable - self.committed


def measure(place: Workplace) -> Findings:
    """As an index is found by default: by digests."""
    return measure_variant(place, BY_DIGESTS)


def measure_with_binlog(place: Workplace) -> Findings:
    """With the binary log read."""
    return measure_variant(place, BY_BINLOG)


def measure_variant(place: Workplace, variant: Variant) -> Findings:
    """Syncs the table in this process, which is faster, then lets the daemon keep the index true."""
    with (
        provider_process(DIMENSIONS, DELAY_MS) as provider,
        place.fresh_databases(provider.url) as workbench,
        tempfile.TemporaryDirectory(prefix="benchmarks-latency-") as folder,
    ):
        fill_faq(workbench, questions(ROWS))
        _sync_first(workbench, variant)
        with dagster_daemon(Path(folder), variant.declared, workbench.settings) as instance:
            _wait_until_settled(instance, workbench, variant.spec)
            arrivals = [_arrive(workbench, change) for change in choose_changes(variant.changes)]
            stages = [tell_stages(instance, arrival.committed, arrival.searchable) for arrival in arrivals]
        _refuse_what_is_not_found(workbench, variant.spec, arrivals)
    return Findings(
        variant.title,
        f"{variant.changes} changes of one row each (inserts, updates and deletes), one at a time and at random "
        f"moments, in a table of {ROWS:,} rows with one text at {DIMENSIONS} dimensions; the daemon, its code server, "
        f"the databases and a provider that takes {DELAY_MS} ms per request share the machine. The repository's "
        "dagster.yaml, the automation's defaults. From COMMIT to searchable, looked at every 100 ms. Stages are "
        "medians.",
        _figures(variant, arrivals, stages),
    )


def _figures(variant: Variant, arrivals: Sequence[Arrival], stages: Sequence[dict[str, float]]) -> list[Figure]:
    seconds = [arrival.seconds for arrival in arrivals]
    figures = [
        Figure("commit to searchable, median", statistics.median(seconds), "s", variant.median_seconds),
        Figure("commit to searchable, 95th percentile", percentile(seconds, 95), "s", variant.percentile_95_seconds),
        Figure("commit to searchable, slowest", max(seconds), "s"),
    ]
    for kind in sorted({arrival.change.kind for arrival in arrivals}):
        of_kind = [arrival.seconds for arrival in arrivals if arrival.change.kind == kind]
        figures.append(Figure(f"{kind}s alone, median", statistics.median(of_kind), "s"))
    for stage in STAGES:
        if taken := [told[stage] for told in stages if stage in told]:
            figures.append(Figure(f"… {stage}", statistics.median(taken), "s"))
    return figures


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that at least so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def choose_changes(count: int) -> list[Change]:
    """A third of each kind, shuffled; no row is changed twice."""
    chance = random.Random(count)
    keys = chance.sample(range(1, ROWS + 1), count)
    kinds = ["update", "insert", "delete"]
    changes = []
    for number, key in enumerate(keys):
        kind = kinds[number % len(kinds)]
        text = f"what has become of request {number:05d} of this morning?" if kind != "delete" else None
        changes.append(Change(kind, ROWS + 1 + number if kind == "insert" else key, text))
    chance.shuffle(changes)
    return changes


def _sync_first(workbench: Workbench, variant: Variant) -> None:
    with workbench.index(variant.spec) as index:
        sync_all(index)
        index.refresh_search_index()
        asked = index.detect().suspects
    assert variant.detector in asked, f"{variant.title}: the detectors at work are {', '.join(asked)}"


def _wait_until_settled(instance: dg.DagsterInstance, workbench: Workbench, spec: IndexSpec) -> None:
    """The daemon has begun to look, and has told Dagster of all ranges."""
    with workbench.index(spec) as index:

        def settled() -> bool:
            listed = set(instance.get_dynamic_partitions("latency_ranges"))
            states = index.ranges()
            quiet = not any(state.dirty or state.source_digest != state.reported_digest for state in states)
            return quiet and listed >= {state.partition for state in states}

        _wait_for(settled, "the daemon to take up the index")


def _arrive(workbench: Workbench, change: Change) -> Arrival:
    time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))
    committed = _commit(workbench, change)

    def arrived() -> bool:
        [(there,)] = (
            workbench.postgres(_GONE, (str(change.key),))
            if change.text is None
            else workbench.postgres(_SERVED, (str(change.key), change.text))
        )
        return bool(there)

    _wait_for(arrived, f"the {change.kind} of row {change.key}")
    return Arrival(change, committed, time.time())


def _commit(workbench: Workbench, change: Change) -> float:
    statement, parameters = {
        "insert": (
            "INSERT INTO faq (id, question, answer, link, asked) VALUES (%s, %s, 'new', NULL, NULL)",
            (change.key, change.text),
        ),
        "update": ("UPDATE faq SET question = %s WHERE id = %s", (change.text, change.key)),
        "delete": ("DELETE FROM faq WHERE id = %s", (change.key,)),
    }[change.kind]
    workbench.mysql(statement, [parameters])
    return time.time()


def _wait_for(what: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_GIVE_UP_SECONDS:.0f} s for {name}")
        time.sleep(_LOOK_SECONDS)


def _refuse_what_is_not_found(workbench: Workbench, spec: IndexSpec, arrivals: Sequence[Arrival]) -> None:
    """What counted as searchable must be found by a search, and deleted rows must not."""
    gone = {str(arrival.change.key) for arrival in arrivals if arrival.change.text is None}
    with workbench.index(spec) as index:
        for arrival in arrivals:
            if arrival.change.text is not None:
                keys = [hit.key for hit in index.search(arrival.change.text, limit=10).hits]
                assert keys[0] == str(arrival.change.key), (arrival, keys)
                assert not gone & set(keys), keys
        assert index.verify().equal
