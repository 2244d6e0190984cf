"""Who may use which tool: every one of them is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from mcp.shared.exceptions import MCPError

from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.serving.mcp.tools import TOOLS
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.mcp.agent import Agent, agent_over_http, post
from vector_pipeline_tests.serving.mcp.conftest import orders_spec
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench


@dataclass(frozen=True)
class Keys:
    """A key for each scope, and one with all scopes for the index `faq` alone."""

    by_scope: dict[AccessScope, str]
    for_faq: str


@pytest.fixture(scope="module")
def keys(two_tables: Workbench) -> Keys:
    with postgres(two_tables.target) as connection:
        by_scope = {scope: create_key(connection, scope.value, [scope]).secret for scope in AccessScope}
        return Keys(by_scope, create_key(connection, "faq-only", list(AccessScope), ["faq"]).secret)


@pytest.fixture(scope="module")
def live(two_tables: Workbench, keys: Keys) -> Iterator[LiveServer]:
    """A server that is started when there are keys."""
    assert keys
    with live_server(two_tables, [contract_spec(), orders_spec()]) as server:
        yield server


@pytest.fixture(scope="module")
def agent(live: LiveServer, keys: Keys) -> Iterator[Agent]:
    """Somebody who may use the index `faq` alone."""
    with agent_over_http(live.url, keys.for_faq) as agent:
        yield agent


def test_a_refusal_names_the_scope_that_is_lacking(live: LiveServer, keys: Keys) -> None:
    key = keys.by_scope[AccessScope.SEARCH]

    refused = post(live.client, key, "tools/call", {"name": "embed_reindex", "arguments": {"table": "orders"}})

    assert refused.status_code == 403
    assert 'scope="admin"' in refused.headers["WWW-Authenticate"]
    told = {"success": False, "error": "key search lacks the scope 'admin'"}
    assert refused.json()["error"]["data"] == told


def test_only_tools_that_one_may_use_are_listed(live: LiveServer, keys: Keys) -> None:
    for scope, key in keys.by_scope.items():
        listed = post(live.client, key, "tools/list", {}).json()["result"]["tools"]
        may = {name for name, tool in TOOLS.items() if scope in {tool.scope, AccessScope.ADMIN}}
        assert {tool["name"] for tool in listed} == may


def test_a_key_for_some_indexes_sees_and_searches_no_other(agent: Agent) -> None:
    listed = agent.use("embed_list_indexes")["indexes"]
    found = agent.use("embed_search", query="refund", max_distance=2, limit=100)["results"]

    assert [one["index"] for one in listed] == ["faq"]
    assert {one["table"] for one in found} == {"faq"}


@pytest.mark.parametrize(
    "which", [{"index": "orders"}, {"index": "nowhere"}, {"table": "orders"}, {"table": "nowhere"}]
)
def test_a_key_for_some_indexes_is_told_the_same_of_others_and_of_none(agent: Agent, which: dict[str, str]) -> None:
    [(kind, name)] = which.items()

    with pytest.raises(MCPError) as refused:
        agent.ask("search_text", query="refund", **which)

    shown = f"is not for index {name!r}" if kind == "index" else f"is for no index over {name}"
    assert refused.value.error.message == f"key faq-only {shown}"


@pytest.mark.parametrize("tool", [name for name, tool in TOOLS.items() if "index" in tool.arguments.model_fields])
def test_no_tool_lets_a_key_for_some_indexes_at_another(live: LiveServer, keys: Keys, tool: str) -> None:
    needed = {"query": "refund", "keys": ["1"], "wait": 0}
    given = {name: value for name, value in needed.items() if name in TOOLS[tool].arguments.model_fields}

    refused = post(live.client, keys.for_faq, "tools/call", {"name": tool, "arguments": {"index": "orders"} | given})

    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "key faq-only is not for index 'orders'"


def test_a_key_for_some_indexes_makes_no_others(agent: Agent) -> None:
    with pytest.raises(MCPError, match="is for some indexes only"):
        agent.ask("embed_index_table", table="orders", columns=["notes"])


def test_a_tool_that_is_not_there_is_a_protocol_error(live: LiveServer, keys: Keys) -> None:
    told = post(live.client, keys.by_scope[AccessScope.ADMIN], "tools/call", {"name": "embed_everything"}).json()

    assert told["error"]["message"] == "there is no tool 'embed_everything'"
