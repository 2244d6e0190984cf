"""Syncs that are asked for over HTTP: POST /documents/sync-embeddings and /v1, over a real webserver of Dagster's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.dagster_instances import DagsterStorage, new_home_of_processes
from vector_pipeline_tests.environments import environment_of
from vector_pipeline_tests.orchestration.webserver import wait_until_it_answers, webserver
from vector_pipeline_tests.serving.serving import contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

SYNC = "/documents/sync-embeddings"


@dataclass(frozen=True)
class Office:
    """A table `faq` of ten rows that was never synced, a webserver whose location has its index, and the service."""

    bench: Workbench
    client: httpx.Client
    dagster: str


@pytest.fixture
def office(
    mysql_database: SourceSettings, pg_database: TargetSettings, tmp_path: Path, dagster_storage: DagsterStorage
) -> Iterator[Office]:
    bench = Workbench(mysql_database, pg_database)
    bench.create_faq(rows=10)
    shutil.copy(Path(__file__).with_name("faq_location.py"), tmp_path / "location.py")
    location = {"python_file": {"relative_path": "location.py", "location_name": "vector_pipeline"}}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    # Without a daemon nobody would take runs out of the queue.
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    new_home_of_processes(tmp_path, dagster_storage, {"run_coordinator": coordinator, "telemetry": {"enabled": False}})
    environment = environment_of(bench.settings) | {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    with webserver(tmp_path, tmp_path / "webserver.log", environment) as dagster:
        wait_until_it_answers(dagster)
        with live_server(bench, [contract_spec()], ServingSettings(dagster_url=dagster)) as server:
            yield Office(bench, server.client, dagster)


@pytest.mark.long
def test_a_sync_tells_how_many_documents_it_wrote_and_the_next_that_there_was_nothing_to_do(office: Office) -> None:
    first = office.client.post(SYNC)
    assert first.status_code == 200, first.text
    body = first.json()
    run_id, run_url = body.pop("run_id"), body.pop("run_url")
    assert body == {"status": "success", "synced": 10}
    assert run_url == f"{office.dagster}/runs/{run_id}"

    second = office.client.post(SYNC).json()
    assert (second["status"], second["synced"], second["message"]) == ("success", 0, "No new rows to sync.")

    office.bench.add_faq([11, 12])
    office.bench.mysql("UPDATE faq SET question = 'something else' WHERE id = 3")
    assert office.client.post(SYNC).json()["synced"] == 3


@pytest.mark.long
def test_without_waiting_the_run_is_named_and_whoever_comes_meanwhile_waits_for_the_same(office: Office) -> None:
    started = office.client.post(SYNC, params={"wait": 0})
    assert (started.status_code, started.json()["status"]) == (202, "started")

    with ThreadPoolExecutor(2) as callers:
        answers = list(callers.map(lambda _: office.client.post(SYNC).json(), range(2)))

    assert {answer["run_id"] for answer in answers} == {started.json()["run_id"]}
    assert [answer["synced"] for answer in answers] == [10, 10]


@pytest.mark.long
def test_a_sync_that_fails_says_so_with_its_run_which_tells_why(office: Office) -> None:
    office.bench.mysql("DROP TABLE faq")

    failed = office.client.post(SYNC)

    assert failed.status_code == 503
    assert failed.json()["detail"] == "The sync has failed; see its run."
    told = office.client.get(f"/v1/runs/{failed.json()['run_id']}").json()
    assert (told["run"]["status"], told["run"]["url"]) == ("FAILURE", failed.json()["run_url"])
    assert "faq" in told["failure"]


@pytest.mark.long
def test_the_runs_of_an_index_are_started_listed_and_told_of_by_v1(office: Office) -> None:
    synced = office.client.post("/v1/indexes/faq/sync", params={"wait": 300})
    assert synced.status_code == 200, synced.text
    assert (synced.json()["outcome"]["documents_written"], synced.json()["joined"]) == (10, False)

    proven = office.client.post("/v1/indexes/faq/reindex", params={"wait": 300}).json()
    assert (proven["run"]["job"], proven["outcome"]["documents_written"]) == ("faq_reindex", 0)

    page = office.client.get("/v1/runs", params={"index": "faq", "limit": 1}).json()
    assert [run["id"] for run in page["runs"]] == [proven["run"]["id"]]
    older = office.client.get("/v1/runs", params={"index": "faq", "before": page["next_before"]}).json()
    assert [run["id"] for run in older["runs"]] == [synced.json()["run"]["id"]]
    assert older["next_before"] is None
    unknown = "00000000-0000-0000-0000-000000000000"
    assert office.client.get(f"/v1/runs/{unknown}").status_code == 404


def test_without_dagster_a_sync_is_refused_with_the_reason(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    serving = ServingSettings(dagster_url=f"http://127.0.0.1:{choose_port()}")
    with live_server(Workbench(mysql_database, pg_database), [contract_spec()], serving) as server:
        for path in (SYNC, "/v1/indexes/faq/sync", "/v1/indexes/faq/reindex"):
            answer = server.client.post(path)
            assert (answer.status_code, answer.json()["detail"]) == (503, "Dagster service unavailable")
        assert server.client.get("/v1/runs").status_code == 503
        assert server.client.post("/v1/indexes/nobody/sync").status_code == 404
