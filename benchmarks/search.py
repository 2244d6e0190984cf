"""What search finds of what is there, and what it costs: beside exact search, beside the bare SQL, and under load."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from benchmarks.cloud import Cloud, CloudProvider, make_cloud, query_text
from benchmarks.figures import Figure, Findings
from benchmarks.workplace import MODEL, Workplace, fill_faq
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.search.nearest import Aim, FieldSearch, candidates_of, scan_settings
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.search.searcher import Searcher
from vector_pipeline.core.search.served import Served
from vector_pipeline.core.search.statement import statement
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import registry
from vector_pipeline.core.store.ann_index import present_orders
from vector_pipeline_tests import syncing_process
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

LIMIT = 10
QUERIES = 200
EXACT_QUERIES = 20
SIZES = {1_024: (100_000, 0.99), 4_096: (50_000, 0.98)}
SHARE_OF_EXACT = 0.1
MOST_OF_BARE_SQL = 1.3

FIRST_DAY = datetime(2026, 1, 1)
FILTERED_QUERIES = {0.5: 40, 0.1: 40, 0.01: 200, 0.001: 200}
LEAST_RECALL_FILTERED = 0.98
MOST_OF_EXACT_FILTERED = 1.1

METADATA_ROWS = 10_000
METADATA_SECONDS = 2.0
_CHUNK_BYTES = 64 * 1024 * 1024

CLIENTS = 16
PAUSE_SECONDS = 0.1
SYNCED_ROWS = 20_000
TIMES_AT_REST = 5.0
REST_SECONDS = 15.0


def measure(place: Workplace) -> Findings:
    """All of it, some minutes long."""
    sizes = " and ".join(f"{rows:,} vectors of {length:,} numbers" for length, (rows, _) in SIZES.items())
    return Findings(
        "Search",
        f"{sizes}, clustered like those of texts (benchmarks/cloud.py), synced through the pipeline; {QUERIES} queries "
        f"that are none of them, the best {LIMIT}; recall against comparing with all vectors in memory. Exact search "
        "is the same statement without the ANN index, with a filter the same call without it; the bare SQL is the "
        "statement alone on a prepared connection, turn by turn with the whole call. Medians. Filters leave the share "
        "of the documents that is said. Under load, "
        f"{CLIENTS} clients search, with {PAUSE_SECONDS} s between an answer and the next query, while {SYNCED_ROWS:,} "
        "rows are synced and the ANN index is built anew.",
        [figure for dimensions in SIZES for figure in _at(place, dimensions)],
    )


def _at(place: Workplace, dimensions: int) -> Iterator[Figure]:
    rows, recall = SIZES[dimensions]
    cloud = make_cloud(rows, QUERIES, dimensions)
    with _indexed(place, cloud) as (workbench, index):
        with (
            store_connection.connect(workbench.target) as connection,
            store_connection.connect(workbench.target) as another,
        ):
            bench = _Bench(index, cloud, connection, another)
            yield from _beside_exact(bench, recall)
            if dimensions == min(SIZES):
                yield from _filtered(bench)
        if dimensions == min(SIZES):
            yield from _metadata(workbench, index)
            yield from _under_load(workbench, cloud)


@contextmanager
def _indexed(place: Workplace, cloud: Cloud) -> Iterator[tuple[Workbench, VectorIndex]]:
    with place.fresh_databases("http://127.0.0.1:1/v1") as workbench:
        fill_faq(workbench, cloud.texts)
        workbench.mysql(
            "UPDATE faq SET asked = %s + INTERVAL (id * 7919 %% %s) SECOND", [(FIRST_DAY, len(cloud.texts))]
        )
        with open_index(_spec(), workbench.settings, provider=CloudProvider(cloud)) as index:
            assert sync_all(index).inserted == len(cloud.documents)
            index.refresh_search_index()
            workbench.postgres("VACUUM faq.documents, faq.passages_1, faq.vectors_1")
            yield workbench, index


def _spec() -> IndexSpec:
    return faq_spec(
        range_size=5_000,
        document={"text": {"question": "question"}, "metadata": {"link": "link", "asked": "asked"}},
        search={"threshold": -1.0, "limit": LIMIT, "ann_build_megabytes": 1_500, "seconds": 60},
        deletion_guard={"share": 1},
    )


def _beside_exact(bench: _Bench, least_recall: float) -> Iterator[Figure]:
    whole, bare, recalls = [], [], []
    for number in range(QUERIES):
        # By turns, since whoever comes second finds the pages in memory.
        if number % 2:
            bare.append(bench.bare_sql(number))
        keys, seconds = bench.search(number)
        if number % 2 == 0:
            bare.append(bench.bare_sql(number))
        whole.append(seconds)
        recalls.append(bench.recall(keys, number))
    exact = [bench.exact(number)[1] for number in range(EXACT_QUERIES)]
    search, at = statistics.median(whole), f"at {bench.cloud.documents.shape[1]:,} numbers"
    yield Figure(
        f"recall@{LIMIT} {at} ({bench.order})", 100 * statistics.fmean(recalls), "%", at_least=100 * least_recall
    )
    yield Figure("… search ÷ exact search", search / statistics.median(exact), "×", SHARE_OF_EXACT)
    yield Figure("… search ÷ bare SQL", search / statistics.median(bare), "×", MOST_OF_BARE_SQL)
    yield Figure("… search", 1000 * search, "ms")
    yield Figure("… exact search", 1000 * statistics.median(exact), "ms")


def _filtered(bench: _Bench) -> Iterator[Figure]:
    rows = len(bench.cloud.documents)
    for share, queries in FILTERED_QUERIES.items():
        filters = {"asked": {"<": (FIRST_DAY + timedelta(seconds=int(share * rows))).isoformat(" ")}}
        kept = np.array([_asked(number, rows) < int(share * rows) for number in range(rows)])
        found, exact, recalls, fewest = [], [], [], LIMIT
        for number in range(queries):
            if number % 2:
                exact.append(bench.search_exactly(number, filters))
            keys, seconds = bench.search(number, filters)
            if number % 2 == 0:
                exact.append(bench.search_exactly(number, filters))
            found.append(seconds)
            recalls.append(bench.recall(keys, number, kept))
            fewest = min(fewest, len(keys))
        at = f"where {100 * share:g} % of the documents fit"
        yield Figure(f"recall@{LIMIT} {at}", 100 * statistics.fmean(recalls), "%", at_least=100 * LEAST_RECALL_FILTERED)
        yield Figure("… fewest hits", fewest, "", exactly=LIMIT)
        ratio = statistics.median(found) / statistics.median(exact)
        yield Figure("… search ÷ exact search with the filter", ratio, "×", MOST_OF_EXACT_FILTERED)
        yield Figure("… search", 1000 * statistics.median(found), "ms")


def _asked(document: int, rows: int) -> int:
    """Seconds after the first day, in no order that the vectors know: a prime steps through all of them."""
    return (document + 1) * 7919 % rows


def _metadata(workbench: Workbench, index: VectorIndex) -> Iterator[Figure]:
    """Other links: every document is written, and no vector."""
    workbench.mysql("UPDATE faq SET link = CONCAT(link, '?') WHERE id <= %s", [(METADATA_ROWS,)])
    index.detect()
    due = [state.partition for state in index.due_ranges()]
    size, pages = _ann_size(workbench), _ann_pages(workbench)
    started = time.perf_counter()
    updated = sum(facts.updated for facts in index.sync_documents(due))
    seconds = time.perf_counter() - started
    assert updated == METADATA_ROWS, updated
    yield Figure(f"metadata of {METADATA_ROWS:,} documents updated", seconds, "s", METADATA_SECONDS)
    yield Figure("… bytes that the ANN index grew by", _ann_size(workbench) - size, "bytes", exactly=0)
    changed = sum(before != after for before, after in zip(pages, _ann_pages(workbench), strict=True))
    yield Figure("… parts of the ANN index with a page that was written", changed, "", exactly=0)


def _ann_size(workbench: Workbench) -> int:
    [(size,)] = workbench.postgres("SELECT sum(pg_relation_size(indexrelid)) FROM pg_index WHERE " + _IS_ANN)
    return int(size)


def _ann_pages(workbench: Workbench) -> list[bytes]:
    """A hash of each 64 MB of the ANN index. Each page carries the place in the WAL of what was last written to it."""
    workbench.postgres("CHECKPOINT")
    rows = workbench.postgres(
        "SELECT sha256(pg_read_binary_file(pg_relation_filepath(indexrelid), first, %s, true))"
        " FROM pg_index, generate_series(0, pg_relation_size(indexrelid) - 1, %s) first WHERE " + _IS_ANN,
        (_CHUNK_BYTES, _CHUNK_BYTES),
    )
    return [digest for (digest,) in rows]


_IS_ANN = "indexrelid IN (SELECT c.oid FROM pg_class c JOIN pg_am m ON m.oid = c.relam WHERE m.amname = 'hnsw')"


def _under_load(workbench: Workbench, cloud: Cloud) -> Iterator[Figure]:
    """Each client is a thread with a connection of its own; the sync is another process."""
    with _Clients(workbench, cloud) as clients:
        time.sleep(REST_SECONDS)
    at_rest = clients.seconds
    dimensions = cloud.documents.shape[1]
    new = [f"what came later, number {number:07d}" for number in range(SYNCED_ROWS)]
    with provider_process(dimensions, 20) as provider:
        settings = replace(workbench.settings, embedding=EmbeddingSettings(host=provider.url, model=MODEL))
        first = len(cloud.documents) + 1
        workbench.mysql("INSERT INTO faq (id, question) VALUES (%s, %s)", list(enumerate(new, first)))
        with _Clients(workbench, cloud) as clients:
            process = syncing_process.start(_spec(), settings)
            with store_connection.connect(workbench.target) as connection:
                [(name,)] = workbench.postgres("SELECT name FROM vector_pipeline.ann_indexes")
                connection.execute("SET maintenance_work_mem = '1500MB'")
                connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier("faq", name)))
            assert syncing_process.finish(process).embedded == SYNCED_ROWS
    ratio = _percentile(clients.seconds, 99) / _percentile(at_rest, 99)
    yield Figure(f"99th percentile of {CLIENTS} clients under load ÷ at rest", ratio, "×", TIMES_AT_REST)
    yield Figure("… at rest", 1000 * _percentile(at_rest, 99), "ms")
    yield Figure("… searches a second at rest", len(at_rest) / REST_SECONDS, "/s")
    yield Figure("… searches under load", len(clients.seconds), "")
    yield Figure("… errors", clients.errors, "", exactly=0)


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(np.array(values), percent))


class _Clients:
    """Search from the beginning of the block to its end."""

    def __init__(self, workbench: Workbench, cloud: Cloud) -> None:
        self.seconds: list[float] = []
        self.errors = 0
        self._over = threading.Event()
        self._provider = CloudProvider(cloud)
        self._threads = [
            threading.Thread(target=self._search, args=(workbench, len(cloud.queries), number))
            for number in range(CLIENTS)
        ]

    def __enter__(self) -> _Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _search(self, workbench: Workbench, queries: int, first: int) -> None:
        with open_index(_spec(), workbench.settings, provider=self._provider) as index:
            for number in itertools.count(first):
                if self._over.is_set():
                    return
                started = time.perf_counter()
                try:
                    answer = index.search(query_text(number % queries))
                    self.errors += len(answer.hits) < LIMIT
                except VectorPipelineError:
                    self.errors += 1
                self.seconds.append(time.perf_counter() - started)
                self._over.wait(PAUSE_SECONDS)


class _WithoutAnnIndexes(Searcher):
    def _served(self, generation: int | None, *, filtered: bool) -> Served:
        return replace(super()._served(generation, filtered=filtered), orders={})


class _Bench:
    """An index full of a cloud, searched in several ways."""

    def __init__(
        self, index: VectorIndex, cloud: Cloud, connection: psycopg.Connection, exact_connection: psycopg.Connection
    ) -> None:
        self.cloud = cloud
        self._index = index
        self._connection = connection
        self._exact_connection = exact_connection
        embedding, cache = EmbeddingSettings(), QueryCache()
        providers = ProvidersAsBuilt(_spec(), embedding, CloudProvider(cloud), ExitStack())
        self._exact = _WithoutAnnIndexes(_spec(), -1.0, lambda: exact_connection, providers, cache)
        registered = registry.load(connection, "faq")
        assert registered is not None
        self._registered = registered
        self.order = present_orders(connection, registered)["question"]
        candidates, _ = candidates_of(self.order)
        self._candidates = max(candidates, 20 * LIMIT)
        # As the search does, but for good.
        settings = scan_settings(self.order, LIMIT if self.order.is_exact else self._candidates)
        for name, setting in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, setting))
        self._statement = statement(registered, None, self.order, "question")

    def search(self, number: int, filters: Mapping[str, Any] | None = None) -> tuple[list[str], float]:
        started = time.perf_counter()
        hits = self._index.search(query_text(number), filter=filters).hits
        return [hit.key for hit in hits], time.perf_counter() - started

    def search_exactly(self, number: int, filters: Mapping[str, Any]) -> float:
        """Seconds of the same call where there is no ANN index."""
        started = time.perf_counter()
        self._exact.search(SearchRequest(query_text(number), filter=filters))
        return time.perf_counter() - started

    def bare_sql(self, number: int) -> float:
        parameters = {"vector": self.cloud.queries[number], "limit": LIMIT, "candidates": self._candidates}
        started = time.perf_counter()
        self._connection.execute(self._statement, parameters, prepare=True).fetchall()
        return time.perf_counter() - started

    def exact(self, number: int) -> tuple[list[str], float]:
        started = time.perf_counter()
        aim = Aim("question", self.cloud.queries[number], None, LIMIT, -1.0)
        found = FieldSearch(self._exact_connection, self._registered, TimeLimit.within(60)).by_field(aim)
        return [hit.key for hit in found.hits], time.perf_counter() - started

    def recall(self, keys: Sequence[str], number: int, kept: npt.NDArray[np.bool_] | None = None) -> float:
        """Of the documents that are nearest, or nearest of those that are kept, the share that was found."""
        nearest_ones = {str(document + 1) for document in self.cloud.nearest(number, LIMIT, kept)}
        return len(nearest_ones & set(keys)) / LIMIT
