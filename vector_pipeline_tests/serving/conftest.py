"""A synced index that is served: real databases, the local model, a server on a free port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
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
