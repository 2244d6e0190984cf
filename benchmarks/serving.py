"""The HTTP API as a process of its own, with the local model: what it adds to a search, and that it bears a crowd."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.figures import Figure, Findings
from benchmarks.workplace import Workplace
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import find_declaration
from vector_pipeline_tests.serving.serving_process import Row, ServingProcess, create_genie, serving_process
from vector_pipeline_tests.workbench import Workbench

ROWS = 5_000
LIMIT = 5
QUERIES = 300
WARMING_QUERIES = 100
MOST_OVERHEAD_MS = 10.0

CLIENTS = 50
WARMING_SECONDS = 15.0
SECONDS = 60.0
MOST_GROWTH = 1.10
MEGABYTE = 1_000_000

_PATH = "/search"


def measure(place: Workplace) -> Findings:
    """All of it, some two minutes long."""
    with place.fresh_databases("") as workbench, tempfile.TemporaryDirectory(prefix="benchmarks-serving-") as folder:
        bench = replace(workbench, embedding=EmbeddingSettings())
        create_genie(bench, list(_rows()))
        with open_index(_spec(), bench.settings) as index:
            index.refresh_search_index()
        with serving_process(bench, Path(folder)) as server:
            figures = [*_overhead(bench, server), *_crowd(server)]
    return Findings(
        "Serving",
        f"`vector-pipeline serve` with one process, POST /search over {ROWS:,} rows of two texts each, the best "
        f"{LIMIT}; each query is another one, embedded by the local model in the server. At rest one client asks the "
        f"API and the core in this process turn by turn, {QUERIES} times: the difference of the medians is what HTTP, "
        f"access control, logs and metrics cost. The crowd are {CLIENTS} clients without a pause for {SECONDS:g} s, "
        "which share the machine's cores with server and database; memory is the server's, after "
        f"{WARMING_SECONDS:g} s of that and at the end.",
        figures,
    )


def _spec() -> IndexSpec:
    return find_declaration("genie_documents").spec


def _rows() -> Iterator[Row]:
    for number in range(1, ROWS + 1):
        question = f"what does customer number {number:07d} have to do to get help?"
        answer = f"ask at counter {number % 90}, and bring document {number:05d}"
        yield number, question, answer, "2026-01-02 03:04:05", f"https://example.org/{number}", f"u{number}"


def _overhead(bench: Workbench, server: ServingProcess) -> Iterator[Figure]:
    by_api, by_core = [], []
    address = server.client.base_url
    with (
        closing(HTTPConnection(address.host, address.port or 80)) as connection,
        open_index(_spec(), bench.settings) as index,
    ):
        for number in range(WARMING_QUERIES):
            _by_api(connection, _query("warming", number))
            _by_core(index, _query("warming", number))
        for number in range(QUERIES):
            query = _query("at rest", number)
            # By turns, since whoever comes second finds the pages in memory.
            if number % 2:
                by_core.append(_by_core(index, query))
            by_api.append(_by_api(connection, query))
            if number % 2 == 0:
                by_core.append(_by_core(index, query))
    api, core = statistics.median(by_api), statistics.median(by_core)
    yield Figure("at rest: POST /search − the core's search", 1000 * (api - core), "ms", MOST_OVERHEAD_MS)
    yield Figure("… POST /search", 1000 * api, "ms")
    yield Figure("… the core's search", 1000 * core, "ms")


def _by_api(connection: HTTPConnection, query: str) -> float:
    started = time.perf_counter()
    connection.request("POST", _PATH, _body(query), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.read()
    seconds = time.perf_counter() - started
    assert answer.status == 200, found
    assert json.loads(found)["total_results"] == LIMIT
    return seconds


def _by_core(index: VectorIndex, query: str) -> float:
    started = time.perf_counter()
    found = index.search(query, limit=LIMIT, threshold=-1)
    seconds = time.perf_counter() - started
    assert len(found.hits) == LIMIT
    return seconds


def _crowd(server: ServingProcess) -> Iterator[Figure]:
    asyncio.run(_Crowd(server).ask_for(WARMING_SECONDS, "warming the crowd"))
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    crowd = _Crowd(server)
    asyncio.run(crowd.ask_for(SECONDS, "the crowd"))
    after = process.memory_info().rss
    yield Figure(
        f"{CLIENTS} clients for {SECONDS:g} s: errors{_told(crowd.errors)}", crowd.errors.total(), "", exactly=0
    )
    yield Figure("… searches", len(crowd.seconds), "")
    yield Figure("… searches a second", len(crowd.seconds) / SECONDS, "/s")
    for percent in (50, 99):
        yield Figure(f"… {percent}th percentile", 1000 * float(np.percentile(crowd.seconds, percent)), "ms")
    yield Figure("… memory of the server at the beginning", before / MEGABYTE, "MB")
    yield Figure("… memory at the end", after / MEGABYTE, "MB")
    yield Figure("… end ÷ beginning", after / before, "×", MOST_GROWTH)


def _told(errors: Counter[str]) -> str:
    return f" ({', '.join(sorted(errors))})" if errors else ""


@dataclass
class _Crowd:
    """Clients that ask one thing after another."""

    server: ServingProcess
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def ask_for(self, seconds: float, about: str) -> None:
        """All of them, until the time is over."""
        until, numbers = time.perf_counter() + seconds, itertools.count()
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        base = self.server.client.base_url
        async with httpx.AsyncClient(base_url=base, timeout=60, limits=limits) as client:
            await asyncio.gather(*(self._ask(client, until, about, numbers) for _ in range(CLIENTS)))

    async def _ask(self, client: httpx.AsyncClient, until: float, about: str, numbers: Iterator[int]) -> None:
        while time.perf_counter() < until:
            body = _body(_query(about, next(numbers)))
            started = time.perf_counter()
            try:
                answer = await client.post(_PATH, content=body, headers={"Content-Type": "application/json"})
                if answer.status_code != 200 or answer.json()["total_results"] != LIMIT:
                    self.errors[f"{answer.status_code} {answer.text}"] += 1
            except httpx.TransportError as error:
                self.errors[type(error).__name__] += 1
            self.seconds.append(time.perf_counter() - started)


def _query(about: str, number: int) -> str:
    """One that nobody has asked before."""
    return f"where does customer {number} find help with {about}?"


def _body(query: str) -> bytes:
    return json.dumps({"query": query, "limit": LIMIT, "similarity_threshold": -1}).encode()
