"""One worker and two on the same backfill, before a slow provider: what another machine brings."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

from benchmarks.celery_cluster import Cluster, celery_cluster
from benchmarks.figures import Figure, Findings
from benchmarks.workplace import Workplace, fill_faq, questions
from vector_pipeline.orchestration.celery_launcher import WORKER_TAG
from vector_pipeline_tests.components.declared import faq_attributes
from vector_pipeline_tests.provider_process import ProviderProcess, provider_process

RANGES, RANGE_SIZE = 100, 150
RANGES_PER_RUN = 50
"""As it is where nothing is declared."""
RUNS = RANGES // RANGES_PER_RUN
TEXTS = RANGES * RANGE_SIZE
TEXTS_PER_REQUEST, REQUESTS_IN_FLIGHT, REQUEST_MS = 10, 1, 200.0
DIMENSIONS = 8
FASTER = 1.8
ATTRIBUTES = faq_attributes(
    range_size=RANGE_SIZE,
    search={"threshold": -1.0},
    embedding={
        "provider": {"type": "openai", "texts_per_request": TEXTS_PER_REQUEST, "requests_in_flight": REQUESTS_IN_FLIGHT}
    },
    automation={"paused": True, "ranges_per_run": RANGES_PER_RUN},
)
_DONE_WITHIN_SECONDS = 900.0


@dataclass(frozen=True)
class Backfilled:
    """One backfill.

    Attributes:
        seconds: from the first run in the queue to the end of the last.
        runs: how many each worker had, most first.
        vectors: that the index has at the end.
        texts: that were sent, those twice that were sent twice.
    """

    seconds: float
    runs: tuple[int, ...]
    vectors: int
    texts: int


def measure(place: Workplace) -> Findings:
    """The same backfill by one worker and by two."""
    alone, shared = (_backfilled(place, workers) for workers in (1, 2))
    return Findings(
        "Two workers instead of one",
        f"`docker/dagster.celery.yaml`: a broker, the daemon, Dagster's storage in PostgreSQL, and workers with a "
        f"network and a disk of their own, each with one run at a time. A backfill of {RANGES} ranges of {RANGE_SIZE} "
        f"rows in {RUNS} runs of {RANGES_PER_RUN} ranges, before a provider that takes {REQUEST_MS:.0f} ms for a "
        f"request of {TEXTS_PER_REQUEST} texts, {REQUESTS_IN_FLIGHT} request in flight a run: from the first run in "
        "the queue to the end of the last. All of it shares this machine's processors.",
        [
            Figure("one worker", alone.seconds, "s"),
            Figure("two workers", shared.seconds, "s"),
            Figure("how much faster two are", alone.seconds / shared.seconds, "×", at_least=FASTER),
            Figure("runs of the one that had fewer", min(shared.runs), "", at_least=RUNS // 2),
            Figure("texts that one has sent, the two together", shared.texts, "", exactly=TEXTS),
            Figure("vectors in the index of the two", shared.vectors, "", exactly=TEXTS),
        ],
    )


def _backfilled(place: Workplace, workers: int) -> Backfilled:
    with (
        provider_process(DIMENSIONS, REQUEST_MS) as provider,
        place.fresh_databases(provider.url) as workbench,
        tempfile.TemporaryDirectory(prefix="scale-out-") as folder,
    ):
        fill_faq(workbench, questions(TEXTS))
        with (
            celery_cluster(Path(folder) / "site", ATTRIBUTES, workbench.settings) as cluster,
            _workers(cluster, workers),
        ):
            partitions = cluster.add_partitions(workbench)
            provider.reset()
            backfill = cluster.backfill(partitions)
            _wait_until_done(cluster, backfill)
            records = cluster.runs(backfill)
        [(vectors,)] = workbench.postgres("SELECT count(*) FROM faq.vectors_1")
        return Backfilled(_seconds(records), _runs_of_each(records, workers), int(vectors), _sent(provider))


@contextmanager
def _workers(cluster: Cluster, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(cluster.worker(f"worker-{number + 1}"))
        yield


def _wait_until_done(cluster: Cluster, backfill: str) -> None:
    deadline = time.monotonic() + _DONE_WITHIN_SECONDS
    while (status := cluster.status(backfill)) != BulkActionStatus.COMPLETED_SUCCESS:
        if time.monotonic() > deadline or status == BulkActionStatus.FAILED:
            raise TimeoutError(f"the backfill is {status.value}")
        time.sleep(1)


def _seconds(records: list[dg.RunRecord]) -> float:
    ends = [record.end_time for record in records if record.end_time is not None]
    assert len(ends) == RUNS
    return max(ends) - min(record.create_timestamp.timestamp() for record in records)


def _runs_of_each(records: list[dg.RunRecord], workers: int) -> tuple[int, ...]:
    counted = Counter(record.dagster_run.tags[WORKER_TAG] for record in records)
    return tuple(count for _, count in counted.most_common()) + (0,) * (workers - len(counted))


def _sent(provider: ProviderProcess) -> int:
    """Without the words by which a run sees whether the provider is up, and the model the same."""
    stats = provider.stats()
    return stats["texts"] - (stats["distinct_texts"] - TEXTS)
