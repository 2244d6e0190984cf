"""A synced index that is served: real databases, the local model, a server on a free port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline_tests.conftest import fresh_mysql_database, fresh_pg_database
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench


@pytest.fixture
def bench(mysql_database: SourceSettings, pg_database: TargetSettings) -> Workbench:
    """A table `faq` with ten numbered rows, and the index `faq` synced from it."""
    bench = Workbench(mysql_database, pg_database)
    bench.create_faq(rows=10)
    bench.sync(contract_spec())
    return bench


@pytest.fixture
def live(bench: Workbench) -> Iterator[LiveServer]:
    """A server over the index `faq`."""
    with live_server(bench, [contract_spec()]) as server:
        yield server


@pytest.fixture(scope="session")
def served(mariadb: SourceSettings, pg_template: TargetSettings) -> Iterator[LiveServer]:
    """A server over the index `faq`, synced from ten numbered rows, and `unsynced`, which is only declared. Not to be
    changed."""
    with fresh_mysql_database(mariadb) as source, fresh_pg_database(pg_template) as target:
        bench = Workbench(source, target)
        bench.create_faq(rows=10)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec(), contract_spec("unsynced")]) as server:
            yield server
