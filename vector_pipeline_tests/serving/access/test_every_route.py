"""Every way into the service, found by enumerating them: none is open by mistake, whoever adds one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.serving.access.needs import INDEX_PARAMETER, Door, Needs, doors
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.mcp.tools import TOOLS
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.access.small_service import ask
from vector_pipeline_tests.workbench import Workbench

# What may be asked by anybody: that the service is there, and the search page, which shows nothing without a key.
OPEN = {"/healthcheck", "/", "/page"}
_ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Service:
    """The application as it is served, with a key for each scope, and one for the index `elsewhere` alone."""

    app: FastAPI
    keys: dict[AccessScope, str]
    for_elsewhere: str

    def status(self, door: Door, method: str, key: str | None) -> int:
        path = re.sub(r"\{[^}]+\}", "1", door.path) + ("/" if door.mounted else "")
        headers = {"X-API-Key": key} if key is not None else {}
        return ask(self.app, path, headers, method=method, content=b"{}").status_code


@pytest.fixture
def service(bench_without_index: Workbench) -> Iterator[Service]:
    with postgres(bench_without_index.target) as connection:
        keys = {scope: create_key(connection, scope.value, [scope]).secret for scope in AccessScope}
        for_elsewhere = create_key(connection, "limited", list(AccessScope), [_ELSEWHERE]).secret
    deployment = Deployment(bench_without_index.settings, None, list)
    yield Service(create_app(deployment), keys, for_elsewhere)
    deployment.close()


def test_every_route_refuses_who_has_no_key_or_one_without_the_scope(service: Service) -> None:
    seen = set()
    for door in doors(service.app.routes):
        for method in door.methods or {"GET", "POST"}:
            way = f"{method} {door.path}"
            seen.add(way)
            if door.is_open:
                assert door.path in OPEN, f"{way} is open to all"
                continue
            assert service.status(door, method, None) == 401, way
            assert service.status(door, method, "vp_made_up") == 401, way
            assert door.declared, f"{way} declares nothing"
            for needed in door.declared:
                assert isinstance(needed, Needs), way
                for scope, key in service.keys.items():
                    if needed.scope not in {None, scope} and scope is not AccessScope.ADMIN:
                        assert service.status(door, method, key) == 403, f"{way} with the scope {scope}"
            if f"{{{INDEX_PARAMETER}" in door.path:
                assert service.status(door, method, service.for_elsewhere) == 403, f"{way} with a key for another index"
    assert {"GET /healthcheck", "GET /documents", "POST /search", "POST /search-simple"} <= seen


def test_every_tool_refuses_who_has_no_key_or_one_without_the_scope(service: Service) -> None:
    async def call_all() -> list[str]:
        wrong = []
        async with (
            service.app.router.lifespan_context(service.app),
            httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://localhost") as client,
        ):
            for tool in TOOLS.values():
                lacking = {scope: key for scope, key in service.keys.items() if scope not in {tool.scope, "admin"}}
                for who, key, status in [
                    ("without a key", None, 401),
                    ("with a wrong key", "vp_made_up", 401),
                    *((f"with the scope {scope}", key, 403) for scope, key in lacking.items()),
                ]:
                    answer = await client.post("/mcp", json=_calling(tool.name), headers=_headers(key))
                    if answer.status_code != status:
                        wrong.append(f"{tool.name} {who}: {answer.status_code} {answer.text}")
        return wrong

    assert asyncio.run(call_all()) == []
    assert "embed_search" in TOOLS


def _calling(tool: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}


def _headers(key: str | None) -> dict[str, str]:
    accepted = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    return accepted if key is None else accepted | {"X-API-Key": key}


def test_a_deep_look_needs_the_scope_search(service: Service) -> None:
    assert ask(service.app, "/healthcheck").status_code == 200
    assert ask(service.app, "/healthcheck?deep=true").status_code == 401
    sync_only = {"X-API-Key": service.keys[AccessScope.SYNC]}
    assert ask(service.app, "/healthcheck?deep=true", sync_only).status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {"query": "q", "index": "faq"}),
        ("/search-simple", {"query": "q", "index": "faq"}),
        ("/v1/search", {"query": "q", "index": "faq"}),
        ("/v1/search", {"query": "q", "indexes": [_ELSEWHERE, "faq"]}),
        ("/v1/search/batch", {"searches": [{"query": "q"}], "index": "faq"}),
    ],
)
def test_a_key_for_some_indexes_searches_no_other(service: Service, path: str, body: dict[str, object]) -> None:
    limited = {"X-API-Key": service.for_elsewhere, "Content-Type": "application/json"}
    refused = ask(service.app, path, limited, method="POST", content=json.dumps(body))
    assert (refused.status_code, refused.json()["detail"]) == (403, "key limited is not for index 'faq'")
