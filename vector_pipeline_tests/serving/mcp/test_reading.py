"""The tools that list indexes and read rows by key."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from vector_pipeline.core.embedding.local_model import LOCAL_MODEL
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.caller import THIS_MACHINE
from vector_pipeline.serving.mcp.asked import Asked
from vector_pipeline.serving.mcp.listing import described
from vector_pipeline_tests.serving.mcp.agent import Agent, post
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, declared, deployment_over
from vector_pipeline_tests.workbench import Workbench


def test_indexes_are_listed_with_what_agents_need_for_other_tools(agent: Agent, live: LiveServer) -> None:
    listed = agent.use("embed_list_indexes")["indexes"]

    assert [one["index"] for one in listed] == ["faq", "orders"]
    indexed_at = listed[1].pop("indexed_at")
    assert time.time() - 600 < indexed_at <= time.time()
    assert listed[1].pop("model")
    assert listed[1] == {
        "index": "orders",
        "schema": live.deployment.settings.source.database,
        "table": "orders",
        "columns": ["name", "notes"],
        "metadata_columns": ["status", "amount"],
        "primary_key": "order_no",
        "vector_dim": 512,
        "strategy": "concat",
        "row_count": 4,
        "description": None,
        "declared_in": "defs/orders/defs.yaml",
    }


@pytest.mark.parametrize(
    ("embedding", "model", "length"),
    [
        (EmbeddingSettings(), LOCAL_MODEL, 512),
        (EmbeddingSettings("http://127.0.0.1:9/v1", None, "numbers", 1024), "numbers", 1024),
        (EmbeddingSettings("http://127.0.0.1:9/v1", None, "numbers"), "numbers", None),
        (EmbeddingSettings("http://127.0.0.1:9/v1", None, None), None, None),
    ],
)
def test_an_index_that_was_never_synced_tells_the_model_that_it_will_have(
    two_tables: Workbench, embedding: EmbeddingSettings, model: str | None, length: int | None
) -> None:
    fresh = contract_spec("fresh")
    with deployment_over(replace(two_tables, embedding=embedding), [fresh]) as deployment:
        [listed] = described(Asked(deployment, THIS_MACHINE, AccessScope.SEARCH), declared(fresh))

    assert (listed.model, listed.vector_dim, listed.row_count, listed.indexed_at) == (model, length, 0, None)


def test_status_tells_of_one_index_or_of_all(agent: Agent) -> None:
    [orders] = agent.use("index_status", table="orders")["indexes"]

    assert (orders["rows"], orders["coverage"], orders["rows_behind"], orders["problem"]) == (4, 1.0, 0, None)
    assert [one["index"] for one in agent.use("index_status")["indexes"]] == ["faq", "orders"]


def test_documents_are_read_as_they_were_indexed_and_rows_as_they_are_now(agent: Agent, two_tables: Workbench) -> None:
    two_tables.mysql("UPDATE orders SET status = 'shipped' WHERE order_no = 1")
    given = {"table": "orders", "keys": [1, "3", "77"], "columns": ["status", "amount"]}

    indexed, now = agent.use("get_documents", **given), agent.use("fetch_from_source", **given)

    assert [row["metadata"] for row in indexed["results"]] == [
        {"status": "open", "amount": 12.5},
        {"status": "closed", "amount": 7.25},
    ]
    assert [(row["primary_key_value"], row["metadata"]) for row in now["results"]] == [
        ("1", {"status": "shipped", "amount": 12.5}),
        ("3", {"status": "closed", "amount": 7.25}),
    ]
    assert indexed["missing"] == now["missing"] == ["77"]


@pytest.mark.parametrize("tool", ["get_documents", "fetch_from_source"])
def test_columns_that_are_not_declared_are_not_read(agent: Agent, tool: str) -> None:
    told = agent.use(tool, table="orders", keys="[2]")
    refused = agent.fail(tool, table="orders", keys=["2"], columns=["card_number"])

    assert told["results"][0]["metadata"].keys() == {"name", "notes", "status", "amount"}
    assert refused.startswith("columns: the index declares no 'card_number'; it declares name, notes, ")


@pytest.mark.parametrize("key", ["1 OR 1=1", "1'; DROP TABLE orders; --", "0x31", "1e0", "é"])
def test_what_is_no_key_is_refused(agent: Agent, key: str) -> None:
    assert "keys" in agent.fail("fetch_from_source", table="orders", keys=[key])


def test_half_of_a_character_is_refused(live: LiveServer) -> None:
    call = {"name": "fetch_from_source", "arguments": {"table": "orders", "keys": ["\ud800"]}}

    answer = post(live.client, None, "tools/call", call)

    assert answer.status_code == 400


def test_more_than_a_hundred_keys_are_refused(agent: Agent) -> None:
    assert "keys: Value should have at most 100 items" in agent.fail(
        "fetch_from_source", table="orders", keys=[str(number) for number in range(101)]
    )


def test_rows_beyond_a_megabyte_are_left_out_and_named(agent: Agent, two_tables: Workbench) -> None:
    two_tables.mysql(
        "INSERT INTO orders (order_no, name, notes, status, amount) VALUES (%s, 'long', REPEAT('x', 60000), 'open', 1)",
        [(number,) for number in range(100, 120)],
    )

    told = agent.use("fetch_from_source", index="orders", keys=[str(number) for number in range(100, 120)])

    assert len(told["results"]) == 16
    assert told["missing"] == []
    assert told["left_out"].startswith("4 of the rows, since the answer would be longer than 1 MB: ")
    assert "116, 117, 118, 119" in told["left_out"]


def test_rows_that_the_declaration_leaves_out_are_not_read(agent: Agent, two_tables: Workbench) -> None:
    two_tables.mysql("INSERT INTO orders (order_no, name, notes) VALUES (5000, 'hidden', 'hidden')")

    assert agent.use("fetch_from_source", table="orders", keys=["5000"])["missing"] == ["5000"]
