"""What agents are told when something behind the tools fails: which service, and nothing of its insides."""

from __future__ import annotations

import re

import pytest

from vector_pipeline_tests.serving.mcp.agent import Agent
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
