"""What agents are told when something behind the tools fails: which service, and nothing of its insides."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.serving.mcp.server import build_server
from vector_pipeline.serving.mcp.tools import TOOLS
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.serving.mcp.agent import Agent
from vector_pipeline_tests.serving.serving import contract_spec, deployment_over
from vector_pipeline_tests.workbench import Workbench


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("sync_index", {"table": "orders"}),
        ("embed_reindex", {"index": "faq"}),
        ("embed_rebuild_all", {}),
        ("embed_index_table", {"table": "orders", "columns": ["notes"]}),
    ],
)
def test_without_dagster_nothing_is_started_and_the_service_is_named(
    agent: Agent, tool: str, arguments: dict[str, object]
) -> None:
    assert re.fullmatch(r"Dagster service unavailable \(reference \w+\)", agent.fail(tool, **arguments))


def test_status_is_told_without_dagster_too(agent: Agent) -> None:
    [status] = agent.use("index_status", index="faq")["indexes"]

    assert (status["rows"], status["runs"]) == (5, None)


def test_a_table_that_is_gone_costs_agents_the_service_and_shows_no_address(
    agent: Agent, two_tables: Workbench
) -> None:
    two_tables.mysql("RENAME TABLE orders TO orders_of_old")
    try:
        told = agent.fail("fetch_from_source", table="orders", keys=["1"])
    finally:
        two_tables.mysql("RENAME TABLE orders_of_old TO orders")

    assert two_tables.source.host not in told
    assert re.search(r"unavailable \(reference \w+\)", told)


def test_without_an_index_over_the_catalog_it_is_said_how_to_declare_one(agent: Agent) -> None:
    assert "catalog: {}" in agent.fail("catalog_search", query="orders")


def test_a_tool_that_takes_longer_than_it_may_is_given_up_and_others_go_on(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with MisbehavingProvider(8) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        bench.create_faq(rows=3)
        bench.sync(contract_spec())
        provider.behave("hang")
        tools = {**TOOLS, "embed_search": replace(TOOLS["embed_search"], seconds=0.5)}
        with (
            deployment_over(bench, [contract_spec()]) as deployment,
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(Client(build_server(deployment, tools))) as client,
        ):
            agent = Agent(client, portal)
            told = agent.fail("embed_search", query="never asked before")
            assert told == "embed_search took longer than 0.5 s; ask for less at once, or again later"
            assert agent.use("search_text", query="question number 3")["total_matches"] > 0


def test_tools_that_start_no_run_have_ten_seconds() -> None:
    assert {name: tool.seconds for name, tool in TOOLS.items() if tool.kind != "runs" and tool.seconds > 10} == {}
