"""Indexes that are created and removed by /v1."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.declared_at_run_time import CACHE_VARIABLE
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.orchestration.conftest import provider, workbench
from vector_pipeline_tests.orchestration.dagster_dev import dagster_dev
from vector_pipeline_tests.orchestration.test_daemon import home, project
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

__all__ = ["home", "project", "provider", "workbench"]

A_RUN_TAKES = 120.0
ORDERS = {"table": "orders", "columns": ["name", "notes"], "where": "status = 'open'"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "declared.json"))


def create_orders(bench: Workbench) -> None:
    bench.mysql("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(100), notes TEXT, status VARCHAR(10))")
    rows = [(i, f"order number {i}", f"notes on order {i}", "open" if i % 2 else "closed") for i in range(1, 21)]
    bench.mysql("INSERT INTO orders VALUES (%s, %s, %s, %s)", rows)


@pytest.fixture
def without_dagster(mysql_database: SourceSettings, pg_database: TargetSettings) -> Iterator[LiveServer]:
    """A server over a table `orders`; the index `faq` is declared in a file, and Dagster is away."""
    bench = Workbench(mysql_database, pg_database)
    create_orders(bench)
    nowhere = ServingSettings(dagster_url=f"http://127.0.0.1:{choose_port()}")
    with live_server(bench, [contract_spec()], nowhere) as server:
        yield server


def test_nothing_is_created_while_dagster_is_away(without_dagster: LiveServer) -> None:
    answer = without_dagster.client.post("/v1/indexes", json=ORDERS)

    assert (answer.status_code, answer.json()["detail"]) == (503, "Dagster service unavailable")
    assert [found["index"] for found in without_dagster.client.get("/v1/indexes").json()["indexes"]] == ["faq"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "nothing"}, "nothing"),
        ({"columns": ["secrets"]}, "secrets"),
        ({"where": "SLEEP(9) = 0"}, "where"),
        ({"where": "status = 'open'; DROP TABLE orders"}, "where"),
        ({"primary_key": ["nothing"]}, "nothing"),
        ({"database": "mysql", "table": "user", "columns": ["User"]}, "mysql"),
        ({"name": "another"}, "extra_forbidden"),
        ({"table": "ord\0ers"}, "orders"),
        ({"table": "`orders`"}, "`orders`"),
    ],
)
def test_a_table_that_cannot_be_indexed_is_refused_with_the_reason(
    without_dagster: LiveServer, changes: dict[str, object], said: str
) -> None:
    answer = without_dagster.client.post("/v1/indexes", json=ORDERS | changes)

    assert answer.status_code == 422, answer.text
    assert said in answer.text


def test_what_a_file_declares_is_removed_there_and_what_is_not_there_nowhere(without_dagster: LiveServer) -> None:
    declared = without_dagster.client.delete("/v1/indexes/faq")

    assert declared.status_code == 409
    assert "defs/faq/defs.yaml" in declared.json()["detail"]
    assert without_dagster.client.delete("/v1/indexes/nobody").status_code == 404


@pytest.mark.long
def test_an_index_is_created_filled_searched_and_removed(workbench: Workbench, project: Path, home: Path) -> None:
    workbench.create_faq(10)
    create_orders(workbench)
    with (
        dagster_dev(project, home) as address,
        live_server(workbench, [], ServingSettings(dagster_url=address)) as server,
    ):
        created = server.client.post("/v1/indexes", json=ORDERS)
        assert created.status_code == 202, created.text
        index, run = created.json()["index"], created.json()["run"]["id"]
        deadline = time.monotonic() + A_RUN_TAKES
        while not (told := server.client.get(f"/v1/runs/{run}").json())["run"]["finished"]:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert told["metadata"]["documents_written"] == 10

        [hit] = server.client.post("/v1/search", json={"query": "order number 7", "index": index, "limit": 1}).json()[
            "hits"
        ]
        assert hit["key"] == "7"
        assert server.client.post("/v1/indexes", json=ORDERS).status_code == 409

        removed = server.client.delete(f"/v1/indexes/{index}")
        assert (removed.status_code, removed.json()) == (200, {"index": index, "left_over": None})
        assert server.client.get(f"/v1/indexes/{index}").status_code == 404
