"""The tools that search, as the SDK's client uses them over HTTP."""

from __future__ import annotations

import pytest

from vector_pipeline_tests.serving.mcp.agent import Agent, agent_over_http
from vector_pipeline_tests.serving.serving import LiveServer


def test_embed_search_finds_rows_of_one_table_in_ascending_distance(agent: Agent, live: LiveServer) -> None:
    schema = live.deployment.settings.source.database

    told = agent.use("embed_search", query="money back for a broken package", schema=schema, table="orders", limit=3)

    assert told["query"] == "money back for a broken package"
    assert told["query_embedding_dim"] == 512
    assert told["total_matches"] == len(told["results"]) == 3
    best = told["results"][0]
    assert (best["schema"], best["table"], best["primary_key_value"]) == (schema, "orders", "2")
    assert best["metadata"] == {
        "name": "Blaise Pascal",
        "notes": "customer asks for a refund, the parcel was damaged",
        "status": "open",
        "amount": 40.0,
    }
    distances = [one["distance"] for one in told["results"]]
    assert distances == sorted(distances)


def test_embed_search_without_a_table_searches_all_indexes(agent: Agent) -> None:
    told = agent.use("embed_search", query="question number 3?", limit=100, max_distance=2)

    assert {one["table"] for one in told["results"]} == {"faq", "orders"}
    assert (told["results"][0]["table"], told["results"][0]["primary_key_value"]) == ("faq", "3")


@pytest.mark.parametrize("name", ["min_distance", "max_distance"])
def test_a_distance_is_the_largest_that_a_result_may_have_by_either_name(agent: Agent, name: str) -> None:
    all_of_them = agent.use("embed_search", query="refund", table="orders", max_distance=2)["results"]
    second = all_of_them[1]["distance"]

    told = agent.use("embed_search", query="refund", table="orders", **{name: second + 1e-6})

    assert [one["primary_key_value"] for one in told["results"]] == [
        one["primary_key_value"] for one in all_of_them[:2]
    ]


def test_embedding_search_is_embed_search_by_another_name(agent: Agent) -> None:
    given = {"query": "express", "table": "orders", "limit": 2}

    assert agent.use("embedding_search", **given) == agent.use("embed_search", **given)


def test_search_text_finds_exact_words_and_shows_where_they_are(agent: Agent) -> None:
    told = agent.use("search_text", query="10-2231", table="orders")

    [found] = told["results"]
    assert found["primary_key_value"] == "4"
    assert "10-2231" in found["snippet"]


def test_search_hybrid_takes_filters_also_as_json_text(agent: Agent) -> None:
    told = agent.use("search_hybrid", query="delivery", index="orders", filters='{"status": "closed"}')

    assert [one["primary_key_value"] for one in told["results"]] == ["3"]
    assert told["complete"] is True


def test_clients_of_earlier_protocols_are_served_alike(live: LiveServer) -> None:
    with agent_over_http(live.url, mode="legacy") as agent:
        assert agent.use("search_text", query="refund")["total_matches"] == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "query: Field required"),
        ({"query": " "}, "query: is empty"),
        ({"query": "é" * 5000}, "query: is longer than 8192 bytes"),
        ({"query": "x", "limit": 101}, "limit: Input should be less than or equal to 100"),
        ({"query": "x", "min_distance": 3}, "min_distance: "),
        ({"query": "x", "tabel": "orders"}, "tabel: Extra inputs are not permitted"),
        ({"query": "x", "table": "nowhere"}, "no index is over"),
        ({"query": "x", "index": "nowhere"}, "no index 'nowhere' is declared"),
        ({"query": "x", "filters": {"card_number": "4111"}}, "card_number"),
    ],
)
def test_what_was_asked_wrongly_is_told(agent: Agent, arguments: dict[str, object], problem: str) -> None:
    if "filters" in arguments:
        arguments = {"index": "orders", **arguments}

    assert problem in agent.fail("embed_search", **arguments)


def test_null_counts_as_left_out(agent: Agent) -> None:
    assert agent.use("embed_search", query="refund", table="orders", limit=None, max_distance=None)["success"]


def test_tools_that_only_read_say_so(agent: Agent) -> None:
    listed = agent.tools()["embed_search"]

    assert listed.annotations is not None
    assert listed.annotations.read_only_hint
    assert "LARGEST distance" in listed.input_schema["properties"]["min_distance"]["description"]
    assert listed.description is not None
    assert "Example:" in listed.description
