"""GET /metrics: what was done is counted, and each index tells how it stands, whatever is down."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.serving.observing.settings import ObservingSettings
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.serving.test_recovery import gone
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench

OFTEN = ServingSettings(observing=ObservingSettings(metrics_seconds=1))
BODY = {"query": "question number 3?", "similarity_threshold": -1}


@dataclasses.dataclass(frozen=True)
class Scrape:
    """The samples of a page, by name and labels."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def of(cls, live: LiveServer, **headers: str) -> Scrape:
        answer = live.client.get("/metrics", headers=headers)
        assert answer.status_code == 200, answer.text
        families = text_string_to_metric_families(answer.text)
        return cls({(s.name, frozenset(s.labels.items())): s.value for one in families for s in one.samples})

    def get(self, name: str, **labels: str) -> float | None:
        return self.samples.get((f"vector_pipeline_{name}", frozenset(labels.items())))

    def more_than(self, before: Scrape, name: str, **labels: str) -> float:
        """By how much it has grown: other tests of this process have counted too."""
        return (self.get(name, **labels) or 0) - (before.get(name, **labels) or 0)


@pytest.fixture
def observed(bench: Workbench) -> Iterator[LiveServer]:
    """A server over the index `faq` that looks at it every second."""
    with live_server(bench, [contract_spec()], OFTEN) as server:
        yield server


def test_requests_are_counted_by_the_template_of_their_route(observed: LiveServer) -> None:
    before = Scrape.of(observed)
    observed.client.post("/search", json=BODY)
    observed.client.get("/v1/indexes/faq")
    observed.client.get("/v1/indexes/not-there")
    observed.client.get("/wp-login.php")
    after = Scrape.of(observed)

    def counted(method: str, route: str, status: str) -> float:
        return after.more_than(before, "http_request_seconds_count", method=method, route=route, status=status)

    assert counted("POST", "/search", "200") == 1
    assert counted("GET", "/v1/indexes/{index}", "200") == 1
    assert counted("GET", "/v1/indexes/{index}", "404") == 1
    assert counted("GET", "unknown", "404") == 1
    assert not any("wp-login" in str(labels) for _, labels in after.samples)


def test_searches_are_counted_by_index_and_mode_with_what_their_parts_took(observed: LiveServer) -> None:
    before = Scrape.of(observed)
    for _ in range(2):
        observed.client.post("/search", json=BODY)
    observed.client.post("/search", json=BODY | {"mode": "text"})
    observed.client.post("/search", json=BODY | {"filters": {"no such": 1}})
    after = Scrape.of(observed)

    assert after.more_than(before, "searches_total", index="faq", mode="vector", outcome="answered") == 2
    assert after.more_than(before, "searches_total", index="faq", mode="text", outcome="answered") == 1
    assert after.more_than(before, "searches_total", index="faq", mode="vector", outcome="refused") == 1
    for part in ("waiting", "embedding", "postgresql"):
        count = {"index": "faq", "mode": "vector", "part": part}
        assert after.more_than(before, "search_seconds_count", **count) == 2
    assert after.more_than(before, "query_cache_total", found="miss") == 1
    assert after.more_than(before, "query_cache_total", found="hit") == 1
    assert after.get("pool_connections_in_use", pool="vector-pipeline search") == 0
    assert (after.get("pool_connections_most", pool="vector-pipeline search") or 0) >= 20


def test_requests_to_the_provider_are_counted_by_their_outcome(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with MisbehavingProvider(64) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        bench.create_faq(rows=1)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()], OFTEN) as live:
            before = Scrape.of(live)
            live.client.post("/search", json=BODY)
            provider.behave("status", status=401, message="bad key")
            live.client.post("/search", json=BODY | {"query": "never asked before"})
            after = Scrape.of(live)
    name = f"openai:{provider.model}"
    for outcome in ("answered", "rejected"):
        count = {"provider": name, "outcome": outcome}
        assert after.more_than(before, "provider_request_seconds_count", **count) == 1


def test_each_index_tells_how_it_stands(observed: LiveServer, bench: Workbench) -> None:
    figures = Scrape.of(observed)
    assert figures.get("up") == 1
    expected = {"documents": 10, "ranges_dirty": 0, "lag_rows": 0, "coverage_ratio": 1, "quarantined": 0}
    expected |= {"last_synced_key": 10, "spent_today_usd": 0, "budget_paused": 0, "deletions_held": 0, "paused": 0}
    for name, value in expected.items():
        assert figures.get(f"index_{name}", index="faq") == value, name
    assert (figures.get("index_last_synced_timestamp_seconds", index="faq") or 0) > 0

    bench.mysql("DELETE FROM faq WHERE id > 7")
    bench.sync(contract_spec())
    assert _wait_for(observed, "index_documents", 7, index="faq").get("index_last_synced_key", index="faq") == 7


def test_what_waits_for_somebody_is_told(observed: LiveServer, bench: Workbench) -> None:
    bench.postgres("UPDATE vector_pipeline.deletion_guards SET held_since = now(), held_deletions = 9")
    assert _wait_for(observed, "index_deletions_held", 1, index="faq").get("index_budget_paused", index="faq") == 0


def test_an_index_that_its_declaration_pauses_is_told_as_such(bench: Workbench) -> None:
    with live_server(bench, [contract_spec(automation={"paused": True})], OFTEN) as live:
        assert Scrape.of(live).get("index_paused", index="faq") == 1


def test_keys_that_are_no_numbers_are_shown_nowhere(bench: Workbench) -> None:
    bench.mysql("CREATE TABLE people (mail VARCHAR(50) PRIMARY KEY, question TEXT)")
    bench.mysql("INSERT INTO people VALUES (%s, 'What now?')", [("anna@example.org",), ("17",)])
    document = {"text": {"question": "question"}}
    spec = contract_spec("people", source={"table": "people", "primary_key": "mail"}, document=document)
    bench.sync(spec)
    with live_server(bench, [spec], OFTEN) as live:
        figures = Scrape.of(live)
        assert figures.get("index_documents", index="people") == 2
        assert figures.get("index_last_synced_key", index="people") is None
        assert "anna" not in live.client.get("/metrics").text


def test_while_postgresql_is_down_the_page_says_so(observed: LiveServer, bench: Workbench) -> None:
    assert Scrape.of(observed).get("up") == 1
    with gone(bench.target):
        down = _wait_for(observed, "up", 0)
        assert down.get("index_documents", index="faq") is None
    assert _wait_for(observed, "up", 1).get("index_documents", index="faq") == 10


def test_a_key_for_some_indexes_is_told_of_no_other(bench: Workbench) -> None:
    with postgres(bench.target) as connection:
        of_faq = create_key(connection, "prometheus", [AccessScope.METRICS], ["faq"]).secret
        of_none = create_key(connection, "another", [AccessScope.METRICS], ["elsewhere"]).secret
        searching = create_key(connection, "dify", [AccessScope.SEARCH]).secret
    with live_server(bench, [contract_spec()], OFTEN) as live:
        assert live.client.get("/metrics").status_code == 401
        assert live.client.get("/metrics", headers={"X-API-Key": searching}).status_code == 403
        assert live.client.post("/search", json=BODY, headers={"X-API-Key": searching}).status_code == 200
        assert Scrape.of(live, **{"X-API-Key": of_faq}).get("index_documents", index="faq") == 10
        shown = Scrape.of(live, **{"X-API-Key": of_none})
    assert shown.get("up") == 1
    assert not any(("index", "faq") in labels for _, labels in shown.samples)


def _wait_for(live: LiveServer, name: str, value: float, **labels: str) -> Scrape:
    def look() -> Scrape | None:
        scrape = Scrape.of(live)
        return scrape if scrape.get(name, **labels) == value else None

    found = wait_until(look, pause=0.1)
    assert found is not None
    return found
