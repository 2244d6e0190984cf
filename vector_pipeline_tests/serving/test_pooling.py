"""Behind PgBouncer, and with a standby: searches go on by way of a pooler that shares sessions, syncs refuse it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from vector_pipeline.core.doctor import diagnose
from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.environments import variables_of_servers
from vector_pipeline_tests.pgbouncer import pgbouncer
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.serving import contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench


def test_many_searches_at_once_go_by_way_of_a_pooler_in_transaction_mode(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pgbouncer(bench.target, "transaction", takes_options=False) as pooled:
        monkeypatch.setenv("PG_SEARCH_HOST", pooled.host)
        monkeypatch.setenv("PG_SEARCH_PORT", str(pooled.port))
        with live_server(bench, [contract_spec()]) as live:

            def ask(number: int) -> str:
                asked = {"index": "faq", "query": f"question number {number}?", "limit": 1, "threshold": -1}
                answer = live.client.post("/v1/search", json=asked).raise_for_status().json()
                return str(answer["hits"][0]["key"])

            # More often than a statement is executed before psycopg would prepare it.
            with ThreadPoolExecutor(8) as people:
                assert list(people.map(ask, [1 + n % 10 for n in range(80)])) == [str(1 + n % 10) for n in range(80)]


@pytest.mark.parametrize("takes_options", [True, False])
def test_a_sync_by_way_of_a_pooler_in_transaction_mode_is_refused_with_the_way_out(
    bench: Workbench, takes_options: bool
) -> None:
    with (
        pgbouncer(bench.target, "transaction", takes_options=takes_options) as pooled,
        pytest.raises(TargetUnavailableError, match="PG_SEARCH_HOST"),
    ):
        replace(bench, target=pooled).sync(contract_spec())


def test_a_pooler_that_goes_round_its_sessions_is_found_as_well(bench: Workbench) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = ''"
    with pgbouncer(bench.target, "transaction", goes_round=12) as pooled, closing(postgres(pooled)) as first:
        first.execute("SELECT 1")
        while bench.postgres(count)[0][0] < 12:
            time.sleep(0.05)
        with pytest.raises(TargetUnavailableError, match="PG_SEARCH_HOST"):
            store_connection.connect(pooled)


def test_a_sync_by_way_of_a_pooler_in_session_mode_works(bench: Workbench) -> None:
    with pgbouncer(bench.target, "session") as pooled:
        behind = replace(bench, target=pooled)
        bench.mysql("DELETE FROM faq WHERE id = 3")
        assert behind.sync(contract_spec()).deleted == 1
        with behind.index(contract_spec()) as index:
            index.refresh_search_index()
            assert index.verify().equal
        with closing(store_connection.connect(pooled)) as connection:
            assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_a_way_for_searches_that_leads_nowhere_is_named(bench: Workbench) -> None:
    with pytest.raises(TargetUnavailableError, match="PG_SEARCH_PORT"):
        store_connection.connect(replace(bench.target, port=choose_port(), pooled=True))


def test_the_doctor_tells_of_a_pooler_that_shares_sessions(bench: Workbench) -> None:
    with pgbouncer(bench.target, "transaction") as pooled:
        found = diagnose([], variables_of_servers(bench.source, pooled))
    assert not found.healthy
    assert any("pooler" in finding.found for finding in found.servers)


def test_of_several_hosts_the_one_that_answers_is_taken(bench: Workbench) -> None:
    several = replace(bench.target, host=f"127.0.0.9,{bench.target.host}")
    with closing(store_connection.connect(several)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_standby_is_passed_over_where_a_primary_is_asked_for(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover: the server that was the primary takes no writes any more."""
    bench.postgres(f"ALTER DATABASE {bench.target.database} SET default_transaction_read_only = on")
    bench.mysql("DELETE FROM faq WHERE id = 3")
    with pytest.raises(TargetUnavailableError, match="PGTARGETSESSIONATTRS=read-write"):
        bench.sync(contract_spec())
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
    with pytest.raises(TargetUnavailableError, match="read-only"):
        store_connection.connect(bench.target)
