"""The tool that finds tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline_tests.serving.mcp.agent import Agent, agent_over_http
from vector_pipeline_tests.serving.mcp.conftest import catalog_spec, orders_spec
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench


@pytest.fixture(scope="module")
def server(two_tables: Workbench) -> Iterator[LiveServer]:
    """A server before which MySQL's catalog is an index, beside two others."""
    two_tables.mysql("CREATE TABLE stations (id INT PRIMARY KEY, altitude INT) COMMENT 'Where the weather is measured'")
    two_tables.sync(catalog_spec())
    specs = [catalog_spec(), contract_spec(), orders_spec()]
    with live_server(two_tables, specs) as server:
        yield server


@pytest.fixture(scope="module")
def agent(server: LiveServer) -> Iterator[Agent]:
    with agent_over_http(server.url) as agent:
        yield agent


def test_tables_are_found_by_what_they_are_about_with_the_indexes_over_them(
    agent: Agent, two_tables: Workbench
) -> None:
    [weather] = agent.use("catalog_search", query="meteorology: where is the weather measured?", limit=1)["results"]
    [orders] = agent.use("catalog_search", query="orders", limit=1, schema=two_tables.source.database)["results"]

    assert (weather["schema"], weather["table"]) == (two_tables.source.database, "stations")
    assert (weather["comment"], weather["primary_key"]) == ("Where the weather is measured", "id")
    assert weather["indexes"] == []
    assert (orders["table"], orders["indexes"]) == ("orders", ["orders"])
    assert "notes" in orders["columns"]


def test_a_search_without_a_table_is_for_rows_and_leaves_tables_out(agent: Agent) -> None:
    found = agent.use("search_hybrid", query="altitude of stations", limit=100)["results"]

    assert {one["index"] for one in found} <= {"faq", "orders"}


def test_so_does_a_search_of_v1_unless_it_names_the_catalog(server: LiveServer) -> None:
    asked = {"query": "altitude of stations", "mode": "hybrid", "limit": 100}

    of_all = server.client.post("/v1/search", json=asked).json()
    named = server.client.post("/v1/search", json=asked | {"index": "catalog"}).json()
    listed = server.client.get("/v1/indexes").json()["indexes"]

    assert (of_all["indexes"], of_all["complete"]) == (["faq", "orders"], True)
    assert "stations" in [hit["metadata"]["table"] for hit in named["hits"]]
    assert [one["index"] for one in listed if one["source"]["is_catalog"]] == ["catalog"]


def test_another_database_has_no_tables_here(agent: Agent) -> None:
    assert agent.use("catalog_search", query="orders", schema="elsewhere")["total_matches"] == 0
