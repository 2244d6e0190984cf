"""All tools, as the SDK's client uses them: against a second table with another schema, with a real Dagster behind
them, while the first index stays in use."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declared_at_run_time import CACHE_VARIABLE
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.declared import DeclaredInFiles
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.mcp.tools import TOOLS
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.components.declared import faq_attributes, written
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.orchestration.dagster_dev import dagster_dev
from vector_pipeline_tests.orchestration.test_daemon import home
from vector_pipeline_tests.serving.mcp.agent import Agent, agent_over_http, agent_over_stdio
from vector_pipeline_tests.serving.mcp.conftest import create_orders
from vector_pipeline_tests.serving.serving import served
from vector_pipeline_tests.workbench import Workbench, faq_spec

__all__ = ["home"]

pytestmark = pytest.mark.long

RUN_SECONDS = 120

ATTRIBUTES = faq_attributes(range_size=100, search={"threshold": -1.0}, automation={"paused": True})

CATALOG = {
    "name": "catalog",
    "source": {"catalog": {}},
    "search": {"threshold": -1.0},
    "automation": {"paused": True},
}


@pytest.fixture
def bench(mysql_database: SourceSettings, pg_database: TargetSettings) -> Workbench:
    bench = Workbench(mysql_database, pg_database)
    bench.create_faq(rows=20)
    bench.sync(faq_spec(**{name: value for name, value in ATTRIBUTES.items() if name != "name"}))
    create_orders(bench)
    bench.sync(IndexSpec.model_validate(CATALOG))
    return bench


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that declares the index `faq`, and one over MySQL's catalog."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "genie_documents")
    shutil.copytree(PROJECT / "vector_pipeline", folder / "vector_pipeline", ignore=ignored)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(PROJECT / name, folder)
    (folder / "vector_pipeline" / "defs" / "faq").mkdir()
    (folder / "vector_pipeline" / "defs" / "faq" / "defs.yaml").write_text(written(ATTRIBUTES))
    (folder / "vector_pipeline" / "defs" / "catalog").mkdir(exist_ok=True)
    (folder / "vector_pipeline" / "defs" / "catalog" / "defs.yaml").write_text(written(CATALOG))
    return folder


@pytest.fixture
def environment(bench: Workbench, project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What Dagster's processes and the server's have in common."""
    variables = variables_of(bench.settings) | {CACHE_VARIABLE: str(project / "declared.json")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def dagster_url(environment: dict[str, str], project: Path, home: Path) -> Iterator[str]:
    assert environment
    with dagster_dev(project, home) as address:
        yield address


@pytest.fixture(params=["http", "stdio"])
def agent(
    request: pytest.FixtureRequest,
    bench: Workbench,
    project: Path,
    environment: dict[str, str],
    dagster_url: str,
) -> Iterator[Agent]:
    if request.param == "stdio":
        more = {"VECTOR_PIPELINE_DAGSTER_URL": dagster_url, "PYTHONPATH": str(project)}
        with agent_over_stdio(environment | more, project) as agent:
            yield agent
        return
    in_files = DeclaredInFiles(project / "vector_pipeline" / "defs")
    deployment = Deployment(bench.settings, ServingSettings(dagster_url=dagster_url), in_files)
    with served(create_app(deployment)) as url, agent_over_http(url) as agent:
        yield agent


@contextmanager
def in_use(agent: Agent) -> Iterator[None]:
    """The first index is searched all the while, and always answers."""
    over = threading.Event()
    failures: list[object] = []
    answered = 0

    def search() -> None:
        nonlocal answered
        while not over.is_set():
            found = agent.ask("embed_search", query="question number 7?", table="faq", limit=1)
            if found.is_error or found.structured_content["results"][0]["primary_key_value"] != "7":
                failures.append(found)
            answered += 1
            over.wait(0.1)

    searching = threading.Thread(target=search)
    searching.start()
    try:
        yield
    finally:
        over.set()
        searching.join()
    assert not failures
    assert answered > 10


class Recording:
    """An agent of which it is known what it has used."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.used: set[str] = set()

    def use(self, tool: str, **arguments: Any) -> dict[str, Any]:
        self.used.add(tool)
        return self._agent.use(tool, **arguments)

    def fail(self, tool: str, **arguments: Any) -> str:
        return self._agent.fail(tool, **arguments)


def test_all_tools_serve_a_second_table_while_the_first_index_stays_in_use(agent: Agent, bench: Workbench) -> None:
    recording = Recording(agent)
    with in_use(agent):
        create(recording, bench)
        search(recording)
        read(recording, bench)
        build_again(recording, bench)
        delete(recording)
    assert recording.used == agent.tools().keys() == TOOLS.keys()


def create(agent: Recording, bench: Workbench) -> None:
    [found] = agent.use("catalog_search", query="orders", limit=1)["results"]
    assert (found["table"], found["indexes"]) == ("orders", [])
    given = {"schema": bench.source.database, "table": "orders", "columns": '["name", "notes"]'}
    more = {"primary_key": "order_no", "where_clause": "status <> 'cancelled'", "strategy": "concat"}

    told = agent.use("embed_index_table", **given, **more)
    run_through(agent)

    assert (told["schema"], told["table"]) == (bench.source.database, "orders")
    assert time.time() - 600 < told["indexed_at"] <= time.time()
    assert "embed_reindex" in agent.fail("embed_index_table", **given, **more)
    listed = {one["table"]: one for one in agent.use("embed_list_indexes")["indexes"]}
    assert listed.keys() == {"faq", "orders", "tables"}
    assert (listed["orders"]["row_count"], listed["orders"]["vector_dim"]) == (4, 512)
    assert listed["orders"]["strategy"] == "concat"


def run_through(agent: Recording) -> None:
    """Waits for the end of the latest run for the orders."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        [status] = agent.use("index_status", table="orders")["indexes"]
        latest = status["runs"][0]["status"]
        if latest == "SUCCESS":
            return
        assert latest != "FAILURE"
        assert time.monotonic() < deadline, f"the run is {latest}"
        time.sleep(0.5)


def search(agent: Recording) -> None:
    for tool in ("embed_search", "embedding_search"):
        [best, *_] = agent.use(tool, query="money back for a broken parcel", table="orders", max_distance=2)["results"]
        assert best["primary_key_value"] == "2"
    assert agent.use("search_text", query="10-2231", table="orders")["results"][0]["primary_key_value"] == "4"
    assert agent.use("search_hybrid", query="express delivery", table="orders")["results"][0]["metadata"]["name"]


def read(agent: Recording, bench: Workbench) -> None:
    bench.mysql("UPDATE orders SET notes = 'paid in roubles' WHERE order_no = 3")
    asked = {"table": "orders", "keys": ["3"]}
    assert "express" in agent.use("get_documents", **asked)["results"][0]["metadata"]["notes"]
    assert agent.use("fetch_from_source", **asked)["results"][0]["metadata"]["notes"] == "paid in roubles"

    told = agent.use("sync_index", table="orders", wait=30)
    run_through(agent)

    assert told["documents_written"] in {1, None}
    assert agent.use("get_documents", **asked)["results"][0]["metadata"]["notes"] == "paid in roubles"
    [status] = agent.use("index_status", table="orders")["indexes"]
    assert (status["rows"], status["rows_behind"], status["runs"][0]["status"]) == (4, 0, "SUCCESS")


def build_again(agent: Recording, bench: Workbench) -> None:
    told = agent.use("embed_reindex", schema=bench.source.database, table="orders", wait=0)
    assert (told["joined"], told["row_count"]) == (False, 4)
    run_through(agent)

    told = agent.use("embed_rebuild_all")
    assert (told["rebuilt_count"], told["failed"]) == (3, [])
    assert {one["index"] for one in told["indexes"]} >= {"catalog", "faq"}
    run_through(agent)


def delete(agent: Recording) -> None:
    assert "defs/faq/defs.yaml" in agent.fail("embed_delete_index", table="faq")
    assert "orders" in agent.use("embed_delete_index", table="orders")["message"]
    assert [one["index"] for one in agent.use("embed_list_indexes")["indexes"]] == ["catalog", "faq"]
