"""Servers stopped and started again under load: refusals in the right words meanwhile, answers afterwards, and nobody
restarts the service."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.stoppable_servers import stoppable_mariadb, stoppable_postgres
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench

pytestmark = pytest.mark.long

CLIENTS = 20
ENOUGH = 100

Outcome = tuple[int, str | None]
"""Status and, of a refusal, its detail."""


class Load:
    """Clients that ask without a pause; what they are answered is counted anew with each `since`."""

    def __init__(self, url: str, ask: Callable[[httpx.Client, int], httpx.Response]) -> None:
        self._url = url
        self._ask = ask
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._counts: Counter[Outcome] = Counter()
        self._asked = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=120) as client:
            while not self._over.is_set():
                with self._lock:
                    self._asked += 1
                    number = self._asked
                try:
                    answer = self._ask(client, number)
                    refused = answer.status_code != 200
                    outcome = answer.status_code, answer.json()["detail"] if refused else None
                except httpx.TransportError as error:
                    outcome = 0, type(error).__name__
                with self._lock:
                    self._counts[outcome] += 1

    def since(self) -> None:
        """Counts from now on; answers under way are waited for by counting those of every client first."""
        with self._lock:
            self._counts = Counter()

    def answered(self, outcome: Outcome, times: int = ENOUGH) -> Counter[Outcome]:
        """All that was counted, once it was answered so many times in this way."""
        return wait_until(lambda: self._counted(outcome, times), 120, 0.05) or Counter()

    def _counted(self, outcome: Outcome, times: int) -> Counter[Outcome] | None:
        with self._lock:
            return Counter(self._counts) if self._counts[outcome] >= times else None

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def search(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/search", json={"query": f"question number {number % 7}?", "similarity_threshold": -1})


def search_anew(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/search", json={"query": f"never asked before {number}", "similarity_threshold": -1})


def read_documents(client: httpx.Client, _: int) -> httpx.Response:
    return client.get("/documents")


@contextmanager
def under_load(live: LiveServer, ask: Callable[[httpx.Client, int], httpx.Response]) -> Iterator[Load]:
    with Load(live.url, ask) as load:
        load.answered((200, None))
        yield load


def goes_and_comes_back(load: Load, detail: str, stop: Callable[[], object], start: Callable[[], object]) -> None:
    """Refused with these words alone while it is away; nothing but answers once it is back."""
    stop()
    load.answered((503, detail), CLIENTS)
    load.since()
    while_away = load.answered((503, detail))
    start()
    load.answered((200, None), CLIENTS)
    load.answered((200, None), CLIENTS * 3)
    load.since()
    afterwards = load.answered((200, None))
    assert set(while_away) == {(503, detail)}
    assert set(afterwards) == {(200, None)}


def test_postgresql_goes_and_comes_back(mysql_database: SourceSettings, tmp_path: Path) -> None:
    with stoppable_postgres(tmp_path / "postgres") as (server, target):
        bench = Workbench(mysql_database, target)
        bench.create_faq(rows=50)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()]) as live, under_load(live, search) as load:
            for _ in range(2):
                goes_and_comes_back(load, "Database search error", server.stop, server.start)
            assert live.client.get("/healthcheck").status_code == 200


def test_mysql_goes_and_comes_back(pg_database: TargetSettings, tmp_path: Path) -> None:
    with stoppable_mariadb(tmp_path / "mariadb") as (server, source):
        Workbench(source, pg_database).mysql("CREATE DATABASE outage CHARACTER SET utf8mb4")
        bench = Workbench(replace(source, database="outage"), pg_database)
        bench.create_faq(rows=50)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()]) as live, under_load(live, read_documents) as load:
            goes_and_comes_back(load, "MySQL service unavailable", server.stop, server.start)


@pytest.mark.parametrize(
    "away", [{"manner": "reset"}, {"manner": "status", "status": 500}, {"manner": "status", "status": 503}], ids=str
)
def test_the_provider_goes_and_comes_back(
    mysql_database: SourceSettings, pg_database: TargetSettings, away: dict[str, object]
) -> None:
    with MisbehavingProvider(64) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        bench.create_faq(rows=50)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()]) as live, under_load(live, search_anew) as load:
            goes_and_comes_back(
                load,
                "Embedding service unavailable",
                lambda: provider.behave(**away),  # type: ignore[arg-type]
                lambda: provider.behave("well"),
            )


def test_a_provider_that_hangs_keeps_nobody_waiting_who_does_not_need_it(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with MisbehavingProvider(64) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        bench.create_faq(rows=50)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()]) as live, under_load(live, search_anew) as load:
            known = {"query": "asked before the outage", "similarity_threshold": -1}
            assert live.client.post("/search", json=known).json()["total_results"] == 5
            provider.behave("hang")
            load.since()
            load.answered((503, "Embedding service unavailable"), CLIENTS)
            assert live.client.get("/healthcheck").status_code == 200
            assert len(live.client.get("/documents").json()) == 50
            by_words = {"query": "question number 7", "mode": "text"}
            assert live.client.post("/search", json=by_words).json()["total_results"] == 5
            assert live.client.post("/search", json=known).json()["total_results"] == 5
            provider.behave("well")
            load.answered((200, None), CLIENTS)
