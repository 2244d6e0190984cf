"""An index comes and goes while Dagster runs and another index is in use: real webserver, daemon and code server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vector_pipeline.core.declaring import TableRequest, declaration_for_table
from vector_pipeline.core.errors import DeclaredInAFileError, IndexExistsError, NotYetSyncedError
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import REGISTRY, Declaration, UnknownIndexError
from vector_pipeline.declared_at_run_time import CACHE_VARIABLE
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.dagster_client import DagsterUnavailableError, RunStatus
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.launching import launch_once, read_outcome
from vector_pipeline.serving.lifecycle import create_index, delete_index
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.orchestration.conftest import provider, workbench
from vector_pipeline_tests.orchestration.dagster_dev import dagster_dev
from vector_pipeline_tests.orchestration.test_daemon import DECLARED, home, project
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench

__all__ = ["home", "project", "provider", "workbench"]

FAQ = Declaration(IndexSpec.model_validate(DECLARED), "defs/faq/defs.yaml", (), Path("defs/faq/defs.yaml"))
A_RUN_TAKES = 240.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "declared.json"))


@pytest.fixture
def orders(workbench: Workbench) -> Workbench:
    """The table `faq`, and another with names and notes."""
    workbench.create_faq(30)
    workbench.mysql("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(100), notes TEXT, status VARCHAR(10))")
    workbench.mysql(
        "INSERT INTO orders VALUES (%s, %s, %s, %s)",
        [(i, f"order number {i}", f"notes on order {i}", "open" if i % 2 else "closed") for i in range(1, 21)],
    )
    return workbench


def orders_spec(workbench: Workbench) -> IndexSpec:
    request = TableRequest(
        workbench.source.database, "orders", ["name", "notes"], where_clause="status = 'open'", strategy="separate"
    )
    source = source_connection.connect(workbench.source)
    try:
        return declaration_for_table(source, request, workbench.embedding)
    finally:
        source_connection.close(source)


def finds(deployment: Deployment, index: str, text: str, key: str) -> bool:
    try:
        hits = deployment.search(index, SearchRequest(text, threshold=-1.0)).hits
    except NotYetSyncedError:
        return False
    return bool(hits) and hits[0].key == key and hits[0].score > 0.999


class InUse:
    """Searches an index again and again in a thread, and remembers what went wrong."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._search)
        self.answers = 0
        self.failures: list[str] = []

    def _search(self) -> None:
        while not self._ended.wait(0.1):
            try:
                assert finds(self._deployment, "faq", "question number 7?", "7")
                self.answers += 1
            except Exception as error:
                self.failures.append(repr(error))

    def __enter__(self) -> InUse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def without_dagster(orders: Workbench) -> Iterator[Deployment]:
    """A deployment whose Dagster is away."""
    nowhere = ServingSettings(dagster_url=f"http://127.0.0.1:{choose_port()}")
    deployment = Deployment(orders.settings, nowhere, lambda: [FAQ])
    yield deployment
    deployment.close()


def test_nothing_is_declared_while_dagster_is_away(orders: Workbench, without_dagster: Deployment) -> None:
    with pytest.raises(DagsterUnavailableError):
        create_index(without_dagster, orders_spec(orders), "a test")
    assert [declaration.spec.name for declaration in without_dagster.declarations()] == ["faq"]


@pytest.mark.long
def test_an_index_comes_and_goes_while_another_is_in_use(orders: Workbench, project: Path, home: Path) -> None:
    with dagster_dev(project, home) as address:
        deployment = Deployment(orders.settings, ServingSettings(dagster_url=address), lambda: [FAQ])
        dagster, spec = deployment.dagster, orders_spec(orders)
        name = spec.name
        wait_until(lambda: finds(deployment, "faq", "question number 7?", "7"), A_RUN_TAKES, 0.5)
        assert not dagster.has_job(f"{name}_sync")
        with InUse(deployment) as faq:
            created = create_index(deployment, spec, "a test")

            assert (created.declaration.origin, created.launched.joined) == (REGISTRY, False)
            assert dagster.has_job(f"{name}_sync")
            run = dagster.wait(created.launched.run.id, A_RUN_TAKES)
            assert run.status is RunStatus.SUCCESS, dagster.result(run.id).failure
            assert finds(deployment, name, "order number 7", "7")
            assert not finds(deployment, name, "order number 8", "8")
            with pytest.raises(IndexExistsError, match="embed_reindex"):
                create_index(deployment, spec, "a test")

            # The sensor sees to the rest by itself.
            orders.mysql("INSERT INTO orders VALUES (99, 'a late order', 'in a hurry', 'open')")
            wait_until(lambda: finds(deployment, name, "a late order", "99"), A_RUN_TAKES, 0.5)

            orders.mysql("UPDATE orders SET name = 'another name' WHERE id IN (1, 3)")
            with ThreadPoolExecutor(2) as pool:
                both = list(pool.map(lambda _: _sync(deployment, name), range(2)))
            assert both[0][0] == both[1][0]
            assert finds(deployment, name, "another name", "1") or finds(deployment, name, "another name", "3")

            with pytest.raises(DeclaredInAFileError, match=r"defs/faq/defs\.yaml"):
                delete_index(deployment, "faq")
            assert delete_index(deployment, name).left_over is None

            assert not dagster.has_job(f"{name}_sync")
            assert dagster.has_job("faq_sync")
            with pytest.raises(UnknownIndexError):
                deployment.search(name, SearchRequest("order number 7"))
            assert orders.postgres("SELECT FROM pg_namespace WHERE nspname = %s", [name]) == []
        assert (faq.failures, faq.answers > 0) == ([], True)
        deployment.close()


def _sync(deployment: Deployment, name: str) -> tuple[str, int]:
    """Starts or joins a sync and waits for it; its run, and how many documents it wrote."""
    with deployment.target() as target:
        launched = launch_once(deployment.dagster, target, name)
    run = deployment.dagster.wait(launched.run.id, A_RUN_TAKES)
    outcome = read_outcome(deployment.dagster.result(run.id))
    assert outcome.failure is None
    return run.id, outcome.documents_written
