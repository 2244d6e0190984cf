"""`vector-pipeline mcp`: the tools for a client that starts the server itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.declared_at_run_time import CACHE_VARIABLE
from vector_pipeline.run_time_indexes import declare_index
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.serving.mcp.agent import agent_over_stdio
from vector_pipeline_tests.serving.mcp.conftest import create_orders, orders_spec
from vector_pipeline_tests.workbench import Workbench


@pytest.mark.long
def test_a_client_that_starts_the_server_searches_what_was_declared_at_run_time(
    mysql_database: SourceSettings, pg_database: TargetSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "declared.json"))
    bench = Workbench(mysql_database, pg_database)
    create_orders(bench)
    spec = declare_index(orders_spec(), bench.settings, "a test").spec
    bench.sync(spec)
    environment = variables_of(bench.settings) | {
        CACHE_VARIABLE: str(tmp_path / "declared.json"),
        "APP_DEBUG": "DEBUG",  # all that is logged must keep off the protocol's stream
    }

    with agent_over_stdio(environment, tmp_path) as agent:
        told = agent.use("embed_search", query="money back for a broken parcel", table="orders", limit=1)
        failed = agent.fail("embed_search", query="", table="orders")

    assert told["results"][0]["primary_key_value"] == "2"
    assert "query: is empty" in failed
