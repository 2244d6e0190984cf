"""What is answered while a server is away, and that nothing but its return is needed afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from psycopg import sql

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.embedded.postgres import binaries
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

BODY = {"query": "question number 3?", "similarity_threshold": -1}


@contextmanager
def gone(target: TargetSettings) -> Iterator[None]:
    """The database lets nobody in, and whoever was in is out."""
    name = sql.Identifier(target.database)
    elsewhere = replace(target, database="postgres")
    with postgres(elsewhere) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        end_sessions(target)
        try:
            yield
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def end_sessions(target: TargetSettings) -> None:
    with postgres(replace(target, database="postgres")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (target.database,)
        )


def refused(answer: httpx.Response) -> str:
    """The detail of a 503, which has a reference and nothing else."""
    assert answer.status_code == 503
    body = answer.json()
    assert set(body) == {"detail", "reference"}
    assert body["reference"]
    return str(body["detail"])


def test_connections_that_postgresql_has_ended_cost_no_search_an_error(live: LiveServer, bench: Workbench) -> None:
    for _ in range(3):
        assert live.client.post("/search", json=BODY).status_code == 200
        end_sessions(bench.target)

    assert live.client.post("/search", json=BODY).json()["total_results"] == 5


def restore(target: TargetSettings, dump: Path) -> None:
    """Dumps the database and restores it over itself, its extension as well, as `docs/operations.md` does."""
    address = {"PGHOST": target.host, "PGPORT": str(target.port), "PGUSER": target.user, "PGDATABASE": target.database}
    environment = {**os.environ, **address, "PGPASSWORD": target.password or ""}
    for command in (["pg_dump", "-Fc", "-f", dump], ["pg_restore", "--clean", "-d", target.database, dump]):
        program, *arguments = command
        subprocess.run([binaries() / program, *arguments], env=environment, check=True)


def test_after_a_restore_one_search_fails_at_most_and_nothing_is_restarted(
    live: LiveServer, bench: Workbench, tmp_path: Path
) -> None:
    often_enough_for_a_prepared_statement = 7
    for _ in range(often_enough_for_a_prepared_statement):
        assert live.client.post("/search", json=BODY).status_code == 200
    restore(bench.target, tmp_path / "dump")
    live.client.post("/search", json=BODY)
    for _ in range(often_enough_for_a_prepared_statement):
        assert live.client.post("/search", json=BODY).json()["total_results"] == 5


@pytest.mark.parametrize("searched_before", [True, False])
def test_searches_are_refused_while_postgresql_is_away_and_answered_once_it_is_back(
    live: LiveServer, bench: Workbench, searched_before: bool
) -> None:
    if searched_before:
        assert live.client.post("/search", json=BODY).status_code == 200

    with gone(bench.target):
        assert refused(live.client.post("/search", json=BODY)) == "Database search error"
        assert refused(live.client.post("/search-simple", json=BODY)) == "Database search error"
        assert live.client.get("/healthcheck").json() == {"status": "healthy"}
        assert len(live.client.get("/documents").json()) == 10

    assert live.client.post("/search", json=BODY).json()["total_results"] == 5


def test_searches_that_need_the_provider_are_refused_while_it_is_down(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with MisbehavingProvider(64) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        bench.create_faq(rows=10)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()]) as live:
            assert live.client.post("/search", json=BODY).status_code == 200

            provider.behave("status", status=401, message="bad key sk-secret")
            unseen = BODY | {"query": "never asked before"}
            answer = live.client.post("/search", json=unseen)
            assert refused(answer) == "Embedding service unavailable"
            assert "sk-secret" not in answer.text
            # What is known of the query is enough, and words need no vector.
            assert live.client.post("/search", json=BODY).status_code == 200
            assert live.client.post("/search", json=unseen | {"mode": "text"}).status_code == 200

            provider.behave("well")
            assert live.client.post("/search", json=unseen).status_code == 200


def test_search_does_without_mysql(bench: Workbench) -> None:
    away = replace(bench, source=replace(bench.source, port=choose_port()))
    with live_server(away, [contract_spec()]) as live:
        assert refused(live.client.get("/documents")) == "MySQL service unavailable"
        assert live.client.post("/search", json=BODY).json()["total_results"] == 5
